"""An evaluation against NumPy over all images: the run's statistics, loss and precision, on any split."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from checkpoint_files import best_file
from nnkit import registry
from nnkit.api import evaluate, train
from nnkit.data.images import Images
from nnkit.errors import CheckpointError, UsageError
from nnkit.results.evaluate import ClassScores
from nnkit.results.train import TrainResult
from nnkit.runs import weights as weight_files
from nnkit.studies.evaluate.study import per_class
from nnkit.types import Data, DataPlace, Split
from tiny_plugin import Tiny, TinyNet, TinyPlugin

MEAN, STD = 0.4, 0.3
"""Of the tiny dataset."""


@pytest.fixture
def trained(tiny: TinyPlugin, monkeypatch: pytest.MonkeyPatch) -> TrainResult:
    monkeypatch.setattr("nnkit.present.figures.draw_training", lambda *parts: [])
    return train(dataset="tiny", epochs=2, batch_size=16, runs_dir=tiny.runs)


class Shifted(Tiny):
    """The tiny images with other statistics, and with labels of their own."""

    def load(self, place: DataPlace) -> Data:
        return replace(super().load(place), mean=(0.1,), std=(0.9,))


class Pictures(Tiny):
    """The tiny images for the task of transforming them."""

    def load(self, place: DataPlace) -> Data:
        return replace(super().load(place), task="transform", target_channels=1, target_size=(8, 8))


@pytest.fixture
def several(tiny: TinyPlugin, monkeypatch: pytest.MonkeyPatch) -> TinyPlugin:
    """Beside the tiny plugin, the datasets "shifted" and "pictures"; no run draws figures."""
    module = ModuleType("other_data")
    vars(module).update(Shifted=Shifted, Pictures=Pictures)
    monkeypatch.setitem(sys.modules, "other_data", module)
    info = tiny.runs.parent / "site" / "other_data-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other-data\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[nnkit.datasets]\nshifted = other_data:Shifted\npictures = other_data:Pictures\n"
    )
    registry.refresh()
    monkeypatch.setattr("nnkit.present.figures.draw_training", lambda *parts: [])
    return tiny


def run_of(tiny: TinyPlugin, **options: Any) -> Path:
    """A run of two epochs on tiny images of three sizes, large steps: its outputs are far from even."""
    options = {"dataset": "tiny:several=true", "epochs": 2, "lr": 0.05, "test": False, **options}
    return train(runs_dir=tiny.runs, device="cpu", **options).run_dir


def logits_by_numpy(run: Path, split: Split, mean: float = MEAN, std: float = STD) -> np.ndarray:
    """What the run's network says of each image, by loops in float64."""
    model, _ = weight_files.load_bare(run)
    w = {name: value.double().numpy() for name, value in model.state_dict().items()}
    rows = []
    for index in split.indices:
        image = (_pixels(split.images, index) / 255 - mean) / std
        features = np.zeros((4, 3))
        for channel, (kernel, bias) in enumerate(zip(w["conv.weight"][:, 0], w["conv.bias"], strict=True)):
            for row in range(3):
                patches = [
                    np.sum(kernel * image[2 * row : 2 * row + 2, col : col + 3])
                    for col in range(image.shape[1] - 2)
                ]
                features[channel, row] = max(0.0, max(patches) + bias)
        rows.append(w["linear.weight"] @ features.ravel() + w["linear.bias"])
    return np.array(rows)


def _pixels(images: Images, index: int) -> np.ndarray:
    ((pixels, _),) = images.batches([(np.array([index]), None)])
    return pixels[0, 0].double().numpy()


