"""A run of nnkit beside the oracle: both train the same thing, and all that they did is compared."""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

import nnkit
from checkpoint_files import best_file
from nnkit.types import Data
from oracle.components import MEAN, STD, OneOfEach
from oracle.loop import Batch, Options, Trace, Weights, train
from oracle.recorder import Call, Recording, recording

CLOSE = 1e-10


@dataclass(frozen=True)
class Followed:
    """What nnkit did, and what it should have done."""

    result: Any
    seen: Recording
    oracle: Trace
    data: Data


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Everything that torch makes meanwhile is of this type."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def as_options(x: Options) -> dict[str, Any]:
    """The options as `nnkit.train` takes them."""
    names = ("lr", "epochs", "batch_size", "precision", "clip", "ema", "seed")
    return {
        "optimizer": _spec(x.optimizer, x.settings),
        "schedule": _spec(x.schedule, x.of_schedule),
        "label_smoothing": x.label_smoothing,
        "augment": x.augment.split("+"),
        **{name: getattr(x, name) for name in names},
    }


def _spec(name: str, settings: Mapping[str, Any]) -> str:
    given = ",".join(f"{key}={json.dumps(value)}" for key, value in settings.items())
    return f"{name}:{given}" if given else name


def nnkits(runs: Path, net: type[nn.Module], judge: type[nn.Module], **options: Any) -> tuple[Any, Recording]:
    """Train with nnkit, without pictures; the result, and what was seen."""
    with pytest.MonkeyPatch.context() as patch, recording(net, judge) as seen:
        patch.setattr("nnkit.present.figures.draw_training", lambda *parts: [])
        result = nnkit.train(runs_dir=runs, observers=[seen], **options)
    return result, seen


def follow(
    runs: Path,
    x: Options,
    net: type[nn.Module],
    *,
    dataset: str = "one-of-each",
    data: Data | None = None,
    spec: str = "small-net",
    settings: Mapping[str, Any] | None = None,
    channels_last: bool = False,
    **more: Any,
) -> Followed:
    """Train a classifier with nnkit and with the oracle, on the batches whose order nnkit chose."""
    result, seen = nnkits(
        runs, net, nn.CrossEntropyLoss, dataset=dataset, model=spec, **as_options(x), **more
    )
    data = data if data is not None else OneOfEach().load(None)
    torch.manual_seed(x.seed)
    ours = net(**{"num_classes": len(data.class_names), "in_channels": 1, **(settings or {})})
    if channels_last:
        ours = ours.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    order = [
        [shown(data, "train", call, channels_last) for call in first_calls(x, phase)]
        for phase in seen.phases()[0 : 2 * x.epochs : 2]
    ]
    return Followed(result, seen, train(x, ours, order, mean=MEAN, std=STD), data)


def first_calls(x: Options, phase: list[Call]) -> list[Call]:
    """The first call of each step: L-BFGS asks for the same batch several times."""
    if x.optimizer != "lbfgs":
        return phase
    pairs = zip(phase, [None, *phase], strict=False)
    return [call for call, before in pairs if not _same_batch(call, before)]


def _same_batch(call: Call, before: Call | None) -> bool:
    return before is not None and call.target is not None and torch.equal(call.target, before.target)


def pairs_shown(data: Data, call: Call) -> Batch:
    """The images of a call on image pairs, found by their targets to the bit."""
    assert call.target is not None
    split = data.splits["train"]
    known = {split.targets[int(index)].numpy().tobytes(): int(index) for index in split.indices}
    which = [known[target.numpy().tobytes()] for target in call.target]
    images = torch.stack([split.images.image(index) / 255 for index in which])
    # Dropout's mask is drawn in the order of the memory.
    return torch.empty_like(call.inputs).copy_(images), None, call.target


def shown(data: Data, split: str, call: Call, channels_last: bool = False) -> Batch:
    """The images of a call, found by their targets: floats in [0, 1] at the top left of the call's canvas."""
    assert call.target is not None
    which = data.splits[split].indices[call.target.numpy()]
    height, width = call.inputs.shape[2:]
    images = torch.zeros((len(which), data.in_channels, height, width))
    mask = torch.zeros((len(which), 1, height, width), dtype=torch.bool)
    for place, index in enumerate(which):
        image = data.splits[split].images.image(int(index))
        images[place, :, : image.shape[1], : image.shape[2]] = image / 255
        mask[place, :, : image.shape[1], : image.shape[2]] = True
    if channels_last:
        images = images.contiguous(memory_format=torch.channels_last)
    return images, None if call.mask is None else mask, call.target


