"""`nnkit bench`, `nnkit bench compare` and `nnkit bench ops`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from nnkit.cli import options as o
from nnkit.cli import output


def bench(context: typer.Context, **values: Any) -> None:
    """Time networks against the real transforms, interleaved, over a grid of settings.

    Four reference arms are always timed: reference-loop (torchvision's transforms per image),
    reference-batched, pil-loop, and exact, the pipeline as one operator. LIST is values between commas.
    Exit 3 where cells failed. An interrupted benchmark keeps its rounds: --resume RUN goes on.

    Example: nnkit bench --model separable --batch-size 64,256 --shuffle true,false
    """
    if context.invoked_subcommand is not None:
        return
    given = o.read(values)
    from nnkit import api
    from nnkit.present.bench import bench_files, bench_table

    if given.dry_run:
        output.emit_dry_run("bench", api.complete("bench", **given.layers), as_json=given.json)
        return
    result = api.bench(progress=not given.quiet, save=True, **given.layers)
    assert result.run_dir is not None
    text = f"{bench_table(result, width=output.width())}\n\n{bench_files(result.run_dir)}"
    output.emit(result.document(), text, as_json=given.json)
    from nnkit.studies.bench.study import check_complete

    check_complete(result)


def compare(**values: Any) -> None:
    """Compare benchmarks of one machine: what became slower or faster between runs of `nnkit bench`.

    Times are in units of reference-loop's in the same rounds. Runs differ by more than the rounds within
    one run show, so --fail-above needs several runs a side: exit 4 on a regression, 1 where it cannot tell.

    Example: nnkit bench compare before.toml after.toml --runs 5 --fail-above 5%
    """
    given = o.read(values)
    from nnkit import api
    from nnkit.present.bench_compare import bench_compare_table

    result = api.bench_compare(progress=not given.quiet, **given.options)
    output.emit(result.document(), bench_compare_table(result, width=output.width()), as_json=given.json)
    from nnkit.studies.bench.compare import check_gate

    check_gate(result)


def ops(**values: Any) -> None:
    """Time a convolution by nested loops, by unfold and by torch, as the image grows.

    Example: nnkit bench ops --size 16 --size 32 --out .
    """
    given = o.read(values)
    from nnkit import api
    from nnkit.present.bench_ops import bench_ops_files, bench_ops_table

    result = api.bench_ops(**given.options)
    text = bench_ops_table(result, width=output.width())
    if out := given.options.get("out"):
        text += f"\n\n{bench_ops_files(Path(out))}"
    output.emit(result.document(), text, as_json=given.json)
