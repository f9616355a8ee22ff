"""`nnkit doctor`."""

from __future__ import annotations

from typing import Any

from nnkit.cli import options as o
from nnkit.cli import output


def doctor(**values: Any) -> None:
    """Check versions, devices, folders and plugins, and say what is wrong with any of them.

    Example: nnkit doctor
    """
    given = o.read(values)
    from nnkit import api
    from nnkit.present.doctor import doctor_text

    result = api.doctor(**given.options)
    output.emit(result.document(), doctor_text(result, width=output.width()), as_json=given.json)
