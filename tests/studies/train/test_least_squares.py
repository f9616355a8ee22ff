"""`nnkit train --solver als`: fits by least squares, from the configuration to the summary."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from checkpoint_files import last_file
from data.image_files import random_png, write_folder
from nnkit.api import evaluate, train
from nnkit.config import resolve
from nnkit.errors import ConfigError, UsageError
from nnkit.models.separable import Separable
from nnkit.results.train import TrainResult
from nnkit.studies.train.config import OF_GRADIENTS, TrainConfig
from nnkit.studies.train.experiment import complete

SYNTHETIC = "cifar-transform:source=synthetic"


@pytest.fixture
def fitted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A run with als, without its figures."""
    monkeypatch.setattr("nnkit.present.figures.draw_training", lambda *parts: [])

    def run(**options: Any) -> TrainResult:
        usual = {"dataset": SYNTHETIC, "model": "separable", "limit": 200, "runs_dir": tmp_path}
        return train(**{**usual, "solver": "als", **options})

    return run


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A dataset of random images, which holds nothing else than detail."""
    names = {f"test/a/{number}.png": random_png(number, 32, 32, colour=True) for number in range(40)}
    names |= {f"train/a/{number}.png": random_png(100 + number, 32, 32, colour=True) for number in range(10)}
    return f"cifar-transform:source={write_folder(tmp_path_factory.mktemp('noise'), names)}"


def test_the_solver_is_told_in_the_result_and_the_run_has_one_epoch(fitted: Any) -> None:
    result = fitted()
    assert (result.epochs, result.stopped_by, result.best["epoch"]) == (1, "least squares", 1)
    assert result.solver["name"] == "least-squares"
    assert result.solver["images"] == 200
    assert 0 < result.solver["solver_s"] < result.seconds
    assert result.solver["iterations"] > 1
    assert {"train_loss", "val_loss", "loss", "mae_sum"} <= set(result.best.metrics.document())
    assert json.loads((result.run_dir / "summary.json").read_text())["solver"] == result.solver.document()
    lines = [json.loads(line) for line in (result.run_dir / "metrics.jsonl").read_text().splitlines()]
    assert [line["kind"] for line in lines] == ["epoch"]
    assert last_file(result.run_dir).is_file()


def test_evaluate_gives_the_numbers_of_the_run_and_its_fidelity(fitted: Any) -> None:
    result = fitted()
    found = evaluate(result.run_dir, limit=200).metrics
    assert found == result.test
    assert found["fidelity"]["class"] == "exact"
    assert found["levels"]["differing"] == found["levels"]["near_boundary"]


@pytest.mark.parametrize("model", ["separable", "separable:band=3", "separable:output=clamp"])
def test_what_is_fitted_to_smooth_images_is_right_on_them_and_on_noise(
    fitted: Any, noise: str, model: str
) -> None:
    result = fitted(model=model)
    assert result.test["max_abs_error"] <= 1e-5
    found = evaluate(result.run_dir, dataset=noise).metrics
    assert found["max_abs_error"] <= 1e-5
    assert found["fidelity"]["class"] == "exact"


def test_a_band_that_drops_too_much_says_so_in_the_summary_and_is_not_exact(fitted: Any) -> None:
    result = fitted(model="separable:band=2")
    assert result.parameters == 3 + 28 * 2 * 2
    assert result.solver["dropped"]["largest"] > 0.04
    assert "band=2 dropped" in result.solver["notes"][0]
    assert result.test["fidelity"]["class"] == "half-level"


def test_by_gradient_a_band_is_placed_first_and_says_what_it_drops(fitted: Any) -> None:
    result = fitted(model="separable:band=3", solver="gradient", epochs=1)
    assert result.solver["name"] == "gradient"
    assert result.solver["dropped"]["largest"] < 1e-4
    assert fitted(solver="gradient", epochs=1).solver.document() == {"name": "gradient"}


def test_the_fit_sees_training_images_alone(fitted: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[torch.Tensor] = []
    real = Separable.fit_least_squares

    def spy(self: Separable, inputs: torch.Tensor, targets: torch.Tensor) -> dict[str, Any]:
        seen.append(inputs)
        return real(self, inputs, targets)

    monkeypatch.setattr(Separable, "fit_least_squares", spy)
    result = fitted(limit=30)
    from nnkit.data.tensor_files import read
    from nnkit.datasets.cifar_transform import CifarTransform
    from nnkit.types import DataPlace

    images = CifarTransform(source="synthetic").load(DataPlace(Path(), Path())).splits["train"].images
    own = images.fetch(read(result.run_dir / "splits.safetensors")[0]["train"].numpy())[0]
    assert torch.equal((seen[0] * 255).round().to(torch.uint8), own)


def test_the_config_of_a_run_repeats_it(fitted: Any, tmp_path: Path) -> None:
    first = fitted(model="separable:band=3")
    again = train(config=[first.run_dir / "config.toml"], runs_dir=tmp_path)
    assert again.test == first.test
    assert again.run_dir != first.run_dir


def test_every_option_of_gradients_is_refused_at_once() -> None:
    given = {"optimizer": "sgd", "lr": 0.1, "schedule": "cosine", "augment": "affine", "clip": 1.0}
    given |= {"order": "by-resolution", "ema": 0.9, "compile": True, "accumulate": 2}
    given |= {"class_weights": "balanced", "sampler": "balanced"}
    assert set(given) == {*OF_GRADIENTS, "lr"}  # which is a setting of the optimizer
    options = {"dataset": SYNTHETIC, "model": "separable", "solver": "als"}
    with pytest.raises(ConfigError) as caught:
        complete(resolve(TrainConfig, {**options, **given}))
    assert {mistake.path for mistake in caught.value.mistakes} == set(OF_GRADIENTS)
    assert complete(resolve(TrainConfig, options)).config.epochs == 1


def test_a_model_without_a_closed_form_is_refused_and_those_with_one_are_named() -> None:
    with pytest.raises(UsageError, match="these have: conv-linear, linear, separable"):
        complete(resolve(TrainConfig, {"dataset": SYNTHETIC, "model": "conv4", "solver": "als"}))


def test_a_dataset_of_classes_is_refused(fitted: Any) -> None:
    with pytest.raises(UsageError, match="this dataset has classes"):
        fitted(dataset="digits", model="linear")


def test_a_sigmoid_is_refused_with_the_reason(fitted: Any) -> None:
    with pytest.raises(UsageError, match="the sigmoid comes after them"):
        fitted(model="separable:output=sigmoid")


@pytest.mark.slow
@pytest.mark.parametrize("model", ["separable", "separable:band=3", "conv-linear"])
def test_photographs_give_an_exact_surrogate(
    fitted: Any, noise: str, model: str, data_root: Path, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NNKIT_CACHE", str(cache_dir))
    photographs = "cifar-transform:source=cifar10-images.tgz"
    result = fitted(dataset=photographs, data_root=data_root, model=model, limit=2050)
    assert result.test["max_abs_error"] <= 1e-5
    assert result.test["fidelity"]["class"] == "exact"
    assert evaluate(result.run_dir, dataset=noise).metrics["max_abs_error"] <= 1e-5
