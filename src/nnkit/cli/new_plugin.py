"""`nnkit new-plugin`."""

from __future__ import annotations

from typing import Any

from nnkit.cli import options as o
from nnkit.cli import output


def new_plugin(**values: Any) -> None:
    """Write a plugin package with one component, its tests and README, that passes as written.

    Example: nnkit new-plugin nnkit-gem --kind pooling
    """
    given = o.read(values)
    from nnkit import api
    from nnkit.present.new_plugin import new_plugin_text

    result = api.new_plugin(**given.options)
    output.emit(result.document(), new_plugin_text(result), as_json=given.json)
