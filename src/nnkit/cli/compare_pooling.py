"""`nnkit compare-pooling`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nnkit.cli import options as o
from nnkit.cli import output


def compare_pooling(
    dataset: Annotated[
        str | None, typer.Option(help="Dataset [default: digits-varres].", metavar="SPEC")
    ] = None,
    pooling: Annotated[
        list[str] | None, typer.Option(help="Pooling; repeatable [default: max and avg].", metavar="SPEC")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="A model that takes a pooling [default: varres-net].", metavar="SPEC"),
    ] = None,
    budget: Annotated[
        int | None, typer.Option(help="Parameters of each model [default: 29066].", metavar="N")
    ] = None,
    vary: Annotated[
        str | None,
        typer.Option(help="The model's setting that meets the budget [default: width].", metavar="NAME"),
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(help="Seeds, as 0-4, 0,1,5 or 3 [default: 0-4].", metavar="LIST")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs of each cell [default: 5].", metavar="N")] = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate [default: 1e-3].", metavar="X")] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Images per step [default: 64].", metavar="N")
    ] = None,
    precision: Annotated[
        str | None, typer.Option(help="fp32 or bf16 [default: fp32].", metavar="NAME")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="Images of each split, for a quick try.", metavar="N")
    ] = None,
    jobs: Annotated[int | None, typer.Option(help="Cells at a time [default: 1].", metavar="N")] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="The comparison's folder; one that holds this comparison goes on "
            "[default: new, under --runs-dir].",
            metavar="DIR",
        ),
    ] = None,
    device: o.Device = None,
    threads: o.Threads = None,
    data_root: o.DataRoot = None,
    download: o.Download = None,
    runs_dir: o.RunsDir = None,
    config: o.Config = None,
    set_: o.Set = None,
    dry_run: o.DryRun = False,
    json: o.Json = False,
    quiet: o.Quiet = False,
    debug: o.Debug = False,
) -> None:
    """Train a model with each pooling at one parameter budget over several seeds; say which wins.

    Each cell's epoch is chosen on validation; its test accuracy, looked at once, is compared in pairs of
    equal seeds. Exit 3 where some cells failed.

    Example: nnkit compare-pooling --dataset mnist-varres --pooling max --pooling avg --seeds 0-4 --epochs 15
    """
    output.set_up(quiet=quiet, debug=debug)
    from nnkit import api
    from nnkit.cli.cell_progress import CellProgress
    from nnkit.config import ComparePoolingConfig, resolve
    from nnkit.present.comparison import comparison_table
    from nnkit.present.dry_run import dry_run_document, dry_run_table
    from nnkit.studies.compare_pooling import study

    options = o.given(
        dataset=dataset, pooling=pooling, model=model, budget=budget, vary=vary, seeds=seeds, epochs=epochs,
        lr=lr, batch_size=batch_size, precision=precision, limit=limit, jobs=jobs, out=out, device=device,
        threads=threads, data_root=data_root, download=download, runs_dir=runs_dir,
    )  # fmt: skip
    if dry_run:
        resolved = resolve(ComparePoolingConfig, options, files=config or [], sets=set_ or [])
        resolved = study.complete(resolved)
        table = dry_run_table(resolved, width=output.width())
        output.emit(dry_run_document("compare-pooling", resolved), table, as_json=json)
        return
    watcher = CellProgress(quiet=quiet)
    result = api.compare_pooling(config=config or [], sets=set_ or [], watcher=watcher, **options)
    document = result.document()
    output.emit(document, comparison_table(document, width=output.width()), as_json=json)
    study.check_complete(result)
