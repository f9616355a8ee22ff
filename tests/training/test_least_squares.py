from __future__ import annotations

import logging
import time
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nnkit.data.images import Images
from nnkit.data.loaders import EvalLoader
from nnkit.errors import DivergedError, InterruptedRun, NnkitError, UsageError
from nnkit.training.least_squares import PREPARE_IMAGES, fit_least_squares, one_epoch, prepare
from nnkit.training.loop import TrainState
from nnkit.types import Data, EpochResult, Split


def data_of(num_train: int, task: Any = "transform") -> Data:
    """Images of one level each, 0 to 255, the training ones from 0 on."""
    images = torch.arange(256, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 2, 2).contiguous()
    targets = images.float() / 255
    parts = {"train": np.arange(num_train), "val": np.arange(num_train, 256), "test": np.arange(0)}
    held = Images.from_tensor(images)
    splits = {name: Split(held, targets, indices) for name, indices in parts.items()}
    return Data(task, splits, 1, (2, 2), mean=(0.0,), std=(1.0,))


class Third(nn.Module):
    """A model of a third party, with all that may stand beside `forward`."""

    least_squares_images = 10

    def __init__(self, broken: bool = False) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(()))
        self.broken = broken
        self.seen: list[Tensor] = []

    def forward(self, inputs: Tensor) -> Tensor:
        return self.scale * inputs

    def fit_least_squares(self, inputs: Tensor, targets: Tensor) -> dict[str, Any]:
        if self.broken:
            raise torch.linalg.LinAlgError("singular")
        self.seen.append(inputs)
        self.scale.copy_((inputs * targets).sum() / inputs.square().sum())
        return {"notes": ["a word about it"], "pivots": 3}

    def prepare_for_training(self, inputs: Tensor, targets: Tensor) -> dict[str, Any]:
        self.seen.append(inputs)
        return {"places": 7}


def test_a_model_of_a_third_party_is_fitted_on_as_many_training_images_as_it_asks_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "nnkit")
    model = Third()
    started = time.perf_counter()
    facts = fit_least_squares(model, data_of(100))
    seconds = time.perf_counter() - started
    assert model.scale.item() == pytest.approx(1)
    assert (model.seen[0][:, 0, 0, 0] * 255).round().tolist() == list(range(0, 100, 10))
    assert 0 <= facts.pop("solver_s") <= seconds
    assert facts == {"name": "least-squares", "images": 10, "notes": ["a word about it"], "pivots": 3}
    assert "a word about it" in caplog.text


def test_a_model_written_for_the_names_of_0_1_is_fitted_too() -> None:
    class Older(nn.Module):
        closed_form_images = 7

        def forward(self, inputs: Tensor) -> Tensor:
            return inputs

        def fit_closed_form(self, inputs: Tensor, targets: Tensor) -> dict[str, Any]:
            return {"iterations": len(inputs)}

    assert fit_least_squares(Older(), data_of(100))["iterations"] == 7


def test_before_gradients_it_is_shown_training_images_and_others_are_left_alone() -> None:
    model = Third()
    assert prepare(model, data_of(100)) == {"name": "gradient", "places": 7}
    assert len(model.seen[0]) == min(100, PREPARE_IMAGES)
    assert prepare(nn.Linear(1, 1), data_of(100)) == {"name": "gradient"}
    assert prepare(model, data_of(100, task="classification")) == {"name": "gradient"}


def test_a_fit_that_breaks_is_told_with_its_cause() -> None:
    with pytest.raises(
        UsageError, match="cannot be fitted to 10 images of this dataset: _LinAlgError: singular"
    ):
        fit_least_squares(Third(broken=True), data_of(100))


def test_out_of_memory_is_not_taken_for_a_fit_that_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    def hungry(*images: Tensor) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    model = Third()
    monkeypatch.setattr(model, "fit_least_squares", hungry)
    with pytest.raises(torch.OutOfMemoryError):
        fit_least_squares(model, data_of(100))


def test_what_has_no_closed_form_is_refused() -> None:
    with pytest.raises(UsageError, match="model has no fit_least_squares"):
        fit_least_squares(nn.Linear(1, 1), data_of(100))
    with pytest.raises(UsageError, match="dataset has classes"):
        fit_least_squares(Third(), data_of(100, task="classification"))


CPU = torch.device("cpu")


def half_of(data: Data, *, weight: float = 0.5, **more: Any) -> EpochResult:
    """The one epoch of a model that answers `weight` times its input."""
    model = Third()
    with torch.no_grad():
        model.scale.fill_(weight)
    state = TrainState(model.train(), torch.optim.SGD(model.parameters(), lr=0.1))
    train, val = (EvalLoader(data, data.splits[name], batch_size=7, device=CPU) for name in ("train", "val"))
    (epoch,) = one_epoch(state, nn.MSELoss(), data, train, val, {"solver_s": 4.0, "images": 10}, **more)
    assert (state.epoch, state.step) == (1, 0)
    return epoch


