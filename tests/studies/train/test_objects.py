"""Training of objects: one's own data, module and loss, beside the names of components."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import nnkit
from nnkit.errors import NnkitError, UsageError
from nnkit.studies.runs import show_run
from nnkit.types import EpochResult

LABELS = np.arange(120) % 3
IMAGES = np.random.default_rng(0).integers(0, 60, (120, 8, 9), dtype=np.uint8)
IMAGES[:, :4] += (LABELS * 90).astype(np.uint8)[:, None, None]
QUICK: dict[str, Any] = {"epochs": 4, "batch_size": 16, "lr": 0.05, "threads": 1, "device": "cpu"}


@pytest.fixture(autouse=True)
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nnkit.present.figures.draw_training", lambda *parts: [])


@pytest.fixture(scope="module")
def data() -> nnkit.Data:
    return nnkit.Data((IMAGES, LABELS))


class Net(nn.Module):
    """One layer over the pixels."""

    def __init__(self, num_classes, scale=1.0):  # type: ignore[no-untyped-def]  # as people write it
        super().__init__()
        self.layer, self.scale = nn.Linear(72, num_classes), scale

    def forward(self, inputs: Tensor) -> Tensor:
        output: Tensor = self.layer(inputs.flatten(1)) * self.scale
        return output


class Twice(nn.Module):
    """Twice the cross-entropy."""

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        return 2 * nn.functional.cross_entropy(output, target)


def test_a_module_is_trained_itself_and_holds_the_best_weights(data: nnkit.Data, tmp_path: Path) -> None:
    torch.manual_seed(1)
    net = Net(3)
    before = copy.deepcopy(net.state_dict())
    result = nnkit.train(dataset=data, model=net, out=tmp_path / "run", **QUICK)
    assert result.best.value is not None
    assert result.best.value > 0.9
    assert not torch.equal(net.layer.weight, before["layer.weight"])
    loaded = nnkit.load(result.run_dir, model=Net(3))
    assert torch.equal(loaded[1].layer.weight, net.layer.weight)  # type: ignore[index, union-attr]
    images = torch.from_numpy(IMAGES / np.float32(255))[:, None]
    accuracy = (loaded(images).argmax(1).numpy() == LABELS)[data._data.splits["val"].indices].mean()
    assert accuracy == pytest.approx(result.best.value)


def test_an_average_of_weights_is_what_the_module_holds(data: nnkit.Data, tmp_path: Path) -> None:
    net = Net(3)
    result = nnkit.train(dataset=data, model=net, ema=0.9, out=tmp_path / "run", **QUICK)
    loaded = nnkit.load(result.run_dir, model=Net(3))
    assert torch.equal(loaded[1].layer.weight, net.layer.weight)  # type: ignore[index, union-attr]


@pytest.mark.parametrize(
    "model", [Net, lambda num_classes: Net(num_classes), functools.partial(Net, scale=1.0)]
)
def test_a_class_or_function_makes_the_module_from_the_seed(
    data: nnkit.Data, tmp_path: Path, model: Callable[..., nn.Module]
) -> None:
    result = nnkit.train(dataset=data, model=model, seeds="0-1", out=tmp_path / "all", **QUICK)
    torch.manual_seed(1)
    alone = nnkit.train(dataset=data, model=Net(3), seed=1, out=tmp_path / "one", **QUICK)
    seeded = nnkit.train(dataset=data, model=model, seed=1, out=tmp_path / "again", **QUICK)
    assert result.runs[1].best == seeded.best == alone.best
    assert result.runs[0].best != result.runs[1].best


def test_a_loss_that_was_passed_is_the_loss(data: nnkit.Data, tmp_path: Path) -> None:
    one = nnkit.train(dataset=data, model=Net, out=tmp_path / "one", **{**QUICK, "epochs": 1, "lr": 1e-9})
    two = nnkit.train(
        dataset=data, model=Net, loss=Twice(), out=tmp_path / "two", **{**QUICK, "epochs": 1, "lr": 1e-9}
    )
    assert two.best.metrics["val_loss"] == pytest.approx(2 * one.best.metrics["val_loss"], rel=1e-5)


class After:
    """A stopping rule: ends after so many epochs."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def update(self, epoch: EpochResult) -> str | None:
        return "enough" if epoch.epoch >= self.epochs else None

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: object) -> None: ...


def test_a_stopping_rule_that_was_passed_stops(data: nnkit.Data, tmp_path: Path) -> None:
    result = nnkit.train(dataset=data, model=Net, stop=[After(2)], out=tmp_path / "run", **QUICK)
    assert (result.epochs, result.stopped_by) == (2, "python: enough")


