"""`nnkit runs list` and `nnkit runs show`."""

from __future__ import annotations

from typing import Any

from nnkit.cli import options as o
from nnkit.cli import output


def runs() -> None:
    """List the runs, or show one.

    Example: nnkit runs list
    """


def list_runs(**values: Any) -> None:
    """List the runs, newest first.

    Example: nnkit runs list --runs-dir runs
    """
    given = o.read(values)
    from nnkit.config import resolve
    from nnkit.present.runs import runs_table
    from nnkit.studies import runs as study

    result = study.list_runs(resolve(study.RunsListConfig, given.options).config.runs_dir)
    output.emit(result.document(), runs_table(result, width=output.width()), as_json=given.json)


def show_run(**values: Any) -> None:
    """Show one run: its state, result, configuration and epochs.

    Example: nnkit runs show 20261120-141800-mnist-mnist-convnet-3fa9c1
    """
    given = o.read(values)
    from nnkit.config import resolve
    from nnkit.present.runs import run_text
    from nnkit.studies import runs as study

    config = resolve(study.RunsShowConfig, given.options).config
    result = study.show_run(config.run, config.runs_dir)
    output.emit(result.document(), run_text(result, width=output.width()), as_json=given.json)