def test_the_epoch_of_a_fit_has_the_loss_of_the_training_split_and_the_metrics_of_validation() -> None:
    epoch = half_of(data_of(100))
    level = np.arange(256) / 255
    train_loss, val_loss = (np.mean((level[part] / 2) ** 2) for part in (slice(0, 100), slice(100, 256)))
    assert epoch.metrics["train_loss"] == pytest.approx(train_loss, rel=1e-6)
    assert epoch.metrics["val_loss"] == pytest.approx(val_loss, rel=1e-6)
    assert epoch.metrics["val_mse"] == pytest.approx(val_loss, rel=1e-6)
    assert epoch.metrics["val_max_abs_error"] == pytest.approx(0.5, rel=1e-6)
    assert set(epoch.metrics) == {"train_loss"} | {
        f"val_{name}" for name in ("loss", "mse", "mae_sum", "max_abs_error", "psnr", "cosine_accuracy")
    }
    assert epoch.validation["loss"] == epoch.metrics["val_loss"]
    assert epoch.validation["levels"]["differing"] > 0
    assert (epoch.epoch, epoch.step) == (1, 0)


def test_its_time_and_speed_are_those_of_the_fit() -> None:
    epoch = half_of(data_of(100))
    assert (epoch.train_s, epoch.images_per_s) == (4.0, 2.5)
    assert 4.0 < epoch.seconds < 64


def test_a_fitted_model_is_evaluated_in_the_precision_asked_for() -> None:
    class Multiplies(Third):
        def forward(self, inputs: Tensor) -> Tensor:
            seen.append((inputs.flatten(1) @ torch.eye(4)).dtype)
            return inputs

    seen: list[torch.dtype] = []
    data = data_of(100)
    for precision, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        state = TrainState(model := Multiplies(), torch.optim.SGD(model.parameters(), lr=0.1))
        both = [EvalLoader(data, data.splits[name], batch_size=100, device=CPU) for name in ("train", "val")]
        solved = {"solver_s": 0.0, "images": 10}
        (epoch,) = one_epoch(state, nn.MSELoss(), data, *both, solved, precision=precision)
        assert set(seen) == {dtype}
        assert len(seen) == 3, "one batch of training, two of validation"
        assert epoch.images_per_s == 0
        seen.clear()


def test_an_interrupt_is_heard_before_each_batch_of_both_evaluations() -> None:
    asked: list[int] = []
    half_of(data_of(100), between=lambda: asked.append(1))
    assert len(asked) == 15 + 23, "100 and 156 images in batches of 7"

    def between() -> None:
        raise InterruptedRun("interrupted", exit_code=130)

    with pytest.raises(InterruptedRun):
        half_of(data_of(100), between=between)


def test_a_fit_that_left_no_finite_weights_is_no_result() -> None:
    with pytest.raises(DivergedError):
        half_of(data_of(100), weight=float("nan"))


def test_a_fit_gets_its_images_as_the_model_is_fed_them_and_needs_no_gradients() -> None:
    class Looks(Third):
        least_squares_images = 1000

        def fit_least_squares(self, inputs: Tensor, targets: Tensor) -> dict[str, Any]:
            self.given = (inputs, targets, torch.is_grad_enabled())
            return {}

        prepare_for_training = fit_least_squares

    model, data = Looks(), data_of(100)
    data = Data("transform", data.splits, 1, (2, 2), mean=(0.5,), std=(0.25,))
    facts = fit_least_squares(model, data)
    level = torch.arange(100).view(-1, 1, 1, 1).expand(-1, 1, 2, 2) / 255
    assert facts["images"] == 100
    assert facts.keys() == {"name", "images", "solver_s"}
    torch.testing.assert_close(model.given[0], (level - 0.5) / 0.25)
    torch.testing.assert_close(model.given[1], level)
    assert model.given[2] is False
    many = data_of(256)
    prepare(model, Data("transform", {**many.splits, "train": twice(many.splits["train"], 3)}, 1, (2, 2)))
    assert len(model.given[0]) == PREPARE_IMAGES == 500
    assert torch.is_grad_enabled()


def twice(split: Split, times: int) -> Split:
    return Split(split.images, split.targets, np.tile(split.indices, times))


@pytest.mark.parametrize("error", [RuntimeError, ValueError, TypeError, IndexError])
def test_what_a_fit_raises_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def broken(*images: Tensor) -> None:
        raise error("first\nsecond")

    model = Third()
    monkeypatch.setattr(model, "prepare_for_training", broken)
    with pytest.raises(UsageError) as caught:
        prepare(model, data_of(100))
    assert caught.value.message.endswith(f"fitted to 100 images of this dataset: {error.__name__}: first")
    assert "--solver least-squares" in caught.value.hint
    assert isinstance(caught.value.__cause__, error)


def test_what_a_fit_says_itself_is_not_reworded(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*images: Tensor) -> None:
        raise NnkitError("no least squares with a sigmoid")

    model = Third()
    monkeypatch.setattr(model, "fit_least_squares", refuses)
    with pytest.raises(NnkitError, match=r"^no least squares with a sigmoid$"):
        fit_least_squares(model, data_of(100))
