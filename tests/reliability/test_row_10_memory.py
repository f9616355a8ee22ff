"""Out of memory in training says which batch size would fit; of a cell of a bench, studies/test_bench.py."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from nnkit.errors import NnkitError
from nnkit.studies.train import train
from nnkit.training.memory import fitting_batch_size, is_out_of_memory
from tiny_plugin import TinyPlugin


@pytest.mark.parametrize(
    ("dataset", "most_pixels", "hint"),
    [
        ("tiny", 20 * 64, "--batch-size 16 fits"),
        ("tiny", 64, "--batch-size 1 fits"),
        ("tiny:several=true", 9 * 144, "--batch-size 8 fits"),
        ("tiny", 63, "not one image fits"),
    ],
)
def test_training_says_which_batch_size_fits(
    tiny: TinyPlugin, dataset: str, most_pixels: int, hint: str
) -> None:
    spec = f"tiny-net:most_pixels={most_pixels}"
    with pytest.raises(NnkitError, match="out of memory on cpu with batches of 32") as caught:
        train(dataset=dataset, model=spec, batch_size=32, epochs=1, runs_dir=tiny.runs)
    assert hint in caught.value.hint
    (status,) = tiny.runs.rglob("status.json")
    assert json.loads(status.read_text())["state"] == "failed"


def test_the_batch_size_it_names_does_train(tiny: TinyPlugin, tmp_path: Path) -> None:
    spec = f"tiny-net:most_pixels={9 * 144}"
    train(dataset="tiny:several=true", model=spec, batch_size=8, epochs=1, test=False, out=tmp_path / "run")


def test_where_a_step_fits_it_does_not_blame_the_batch_size() -> None:
    assert fitting_batch_size(32, lambda batch_size: None) == 32


def test_other_errors_of_an_attempt_are_not_hidden() -> None:
    def attempt(batch_size: int) -> None:
        raise ValueError(f"no batch of {batch_size}")

    with pytest.raises(ValueError, match="no batch of 32"):
        fitting_batch_size(32, attempt)


def test_the_allocators_own_error_is_known() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 46, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)
    assert not is_out_of_memory(RuntimeError("the shapes do not match"))


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
    assert "fits: a step" in caught.value.hint
