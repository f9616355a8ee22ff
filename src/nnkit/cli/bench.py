"""`nnkit bench ops`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nnkit.cli import options as o
from nnkit.cli import output

app = typer.Typer(
    help="Time things, interleaved and with intervals.\n\nExample: nnkit bench ops",
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _bench() -> None:
    """Time things, interleaved and with intervals."""


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
    from nnkit.studies import bench_ops as study

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
