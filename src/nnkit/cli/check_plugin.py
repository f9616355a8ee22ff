"""`nnkit check-plugin`."""

from __future__ import annotations

from typing import Any

from nnkit.cli import options as o
from nnkit.cli import output


def check_plugin(**values: Any) -> None:
    """Run the conformance checks on every component of a plugin; exit 4 where one fails.

    Example: nnkit check-plugin nnkit-poolings
    """
    given = o.read(values)
    from nnkit import api
    from nnkit.present.check_plugin import check_plugin_text
    from nnkit.studies.check_plugin import check_passed

    result = api.check_plugin(**given.options)
    output.emit(result.document(), check_plugin_text(result, width=output.width()), as_json=given.json)
    check_passed(result)
