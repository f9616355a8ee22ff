"""`nnkit info`."""

from __future__ import annotations

from typing import Any

from nnkit.cli import options as o
from nnkit.cli import output


def info(**values: Any) -> None:
    """Show a component: its settings, defaults and docstring, and for a dataset its facts.

    For a dataset of several sizes: how many images of each, and what its buckets will cost in training.

    Example: nnkit info patience
    """
    given = o.read(values)
    from nnkit import api
    from nnkit.present.info import info_text

    result = api.info(**given.options)
    output.emit(result.document(), info_text(result, width=output.width()), as_json=given.json)
