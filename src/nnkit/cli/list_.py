"""`nnkit list`. (The module has an underscore because `list` is a built-in.)"""

from __future__ import annotations

from typing import Any

import typer

from nnkit.cli import options as o
from nnkit.cli import output


# The groups come through the context: for an argument of type str, Typer imports all of pydantic, which is a
# third of this command's time.
def list_components(context: typer.Context, **values: Any) -> None:
    """List the components that are installed, with provider and version; imports none of them.

    GROUP is datasets, models, poolings, losses, stopping_rules, optimizers, schedules, augmentations, metrics
    or trackers; without one all are listed.

    Example: nnkit list models
    """
    given = o.read(values)
    from nnkit.present.list_ import list_table
    from nnkit.studies.list_ import list_components as study

    result = study(context.args)
    output.emit(result.document(), list_table(result, width=output.width()), as_json=given.json)
