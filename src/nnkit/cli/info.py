"""`nnkit info`."""

from __future__ import annotations

from typing import Annotated

import typer

from nnkit.cli import options as o
from nnkit.cli import output


def info(
    spec: Annotated[str, typer.Argument(help="A component, such as varres-net or mnist-varres:seed=1.")],
    group: Annotated[
        str | None, typer.Option(help="The group, where two share the name.", metavar="GROUP")
    ] = None,
    batch_size: Annotated[
        int, typer.Option(min=1, help="Images per batch in a dataset's forecast.", metavar="N")
    ] = 64,
    bucketing: o.Bucketing = None,
    data_root: o.DataRoot = None,
    download: o.Download = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
    debug: o.Debug = False,
) -> None:
    """Show a component: its settings, defaults and docstring, and for a dataset its facts.

    For a dataset of several sizes: how many images of each, and what its buckets will cost in training.

    Example: nnkit info patience
    """
    output.set_up(quiet=quiet, debug=debug)
    from nnkit.config import PlaceConfig, resolve
    from nnkit.present.info import info_text
    from nnkit.studies.info.study import info as study

    config = resolve(PlaceConfig, o.given(data_root=data_root, download=download)).config
    result = study(spec, group=group, batch_size=batch_size, bucketing=bucketing, config=config)
    output.emit(result.document(), info_text(result, width=output.width()), as_json=json)
