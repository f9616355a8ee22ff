"""`nnkit list`. (The module bears an underscore because `list` is a built-in.)"""

from __future__ import annotations

import typer

from nnkit.cli import options as o
from nnkit.cli import output
from nnkit.cli.quick import QuickCommand

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


# The groups come through the context: for an argument of type str, Typer imports all of pydantic, which is a
# third of this command's time.
@app.command(
    "list",
    cls=QuickCommand,
    options_metavar="[OPTIONS] [GROUP]...",
    context_settings={"allow_extra_args": True},
)
def list_components(
    context: typer.Context, json: o.Json = False, quiet: o.Quiet = False, debug: o.Debug = False
) -> None:
    """List the components that are installed, with provider and version; imports none of them.

    GROUP is datasets, models, poolings, losses or stopping_rules; without one all are listed.

    Example: nnkit list models
    """
    output.set_up(quiet=quiet, debug=debug)
    from nnkit.present.list_ import list_table
    from nnkit.studies.list_ import list_components as study

    result = study(context.args)
    output.emit(result.document(), list_table(result, width=output.width()), as_json=json)
