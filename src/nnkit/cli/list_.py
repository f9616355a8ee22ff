"""`nnkit list`. (The module bears an underscore because `list` is a built-in.)"""

from __future__ import annotations

from typing import Annotated

import typer

from nnkit.cli import options as o
from nnkit.cli import output


def list_components(
    group: Annotated[
        str | None, typer.Argument(help="One group, such as models or stopping_rules [default: all].")
    ] = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
    debug: o.Debug = False,
) -> None:
    """List the components that are installed, with provider and version; imports none of them.

    Example: nnkit list models
    """
    output.set_up(quiet=quiet, debug=debug)
    from nnkit.present.tables import components_table
    from nnkit.studies.components import list_components as study

    document = study(group)
    output.emit(document, components_table(document["components"], width=output.width()), as_json=json)
