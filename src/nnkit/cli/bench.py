"""`nnkit bench`, `nnkit bench compare` and `nnkit bench ops`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nnkit.cli import options as o
from nnkit.cli import output
from nnkit.cli.quick import QuickGroup

app = typer.Typer(
    cls=QuickGroup,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def bench(
    context: typer.Context,
    dataset: Annotated[
        str | None,
        typer.Option(help="Transform dataset [default: cifar-transform:source=synthetic].", metavar="SPEC"),
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="Network: a spec, a run or its weights; repeatable.", metavar="X")
    ] = None,
    batch_size: Annotated[
        str | None, typer.Option(help="Images at once [default: 256].", metavar="LIST")
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="cpu, cuda, cuda:1 or mps [default: cpu].", metavar="LIST")
    ] = None,
    num_workers: Annotated[
        str | None, typer.Option(help="Processes that load images [default: 0].", metavar="LIST")
    ] = None,
    shuffle: Annotated[
        str | None, typer.Option(help="true, false or both [default: false].", metavar="LIST")
    ] = None,
    drop_last: Annotated[
        str | None, typer.Option(help="Drop a short last batch [default: false].", metavar="LIST")
    ] = None,
    pin_memory: Annotated[
        str | None, typer.Option(help="Page-locked memory, for CUDA [default: false].", metavar="LIST")
    ] = None,
    loader: Annotated[
        str | None,
        typer.Option(
            help="memory: slices on the device; dataloader: torch's, image by image [default: memory].",
            metavar="NAME",
        ),
    ] = None,
    input_: Annotated[
        str | None,
        typer.Option("--input", help="float, uint8 or both: what is read [default: float].", metavar="LIST"),
    ] = None,
    compile: Annotated[
        bool | None,
        typer.Option(
            "--compile/--no-compile", help="Time compiled operators and networks too [default: no]."
        ),
    ] = None,
    repeats: Annotated[
        int | None, typer.Option(help="Rounds, at least 3 [default: 10].", metavar="N")
    ] = None,
    min_effect: Annotated[
        float | None, typer.Option(help="Smallest difference that counts [default: 0.02].", metavar="X")
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="report-grid, report-30 or report-sweep.", metavar="NAME")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="Test images at most [default: all].", metavar="N")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for bench.json, .csv, .md and .png, new or empty [default: under --runs-dir].",
            metavar="DIR",
            parser=o.path,
        ),
    ] = None,
    seed: o.Seed = None,
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
    """Time networks against the real transforms, interleaved, over a grid of settings.

    Four references are always there: reference-loop (torchvision's transforms image by image),
    reference-batched, pil-loop, and exact, the pipeline as one operator. LIST is values between commas.
    Exit 3 where cells failed.

    Example: nnkit bench --model separable --batch-size 64,256 --shuffle true,false
    """
    if context.invoked_subcommand is not None:
        return
    output.set_up(quiet=quiet, debug=debug)
    from nnkit import api
    from nnkit.cli.rounds import Rounds
    from nnkit.config import BenchConfig, resolve
    from nnkit.present.bench import bench_table
    from nnkit.present.dry_run import dry_run_document, dry_run_table
    from nnkit.present.runs import files_left
    from nnkit.studies.bench import study

    options = o.given(
        dataset=dataset, model=model, batch_size=batch_size, device=device, num_workers=num_workers,
        shuffle=shuffle, drop_last=drop_last, pin_memory=pin_memory, loader=loader, input=input_,
        compile=compile, repeats=repeats, min_effect=min_effect, preset=preset, limit=limit, out=out,
        seed=seed, threads=threads, data_root=data_root, download=download, runs_dir=runs_dir,
    )  # fmt: skip
    if dry_run:
        resolved = study.complete(resolve(BenchConfig, options, files=config or [], sets=set_ or []))
        table = dry_run_table(resolved, width=output.width())
        output.emit(dry_run_document("bench", resolved), table, as_json=json)
        return
    result = api.bench(config=config or [], sets=set_ or [], watch=Rounds(quiet=quiet), save=True, **options)
    document = result.document()
    assert result.run_dir is not None
    text = f"{bench_table(document, width=output.width())}\n\n{files_left(result.run_dir)}"
    output.emit(document, text, as_json=json)
    study.check_complete(result)


@app.command("compare")
def compare(
    a: Annotated[Path, typer.Argument(help="bench.json of the one, or its folder.", metavar="A")],
    b: Annotated[Path, typer.Argument(help="bench.json of the other, or its folder.", metavar="B")],
    fail_above: Annotated[
        str | None,
        typer.Option(help="Exit 4 where b is surely slower by more than this, as 5%.", metavar="X"),
    ] = None,
    min_effect: Annotated[float, typer.Option(help="Smallest difference that counts.", metavar="X")] = 0.02,
    json: o.Json = False,
    quiet: o.Quiet = False,
    debug: o.Debug = False,
) -> None:
    """Say what became slower or faster between two saved benchmarks of one machine.

    Times are in units of reference-loop's in the same rounds. A regression's whole 95 % interval lies above
    --fail-above.

    Example: nnkit bench compare before/bench.json after/bench.json --fail-above 5%
    """
    output.set_up(quiet=quiet, debug=debug)
    from nnkit.present.bench import bench_compare_table
    from nnkit.studies.bench import compare as study
    from nnkit.studies.percent import read_share

    share = None if fail_above is None else read_share(fail_above, "--fail-above")
    result = study.bench_compare(a, b, fail_above=share, min_effect=min_effect)
    document = result.document()
    output.emit(document, bench_compare_table(document, width=output.width()), as_json=json)
    study.check_gate(result)


@app.command("ops")
def ops(
    size: Annotated[
        list[int] | None, typer.Option(help="Side of the image; repeatable [default: 8 to 128].", metavar="N")
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Images at once.", metavar="N")] = 16,
    in_channels: Annotated[int, typer.Option(help="Channels of the image.", metavar="N")] = 3,
    out_channels: Annotated[int, typer.Option(help="Kernels.", metavar="N")] = 16,
    kernel: Annotated[int, typer.Option(help="Side of the kernel.", metavar="N")] = 3,
    repeats: Annotated[int, typer.Option(help="Rounds.", metavar="N")] = 20,
    out: Annotated[
        Path | None, typer.Option(help="Folder for bench-ops.png and .csv [default: none].", metavar="DIR")
    ] = None,
    seed: o.Seed = None,
    device: o.Device = None,
    threads: o.Threads = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
    debug: o.Debug = False,
) -> None:
    """Time a convolution by nested loops, by unfold and by torch, as the image grows.

    Example: nnkit bench ops --size 16 --size 32 --out .
    """
    output.set_up(quiet=quiet, debug=debug)
    from nnkit.present.bench_ops import bench_ops_table, write_bench_ops
    from nnkit.studies.bench import ops as study

    result = study.bench_ops(
        sizes=tuple(size) if size else study.SIZES,
        batch=batch_size,
        in_channels=in_channels,
        out_channels=out_channels,
        kernel=kernel,
        repeats=repeats,
        seed=seed or 0,
        device=device or "auto",
        threads=threads,
    )
    document = result.document()
    text = bench_ops_table(document, width=output.width())
    if out is not None:
        text += "\n\n" + "\n".join(str(path) for path in write_bench_ops(out, document))
    output.emit(document, text, as_json=json)
