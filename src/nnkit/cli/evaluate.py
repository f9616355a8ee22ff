"""`nnkit evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nnkit.cli import options as o
from nnkit.cli import output


def evaluate(
    run: Annotated[Path, typer.Argument(help="A run directory, or a .safetensors file of weights.")],
    split: Annotated[
        str | None, typer.Option(help="train, val or test [default: test].", metavar="NAME")
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help="Another dataset than the run's own.", metavar="SPEC")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Images at once [default: 256].", metavar="N")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="Images of the split, for a quick try.", metavar="N")
    ] = None,
    device: o.Device = None,
    threads: o.Threads = None,
    data_root: o.DataRoot = None,
    download: o.Download = None,
    config: o.Config = None,
    set_: o.Set = None,
    dry_run: o.DryRun = False,
    json: o.Json = False,
    quiet: o.Quiet = False,
    debug: o.Debug = False,
) -> None:
    """Evaluate a run's best weights: metrics, per class, per resolution, confusion matrix.

    Example: nnkit evaluate runs/train/20261120-141800-mnist-mnist-convnet-3fa9c1 --split val
    """
    output.set_up(quiet=quiet, debug=debug)
    from nnkit import api
    from nnkit.config import EvaluateConfig, resolve
    from nnkit.present.dry_run import dry_run_document, dry_run_table
    from nnkit.present.tables import evaluate_table

    options = o.given(
        run=run, split=split, dataset=dataset, batch_size=batch_size, limit=limit, device=device,
        threads=threads, data_root=data_root, download=download,
    )  # fmt: skip
    if dry_run:
        resolved = resolve(EvaluateConfig, options, files=config or [], sets=set_ or [])
        table = dry_run_table(resolved, width=output.width())
        output.emit(dry_run_document("evaluate", resolved), table, as_json=json)
        return
    document = api.evaluate(config=config or [], sets=set_ or [], **options).document()
    output.emit(document, evaluate_table(document, width=output.width()), as_json=json)