def expected(logits: np.ndarray, split: Split, *, smoothing: float = 0.0) -> dict[str, Any]:
    """Loss, accuracy and confusion over all images and for each size, image after image."""
    sums: dict[str, dict[str, Any]] = {}
    for row, index in zip(logits, split.indices, strict=True):
        label = int(split.targets[index])
        log_probability = row - np.log(np.sum(np.exp(row - row.max()))) - row.max()
        loss = -(1 - smoothing) * log_probability[label] - smoothing * log_probability.mean()
        height, width = split.images.original_sizes[index]
        for key in ("all", f"{height}x{width}"):
            part = sums.setdefault(key, {"losses": [], "confusion": np.zeros((3, 3), int)})
            part["losses"].append(loss)
            part["confusion"][label, row.argmax()] += 1
    return {
        key: {
            "loss": np.mean(part["losses"]),
            "accuracy": np.trace(part["confusion"]) / part["confusion"].sum(),
            "confusion": part["confusion"].tolist(),
        }
        for key, part in sums.items()
    }


def split_of(dataset: str = "test", **settings: Any) -> Split:
    return Tiny(several=True, **settings).load(DataPlace(Path(), Path())).splits[dataset]


def check(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """The document's numbers are the expected ones, float32 against float64."""
    metrics, whole = found["metrics"], wanted["all"]
    sizes = [key for key in wanted if key != "all"]
    assert len(sizes) == 3
    assert metrics["loss"] == pytest.approx(whole["loss"], rel=1e-5)
    assert metrics["accuracy"] == whole["accuracy"]
    for name in ("loss", "accuracy"):
        by_size = {key: wanted[key][name] for key in sizes}
        assert metrics[f"{name}_by_resolution"] == pytest.approx(by_size, rel=1e-5)
    assert found["confusion"] == {key: wanted[key]["confusion"] for key in wanted}
    matrix = np.array(whole["confusion"])
    for index, row in enumerate(found["per_class"]):
        assert row["name"] == "abc"[index]
        assert row["count"] == matrix[index].sum()
        for key, total in (("recall", matrix[index].sum()), ("precision", matrix[:, index].sum())):
            assert row[key] == (pytest.approx(matrix[index, index] / total) if total else None)


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_every_number_of_every_split_is_what_numpy_finds_image_by_image(
    several: TinyPlugin, split: str
) -> None:
    run = run_of(several)
    images = split_of(split)
    wanted = expected(logits_by_numpy(run, images), images)
    for batch_size in (7, 256):
        found = evaluate(run, split=split, batch_size=batch_size).document()
        check(found, wanted)
        assert (found["split"], found["images"]) == (split, len(images))
    assert found["class_names"] == ["a", "b", "c"]
    assert found["dataset"] == "tiny:several=true"
    assert found["model"] == "tiny-net"
    assert found["run_dir"] == str(run)
    assert 0 < found["seconds"] < 60


def test_other_data_is_normalised_by_the_runs_statistics_not_its_own(several: TinyPlugin) -> None:
    run, images = run_of(several), split_of()
    found = evaluate(run, dataset="shifted:several=true").document()
    check(found, expected(logits_by_numpy(run, images), images))
    own = expected(logits_by_numpy(run, images, 0.1, 0.9), images)
    assert found["metrics"]["loss"] != pytest.approx(own["all"]["loss"], rel=1e-2)
    assert found["dataset"] == "shifted:several=true"


def test_the_loss_is_the_one_that_the_run_was_trained_with(several: TinyPlugin) -> None:
    images = split_of()
    for options in ({"loss": "cross-entropy:label_smoothing=0.4"}, {"label_smoothing": 0.4}):
        run = run_of(several, **options)
        logits = logits_by_numpy(run, images)
        check(evaluate(run).document(), expected(logits, images, smoothing=0.4))
    # A file of weights says nothing of its loss: the task's usual one.
    weights = evaluate(best_file(run), dataset="tiny:several=true").document()
    check(weights, expected(logits, images))


def test_the_outputs_are_computed_in_the_precision_of_the_run(several: TinyPlugin) -> None:
    """In bf16 where it was trained so: as torch's autocast computes each image, the loss in float32."""
    losses = {}
    for precision in ("bf16", "fp32"):
        run = run_of(several, precision=precision)
        model, _ = weight_files.load_bare(run)
        images = split_of()
        values = []
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            for index in images.indices:
                pixels = torch.from_numpy(_pixels(images.images, index)).float()[None, None]
                output = model((pixels / 255 - MEAN) / STD).float()
                assert isinstance(model, TinyNet)
                values.append(F.cross_entropy(output, images.targets[index][None]).item())
        found = evaluate(run).metrics["loss"]
        # bf16 rounds at 2**-9; which way may depend on the batch at a few values.
        assert found == pytest.approx(np.mean(values), rel=1e-3 if precision == "bf16" else 1e-6)
        losses[precision] = (found, expected(logits_by_numpy(run, images), images)["all"]["loss"])
    found, exact = losses["bf16"]
    assert abs(found - exact) > 1e-5 * exact
    assert losses["fp32"][0] == pytest.approx(losses["fp32"][1], rel=1e-5)


def test_a_limit_takes_images_evenly_from_the_whole_split(several: TinyPlugin) -> None:
    run, images = run_of(several), split_of()
    # Of 45 images, 11: every 4.09th.
    some = replace(images, indices=images.indices[[0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40]])
    found = evaluate(run, limit=11).document()
    assert found["images"] == 11
    check(found, expected(logits_by_numpy(run, some), some))


def test_the_data_root_of_the_run_is_used_unless_another_is_given(
    several: TinyPlugin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places: list[Path] = []
    plain = Tiny.load

    def load(self: Tiny, place: DataPlace) -> Data:
        places.append(place.root)
        return plain(self, place)

    monkeypatch.setattr(Tiny, "load", load)
    monkeypatch.delenv("NNKIT_DATA", raising=False)
    run = run_of(several, data_root=tmp_path / "mine")
    places.clear()
    evaluate(run)
    evaluate(run, data_root=tmp_path / "other")
    assert places == [tmp_path / "mine", tmp_path / "other"]


def test_the_document_has_metrics_classes_and_a_confusion_matrix(trained: TrainResult) -> None:
    document = evaluate(trained.run_dir).document()
    assert document["schema"] == "nnkit.evaluate/1"
    assert document["metrics"] == trained.test.document()
    assert document["images"] == 45
    assert sum(map(sum, document["confusion"]["all"])) == 45
    assert [row["name"] for row in document["per_class"]] == ["a", "b", "c"]
    json.dumps(document, allow_nan=False)


def test_a_weights_file_alone_needs_a_dataset_to_be_named(trained: TrainResult) -> None:
    weights = best_file(trained.run_dir)
    with pytest.raises(UsageError, match="does not say what it was trained on"):
        evaluate(weights)
    assert evaluate(weights, dataset="tiny").metrics == trained.test


def test_another_number_of_classes_is_refused_with_both(trained: TrainResult) -> None:
    with pytest.raises(UsageError, match=r'num_classes: .* was made for 3, "tiny:classes=4" has 4'):
        evaluate(trained.run_dir, dataset="tiny:classes=4")


def test_another_size_is_refused_with_both_shapes(several: TinyPlugin) -> None:
    run = run_of(several, dataset="tiny", model="mnist-convnet", epochs=1)
    with pytest.raises(UsageError, match=r"image_size: .* made for 8×8, .* has several sizes"):
        evaluate(run, dataset="tiny:several=true")


def test_another_task_is_refused(several: TinyPlugin) -> None:
    with pytest.raises(UsageError, match=r'trained for classification, "pictures" is for transform'):
        evaluate(run_of(several, dataset="tiny", epochs=1), dataset="pictures")


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no run"):
        evaluate(tmp_path / "none")
    with pytest.raises(CheckpointError, match="holds no weights"):
        evaluate(tmp_path)


def test_precision_and_recall_are_those_of_the_matrix() -> None:
    rows = per_class(((3, 1, 0), (0, 0, 0), (1, 0, 0)), ["a", "b", "c"])
    assert rows[0] == ClassScores(name="a", count=4, precision=0.75, recall=0.75)
    assert math.isnan(rows[1].recall)
    assert rows[1].precision == 0.0
    assert math.isnan(rows[2].precision)
    assert rows[2]["recall"] == 0.0