def test_names_and_objects_go_together(data: nnkit.Data, tmp_path: Path) -> None:
    named = nnkit.train(dataset=data, model="varres-net:width=4", out=tmp_path / "run", **QUICK)
    assert nnkit.evaluate(named.run_dir, split="val", dataset=data).metrics == named.best.metrics.validation
    assert nnkit.train(dataset=data, out=tmp_path / "default", **QUICK).model == "varres-net"


def test_fit_is_short_for_train(data: nnkit.Data, tmp_path: Path) -> None:
    torch.manual_seed(3)
    first, second = Net(3), Net(3)
    second.load_state_dict(first.state_dict())
    fitted = nnkit.fit(first, (IMAGES, LABELS), out=tmp_path / "fit", **QUICK)
    trained = nnkit.train(dataset=data, model=second, out=tmp_path / "train", **QUICK)
    assert fitted.best == trained.best
    assert torch.equal(first.layer.weight, second.layer.weight)


def test_the_record_says_what_was_passed_and_the_run_is_listed(data: nnkit.Data, tmp_path: Path) -> None:
    result = nnkit.train(dataset=data, model=Net, loss=Twice, runs_dir=tmp_path, **QUICK)
    assert result.run_dir.name.split("-", 2)[2].startswith("Data-Net-")
    assert result.model.endswith("test_objects.Net")
    text = (result.run_dir / "config.toml").read_text()
    assert f'type = "{__name__}.Twice"' in text
    assert show_run(result.run_dir, None).status.state == "finished"


def test_a_run_of_objects_is_not_repeated_from_its_configuration(data: nnkit.Data, tmp_path: Path) -> None:
    result = nnkit.train(dataset=data, model=Net, out=tmp_path / "run", **QUICK)
    config = result.run_dir / "config.toml"
    with pytest.raises(UsageError, match="the dataset was a Python object") as caught:
        nnkit.train(config=config, out=tmp_path / "again")
    assert "the model was a Python object" in caught.value.message
    with pytest.raises(NnkitError, match="was a Python object"):
        nnkit.verify_run(result.run_dir)
    with pytest.raises(UsageError, match="the model was a Python object"):
        nnkit.load(result.run_dir)
    with pytest.raises(UsageError, match="the model was a Python object"):
        nnkit.evaluate(result.run_dir, split="val", dataset=data)
    again = nnkit.train(config=config, dataset=data, model=Net, out=tmp_path / "with objects")
    assert again.best == result.best
    assert nnkit.evaluate(result.run_dir, split="val", dataset=data, model=Net(3)).metrics == (
        result.best.metrics.validation
    )


def test_a_run_of_objects_is_resumed_with_them_and_with_no_others(data: nnkit.Data, tmp_path: Path) -> None:
    whole = nnkit.train(dataset=data, model=Net, out=tmp_path / "whole", **QUICK)
    half = nnkit.train(dataset=data, model=Net, out=tmp_path / "half", **{**QUICK, "epochs": 2})
    other = nnkit.Data((IMAGES, (LABELS + 1) % 3))
    with pytest.raises(UsageError, match="dataset: the run has python:type="):
        nnkit.train(resume=half.run_dir, dataset=other, model=Net, epochs=4)
    resumed = nnkit.train(resume=half.run_dir, dataset=data, model=Net, epochs=4)
    assert resumed.best == whole.best


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"dataset": (IMAGES, LABELS)}, "expected a dataset, but builtins.tuple has no load"),
        ({"model": 3}, "expected a model, but builtins.int has no forward"),
        ({"model": dict}, "expected a model, but what builtins.dict makes has no forward"),
        ({"model": nn.Linear}, "needs in_features, out_features, which the dataset does not know"),
        ({"loss": len}, "expected a loss"),
        ({"optimizer": torch.optim.Adam}, "optimizer: expected a name, got a type"),
        ({"model": Net(3), "seeds": "0-1"}, "starts every seed with the same weights"),
        ({"model": Net, "seeds": "0-1", "jobs": 2}, "is an object of this process"),
        ({"loss": Twice(), "label_smoothing": 0.1}, "label_smoothing: the loss"),
        ({"solver": "least-squares"}, "has no least-squares fit"),
    ],
)  # fmt: skip
def test_what_is_no_component_is_refused_in_one_message(
    data: nnkit.Data, tmp_path: Path, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        nnkit.train(**{"dataset": data, "model": Net, "out": tmp_path / "run", **options})
    assert not (tmp_path / "run").exists()


def test_progress_is_told_only_where_it_is_asked_for(
    data: nnkit.Data, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nnkit.train(dataset=data, model=Net, out=tmp_path / "quiet", **QUICK)
    assert capsys.readouterr() == ("", "")
    nnkit.train(dataset=data, model=Net, out=tmp_path / "told", progress=True, **QUICK)
    told = capsys.readouterr()
    assert told.out == ""
    assert [line.split(":")[0] for line in told.err.splitlines()] == [
        "nnkit", *(f"epoch {at}/4" for at in range(1, 5))
    ]  # fmt: skip
