"""`nnkit runs list` and `nnkit runs show`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nnkit.cli import options as o
from nnkit.cli import output

app = typer.Typer(
    help="List the runs, or show one.\n\nExample: nnkit runs list",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command("list")
def list_runs(
    runs_dir: o.RunsDir = None, json: o.Json = False, quiet: o.Quiet = False, debug: o.Debug = False
) -> None:
    """List the runs, newest first.

    Example: nnkit runs list --runs-dir runs
    """
    output.set_up(quiet=quiet, debug=debug)
    from nnkit.config import PlaceConfig, resolve
    from nnkit.present.runs import runs_table
    from nnkit.studies import runs as study

    result = study.list_runs(resolve(PlaceConfig, o.given(runs_dir=runs_dir)).config.runs_dir)
    output.emit(result.document(), runs_table(result, width=output.width()), as_json=json)


@app.command("show")
def show_run(
    run: Annotated[Path, typer.Argument(help="A run's folder, or its name under the runs folder.")],
    runs_dir: o.RunsDir = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
    debug: o.Debug = False,
) -> None:
    """Show one run: its state, result, configuration and epochs.

    Example: nnkit runs show 20261120-141800-mnist-mnist-convnet-3fa9c1
    """
    output.set_up(quiet=quiet, debug=debug)
    from nnkit.config import PlaceConfig, resolve
    from nnkit.present.runs import run_text
    from nnkit.studies import runs as study

    config = resolve(PlaceConfig, o.given(runs_dir=runs_dir)).config
    result = study.show_run(run, config.runs_dir)
    output.emit(result.document(), run_text(result, width=output.width()), as_json=json)
