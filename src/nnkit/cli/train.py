"""`nnkit train`."""

from __future__ import annotations

from typing import Any

from nnkit.cli import options as o
from nnkit.cli import output


def train(**values: Any) -> None:
    """Train one model on one dataset; leave a run directory.

    Example: nnkit train --dataset mnist-varres --model varres-net:width=81 --epochs 15
    """
    given = o.read(values)
    from nnkit import api
    from nnkit.cli.progress import Progress
    from nnkit.present.runs import files_left
    from nnkit.present.train import train_table

    if given.dry_run:
        output.emit_dry_run("train", api.complete("train", **given.layers), as_json=given.json)
        return
    with Progress(quiet=given.quiet) as progress:
        result = api.train(observers=[progress], **given.layers)
    text = f"{train_table(result, width=output.width())}\n\n{files_left(result.run_dir)}"
    output.emit(result.document(), text, as_json=given.json)
