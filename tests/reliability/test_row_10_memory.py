"""Out of memory in training says which batch size would fit; of a cell of a bench, studies/test_bench.py.

Row 10 of docs/reliability.md.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from nnkit.api import train
from nnkit.config import resolve
from nnkit.errors import NnkitError
from nnkit.studies.train import study
from nnkit.studies.train.config import TrainConfig
from nnkit.training.memory import fitting_batch_size, is_out_of_memory
from tiny_plugin import TinyPlugin


@pytest.mark.parametrize(
    ("dataset", "limits", "hint"),
    [
        ("tiny", "most_pixels=1280", "--batch-size 16 fits"),
        ("tiny", "most_pixels=64", "--batch-size 1 fits"),
        ("tiny:several=true", "most_pixels=1296", "--batch-size 8 fits"),  # nine images of 12×12
        ("tiny", "most_pixels=63", "not one image fits"),
        ("tiny", "most_eval_pixels=1024", "--batch-size 4 fits"),  # sixteen images of 8×8
    ],
)
def test_training_says_which_batch_size_fits(tiny: TinyPlugin, dataset: str, limits: str, hint: str) -> None:
    with pytest.raises(NnkitError, match="out of memory on cpu with batches of 32") as caught:
        train(dataset=dataset, model=f"tiny-net:{limits}", batch_size=32, epochs=1, runs_dir=tiny.runs)
    assert hint in caught.value.hint
    (path,) = tiny.runs.rglob("status.json")
    status = json.loads(path.read_text())
    assert status["state"] == "failed"
    assert hint in status["reason"]


@pytest.mark.parametrize("limits", ["most_pixels=1296", "most_eval_pixels=4608"])
def test_the_batch_size_it_names_does_train(tiny: TinyPlugin, tmp_path: Path, limits: str) -> None:
    spec = f"tiny-net:{limits}"
    train(dataset="tiny:several=true", model=spec, batch_size=8, epochs=1, test=False, out=tmp_path / "run")


def test_where_smaller_batches_break_for_another_reason_it_still_says_out_of_memory(
    tiny: TinyPlugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*parts: object) -> None:
        raise ValueError("expected more than 1 value per channel")

    monkeypatch.setattr("nnkit.studies.train.oom.train_step", broken)
    with pytest.raises(NnkitError, match="out of memory on cpu") as caught:
        train(dataset="tiny", model="tiny-net:most_pixels=64", batch_size=32, epochs=1, runs_dir=tiny.runs)
    assert "expected more than 1 value per channel" in caught.value.hint


def test_where_a_step_fits_after_all_it_does_not_blame_the_batch_size(
    tiny: TinyPlugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nnkit.studies.train.oom.train_step", lambda *parts: None)
    with pytest.raises(NnkitError, match="close what else takes memory"):
        train(dataset="tiny", model="tiny-net:most_pixels=64", batch_size=32, epochs=1, runs_dir=tiny.runs)


def test_a_cell_of_a_comparison_does_not_try_batches_beside_the_others(tiny: TinyPlugin) -> None:
    resolved = resolve(TrainConfig, {"dataset": "tiny", "model": "tiny-net:most_pixels=64"})
    with pytest.raises(torch.OutOfMemoryError):
        study.train(resolved, advise=False)


def test_other_errors_of_an_attempt_are_not_hidden() -> None:
    def attempt(batch_size: int) -> None:
        raise ValueError(f"no batch of {batch_size}")

    with pytest.raises(ValueError, match="no batch of 32"):
        fitting_batch_size(32, attempt)


def test_the_allocators_own_error_is_known() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 52, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)


@pytest.mark.parametrize(
    ("said", "is_it"),
    [
        ("CUDA error: out of memory", True),
        ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate", True),
        ("MPS backend out of memory", True),
        ("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes", True),
        ("std::bad_alloc", True),
        ("the shapes do not match", False),
    ],
)
def test_what_the_libraries_under_torch_say_is_known(said: str, is_it: bool) -> None:
    assert is_out_of_memory(RuntimeError(said)) is is_it
    assert not is_out_of_memory(ValueError(said))


@pytest.mark.gpu
def test_a_gpu_out_of_memory_frees_what_the_step_held(tmp_path: Path) -> None:
    torch.cuda.set_per_process_memory_fraction(2 / (torch.cuda.get_device_properties(0).total_memory / 2**30))
    try:
        with pytest.raises(NnkitError, match="out of memory on cuda") as caught:
            train(
                dataset="digits", model="varres-net:width=512", device="cuda", batch_size=8192, epochs=1,
                runs_dir=tmp_path,
            )  # fmt: skip
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert "fits: the largest" in caught.value.hint