def check_steps(found: Followed, x: Options, *, close: float = CLOSE) -> None:
    """Before every step: the oracle's weights, inputs, learning rate and loss; in training mode."""
    phases = found.seen.phases()[0 : 2 * x.epochs : 2]
    calls = list(itertools.chain.from_iterable(first_calls(x, phase) for phase in phases))
    oracle = found.oracle
    assert len(calls) == len(oracle.weights) == len(found.seen.steps)
    assert all(call.training for phase in phases for call in phase)
    for call, weights, inputs in zip(calls, oracle.weights, oracle.inputs, strict=True):
        assert_close(call.weights, weights, close)
        assert_close({"inputs": call.inputs}, {"inputs": inputs}, close)
    assert [float(step.loss) for step in found.seen.steps] == pytest.approx(
        oracle.losses, rel=close, abs=close
    )
    assert [step.learning_rate for step in found.seen.steps] == pytest.approx(
        oracle.rates, rel=1e-12, abs=1e-15
    )
    assert [step.num_images for step in found.seen.steps] == [len(inputs) for inputs in oracle.inputs]


def check_epochs(found: Followed, x: Options, net: nn.Module, *, close: float = CLOSE) -> None:
    """Each epoch reports the oracle's training metrics, and NumPy's of the weights to validate."""
    for at, epoch in enumerate(found.seen.epochs):
        calls = found.seen.phases()[2 * at + 1]
        calls = calls[: count_calls(calls, len(found.data.splits["val"]))]
        assert not any(call.training for call in calls)
        for call in calls:
            assert_close(call.weights, found.oracle.validated[at], close)
        expected = {
            "train_loss": found.oracle.train_loss[at],
            "train_accuracy": found.oracle.train_accuracy[at],
        }
        measured = by_numpy(net, found.oracle.validated[at], found.data, "val", x)
        expected |= {f"val_{name}": value for name, value in measured.items()}
        assert dict(epoch.metrics) == pytest.approx(expected, rel=close, abs=close)
    last_steps = [found.oracle.rates[epoch.step - 1] for epoch in found.seen.epochs]
    assert [epoch.learning_rate for epoch in found.seen.epochs] == pytest.approx(last_steps, abs=1e-15)
    metric = [epoch.metrics["val_accuracy"] for epoch in found.seen.epochs]
    best = found.seen.epochs[found.result.best["epoch"] - 1]
    assert best.metrics["val_accuracy"] == max(metric)
    kept = found.oracle.validated[best.epoch - 1]
    assert_close(load_file(best_file(found.result.run_dir)), kept, close)
    for name, value in by_numpy(net, kept, found.data, "test", x).items():
        assert found.result.test[name] == pytest.approx(value, rel=close, abs=close)


def count_calls(calls: list[Call], num_images: int) -> int:
    """How many calls it takes to see so many images: what follows is the test split."""
    seen = np.cumsum([0 if call.target is None else len(call.target) for call in calls])
    return int(np.searchsorted(seen, num_images)) + 1


def by_numpy(net: nn.Module, weights: Weights, data: Data, split: str, x: Options) -> dict[str, float]:
    """Loss, accuracy and macro-F1 of a split, each image by itself; `net` takes the weights."""
    net.load_state_dict(weights)
    losses, labels, predicted = [], [], []
    for index in data.splits[split].indices:
        image = data.splits[split].images.image(int(index)) / torch.tensor(255.0)
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=x.precision == "bf16"):
            logits = net.eval()((image[None] - MEAN) / STD)[0].double().numpy()
        label = int(data.splits[split].targets[index])
        q = np.full(len(logits), x.label_smoothing / len(logits))
        q[label] += 1 - x.label_smoothing
        losses.append(float(-(q * (logits - np.logaddexp.reduce(logits))).sum()))
        labels.append(label)
        predicted.append(int(logits.argmax()))
    hits = np.array(labels) == np.array(predicted)
    return {"loss": np.mean(losses), "accuracy": hits.mean(), "macro_f1": macro_f1(labels, predicted)}


def macro_f1(labels: list[int], predicted: list[int]) -> float:
    """The mean over the classes that occur of 2 · precision · recall / (precision + recall)."""
    scores = []
    for k in set(labels) | set(predicted):
        hits = sum(label == k == guess for label, guess in zip(labels, predicted, strict=True))
        precision, recall = hits / max(1, predicted.count(k)), hits / max(1, labels.count(k))
        scores.append(2 * precision * recall / (precision + recall) if hits else 0.0)
    return sum(scores) / len(scores)


def assert_close(found: Mapping[str, Tensor], expected: Mapping[str, Tensor], close: float) -> None:
    """Every tensor within `close`, absolutely and relatively; the same names."""
    assert set(found) == set(expected)
    for name, value in expected.items():
        said = functools.partial("{}: {}".format, name)
        torch.testing.assert_close(found[name], value, rtol=close, atol=close, check_dtype=False, msg=said)
