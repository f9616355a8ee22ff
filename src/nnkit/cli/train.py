"""`nnkit train`."""

from __future__ import annotations

from typing import Any

from nnkit.cli import options as o
from nnkit.cli import output


def train(**values: Any) -> None:
    """Train one model on one dataset; leave a run directory.

    With --seeds it trains once per seed, each to a run directory of its own in one folder, and tells the mean
    over them. After an interruption the same options with --out FOLDER go on. Exit 3 where some seeds failed.

    Example: nnkit train --dataset mnist-varres --model varres-net:width=81 --epochs 15
    """
    given = o.read(values)
    from nnkit import api
    from nnkit.present.runs import files_left
    from nnkit.present.train import train_table
    from nnkit.present.train_seeds import train_seeds_table
    from nnkit.results.train_seeds import TrainSeedsResult

    if given.dry_run:
        output.emit_dry_run("train", api.complete("train", **given.layers), as_json=given.json)
        return
    result = api.train(progress=not given.quiet, **given.layers)
    if isinstance(result, TrainSeedsResult):
        output.emit(result.document(), train_seeds_table(result, width=output.width()), as_json=given.json)
        from nnkit.studies.train.seeds import check_complete

        check_complete(result)
        return
    text = f"{train_table(result, width=output.width())}\n\n{files_left(result.run_dir)}"
    output.emit(result.document(), text, as_json=given.json)
