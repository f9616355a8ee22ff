"""`nnkit doctor`."""

from __future__ import annotations

from nnkit.cli import options as o
from nnkit.cli import output


def doctor(
    data_root: o.DataRoot = None,
    runs_dir: o.RunsDir = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
    debug: o.Debug = False,
) -> None:
    """Check versions, devices, folders and plugins, and say what is wrong with any of them.

    Example: nnkit doctor
    """
    output.set_up(quiet=quiet, debug=debug)
    from nnkit.config import PlaceConfig, resolve
    from nnkit.present.doctor import doctor_text
    from nnkit.studies.doctor import doctor as study

    result = study(resolve(PlaceConfig, o.given(data_root=data_root, runs_dir=runs_dir)).config)
    output.emit(result.document(), doctor_text(result, width=output.width()), as_json=json)
