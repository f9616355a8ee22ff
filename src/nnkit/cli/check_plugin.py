"""`nnkit check-plugin`."""

from __future__ import annotations

from typing import Annotated

import typer

from nnkit.cli import options as o
from nnkit.cli import output


def check_plugin(
    package: Annotated[str, typer.Argument(help="An installed distribution, such as nnkit-poolings.")],
    spec: Annotated[
        list[str] | None,
        typer.Option(help="A component with settings, where its bare name does not do.", metavar="SPEC"),
    ] = None,
    data_root: o.DataRoot = None,
    download: o.Download = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
    debug: o.Debug = False,
) -> None:
    """Run the conformance checks on every component of a plugin; exit 4 where one fails.

    Example: nnkit check-plugin nnkit-poolings
    """
    output.set_up(quiet=quiet, debug=debug)
    from nnkit.config import PlaceConfig, resolve
    from nnkit.present.check_plugin import check_plugin_text
    from nnkit.studies.check_plugin import check_passed
    from nnkit.studies.check_plugin import check_plugin as study

    config = resolve(PlaceConfig, o.given(data_root=data_root, download=download)).config
    result = study(package, specs=spec or [], config=config)
    output.emit(result.document(), check_plugin_text(result, width=output.width()), as_json=json)
    check_passed(result)
