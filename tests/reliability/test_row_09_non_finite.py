"""A NaN in the loss, a weight or a validation metric stops the run, which tells its step and saves none.

Row 9 of docs/reliability.md.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nnkit.cli import main
from nnkit.data import tensor_files
from tiny_plugin import TinyPlugin

STEPS = 6
"""Of each epoch."""


@pytest.mark.parametrize("step", [1, 5, STEPS, STEPS + 1, 2 * STEPS])
@pytest.mark.parametrize(
    "broken",
    [
        ("--loss", "nan-loss:at={}"),
        ("--model", "tiny-net:poison_at={}"),
        ("--loss", "nan-loss:where=validation,at={}"),
        ("--ema", "0.9", "--loss", "nan-loss:at={}"),
    ],
    ids=["loss", "weight", "validation", "average"],
)
def test_nan_stops_the_run_and_no_checkpoint_holds_it(
    tiny: TinyPlugin,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    broken: tuple[str, ...],
    step: int,
) -> None:
    out = tmp_path / "run"
    options = ["--dataset", "tiny", "--batch-size", "16", "--epochs", "3", "--out", str(out), "--json"]
    code = main.run(["train", *options, *(part.format(step) for part in broken)])
    assert code == 1
    in_validation = "validation" in broken[1]
    found_at = -(-step // STEPS) * STEPS if in_validation else step
    status = json.loads((out / "status.json").read_text())
    assert (status["state"], status["reason"]) == ("failed", "non-finite")
    assert status["step"] == found_at
    assert status["epoch"] == -(-step // STEPS)
    errors = capfd.readouterr().err
    assert f"step {found_at}" in json.loads(errors.splitlines()[-1])["error"]["message"]
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert all(line["step"] <= found_at for line in lines)
    saved = list(out.glob("checkpoints/*/*.safetensors"))
    assert len(saved) == (2 if step > STEPS else 0)
    for path in saved:
        assert all(bool(tensor.isfinite().all()) for tensor in tensor_files.read(path)[0].values())
