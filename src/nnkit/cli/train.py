"""`nnkit train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nnkit.cli import options as o
from nnkit.cli import output


def train(
    dataset: Annotated[str | None, typer.Option(help="Dataset [default: digits].", metavar="SPEC")] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Model, as varres-net:width=81 [default: the dataset's].", metavar="SPEC"),
    ] = None,
    loss: Annotated[str | None, typer.Option(help="Loss [default: the task's].", metavar="SPEC")] = None,
    stop: Annotated[
        list[str] | None, typer.Option(help="Stopping rule; repeatable, any one stops.", metavar="SPEC")
    ] = None,
    optimizer: Annotated[
        str | None,
        typer.Option(help="sgd, adam, adamw or lbfgs, with settings [default: adam].", metavar="SPEC"),
    ] = None,
    lr: Annotated[
        float | None, typer.Option(help="Learning rate, beats the optimizer's [default: 1e-3].", metavar="X")
    ] = None,
    schedule: Annotated[
        str | None, typer.Option(help="none, cosine or one-cycle [default: none].", metavar="NAME")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Images per step [default: 64].", metavar="N")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs at most [default: 10].", metavar="N")] = None,
    augment: Annotated[
        str | None, typer.Option(help="none, affine, rotate or report [default: none].", metavar="NAME")
    ] = None,
    precision: Annotated[
        str | None, typer.Option(help="fp32 or bf16 [default: fp32].", metavar="NAME")
    ] = None,
    compile: Annotated[
        bool | None, typer.Option("--compile/--no-compile", help="Compile the model [default: no].")
    ] = None,
    monitor: Annotated[
        str | None,
        typer.Option(
            help="Metric that says which epoch is best [default: accuracy or loss].", metavar="NAME"
        ),
    ] = None,
    order: Annotated[
        str | None,
        typer.Option(help="interleaved or by-resolution batches [default: interleaved].", metavar="NAME"),
    ] = None,
    solver: Annotated[
        str | None,
        typer.Option(
            help="gradient, or als: least squares in closed form, by models that have one "
            "[default: gradient].",
            metavar="NAME",
        ),
    ] = None,
    clip: Annotated[float | None, typer.Option(help="Largest norm of the gradient.", metavar="X")] = None,
    label_smoothing: Annotated[
        float | None, typer.Option(help="Of the cross-entropy [default: 0].", metavar="X")
    ] = None,
    ema: Annotated[
        float | None, typer.Option(help="Decay of an average of the weights [default: 0, none].", metavar="X")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="Images of each split, for a quick try.", metavar="N")
    ] = None,
    no_test: Annotated[bool, typer.Option("--no-test", help="Leave the test split alone.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            help="The run's folder, new or empty [default: under --runs-dir].", metavar="DIR", parser=o.path
        ),
    ] = None,
    seed: o.Seed = None,
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
    """Train one model on one dataset; leave a run directory.

    Example: nnkit train --dataset mnist-varres --model varres-net:width=81 --epochs 15
    """
    output.set_up(quiet=quiet, debug=debug)
    from nnkit import api
    from nnkit.cli.progress import Progress
    from nnkit.config import TrainConfig, resolve
    from nnkit.present.dry_run import dry_run_document, dry_run_table
    from nnkit.present.runs import files_left
    from nnkit.present.tables import train_table
    from nnkit.studies.train.experiment import complete

    options = o.given(
        dataset=dataset, model=model, loss=loss, stop=stop, optimizer=optimizer, lr=lr, schedule=schedule,
        batch_size=batch_size, epochs=epochs, augment=augment, precision=precision, compile=compile,
        monitor=monitor, order=order, solver=solver, clip=clip, label_smoothing=label_smoothing, ema=ema,
        limit=limit, test=False if no_test else None, out=out, seed=seed, device=device, threads=threads,
        data_root=data_root, download=download, runs_dir=runs_dir,
    )  # fmt: skip
    if dry_run:
        resolved = complete(resolve(TrainConfig, options, files=config or [], sets=set_ or []))
        output.emit(
            dry_run_document("train", resolved), dry_run_table(resolved, width=output.width()), as_json=json
        )
        return
    with Progress(quiet=quiet) as progress:
        result = api.train(config=config or [], sets=set_ or [], observers=[progress], **options)
    document = result.document()
    text = f"{train_table(document, width=output.width())}\n\n{files_left(result.run_dir)}"
    output.emit(document, text, as_json=json)
