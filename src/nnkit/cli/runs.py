"""`nnkit runs list`, `nnkit runs show` and `nnkit runs verify`."""

from __future__ import annotations

from typing import Any

from nnkit.cli import options as o
from nnkit.cli import output


def runs() -> None:
    """List the runs, show one, or verify that one repeats itself.

    \b
    Examples:
      nnkit runs list
      nnkit runs verify 20261120-141800-mnist-mnist-convnet-3fa9c1
    """


def list_runs(**values: Any) -> None:
    """List the runs, newest first.

    Example: nnkit runs list --runs-dir runs
    """
    given = o.read(values)
    from nnkit import api
    from nnkit.present.runs import runs_table

    result = api.list_runs(**given.options)
    output.emit(result.document(), runs_table(result, width=output.width()), as_json=given.json)


def show_run(**values: Any) -> None:
    """Show one run: its state, result, configuration and epochs.

    Example: nnkit runs show 20261120-141800-mnist-mnist-convnet-3fa9c1
    """
    given = o.read(values)
    from nnkit import api
    from nnkit.present.runs import run_text

    result = api.show_run(**given.options)
    output.emit(result.document(), run_text(result, width=output.width()), as_json=given.json)


def verify_run(**values: Any) -> None:
    """Train a run again from its own config.toml, and say whether it repeats itself to the bit.

    The repetition is trained in a temporary folder, which is removed; the run's folder is only read. Weights
    and metrics are compared, times are not. Exit code 0: equal; 4: it differs, and the first difference is
    shown; 1: it cannot be repeated.

    \b
    Examples:
      nnkit runs verify 20261120-141800-mnist-mnist-convnet-3fa9c1
      nnkit runs verify 20261120-141800-mnist-mnist-convnet-3fa9c1 --epochs 1
    """
    given = o.read(values)
    from nnkit import api
    from nnkit.present.runs_verify import runs_verify_text

    result = api.verify_run(progress=not given.quiet, **given.layers)
    output.emit(result.document(), runs_verify_text(result, width=output.width()), as_json=given.json)
    from nnkit.studies.runs_verify.study import check_equal

    check_equal(result)
