"""`nnkit new-plugin`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nnkit.cli import options as o
from nnkit.cli import output


def new_plugin(
    name: Annotated[str, typer.Argument(help="The distribution's name, such as nnkit-gem.")],
    kind: Annotated[
        str, typer.Option(help="dataset, model, pooling, loss or stopping-rule.", metavar="KIND")
    ],
    out: Annotated[
        Path | None, typer.Option(help="Where the new folder goes [default: here].", metavar="DIR")
    ] = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
    debug: o.Debug = False,
) -> None:
    """Write a plugin package with one component, its tests and README, that passes as written.

    Example: nnkit new-plugin nnkit-gem --kind pooling
    """
    output.set_up(quiet=quiet, debug=debug)
    from nnkit.present.new_plugin import new_plugin_text
    from nnkit.studies.new_plugin.study import new_plugin as study

    result = study(name, kind=kind, out=out)
    output.emit(result.document(), new_plugin_text(result), as_json=json)
