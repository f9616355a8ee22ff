"""No checkpoint runs code: pickles are refused unread, and a model's class comes from the registry alone.

Row 1 of docs/reliability.md.
"""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from nnkit.cli import main
from nnkit.data import tensor_files
from tiny_plugin import TinyPlugin


class Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[str, str]]:
        return open, (str(self.path), "w")


def refusal(run: Path, capfd: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    code = main.run(["evaluate", str(run), "--dataset", "tiny", "--json"])
    captured = capfd.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    error: dict[str, Any] = json.loads(captured.err.splitlines()[-1])["error"]
    return code, error


@pytest.mark.parametrize("place", ["model.pt", "model.safetensors", "run"])
def test_a_pickle_is_refused_and_nothing_in_it_runs(
    tiny: TinyPlugin, tmp_path: Path, capfd: pytest.CaptureFixture[str], place: str
) -> None:
    trace = tmp_path / "ran"
    path = tmp_path / place
    if place == "run":
        path = path / "checkpoints/best-00000001/weights.safetensors"
        path.parent.mkdir(parents=True)
    pickle.loads(pickle.dumps(Evil(trace)))
    trace.unlink()  # it does run code where it is unpickled
    torch.save(Evil(trace), path)
    code, error = refusal(tmp_path / place, capfd)
    assert code in (1, 2)
    if place == "model.pt":
        assert "safetensors" in error["hint"]
    assert not trace.exists()


@pytest.mark.parametrize(
    "name",
    ["os:system", "torch.nn:Linear", "tiny_plugin:TinyNet", "no-such-model", "a/b", "", 5, None, ["x"]],
)
def test_a_class_outside_the_registry_is_refused(
    tiny: TinyPlugin, tmp_path: Path, capfd: pytest.CaptureFixture[str], name: object
) -> None:
    header = {
        "format": 1, "model": name, "known": {}, "task": "classification", "class_names": ["a"],
        "mean": [], "std": [], "epoch": 1, "monitor": "loss", "metrics": {},
    }  # fmt: skip
    path = tmp_path / "weights.safetensors"
    tensor_files.save(path, {"x": torch.zeros(1)}, header)
    code, error = refusal(path, capfd)
    assert code in (1, 2)
    assert str(path) in error["message"]
