from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import nnkit
from checkpoint_files import best_file, last_file
from nnkit.api import evaluate, train
from nnkit.errors import ConfigError, UsageError
from nnkit.results.train import TrainResult
from nnkit.runs import weights as weight_files
from nnkit.runs.directory import RunDirectory
from nnkit.studies.train import experiment
from tiny_plugin import NUM, Tiny, TinyPlugin


@pytest.fixture
def drawn(tiny: TinyPlugin) -> Any:
    """A quick run with its figures, which take most of its time."""

    def run(**options: Any) -> TrainResult:
        usual = {"dataset": "tiny", "epochs": 2, "batch_size": 16, "runs_dir": tiny.runs, "test": False}
        return train(**{**usual, **options})

    return run


@pytest.fixture
def quick(drawn: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A quick run without figures."""
    monkeypatch.setattr("nnkit.present.figures.draw_training", lambda *parts: [])
    return drawn


def weights(result: TrainResult) -> str:
    model = weight_files.load_bare(result.run_dir)[0]
    return hashlib.sha256(b"".join(v.numpy().tobytes() for v in model.state_dict().values())).hexdigest()


def epochs_of(run_dir: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if line["kind"] == "epoch"]


def without_times(document: Mapping[str, Any]) -> dict[str, Any]:
    timed = ("run_dir", "seconds", "images_per_s", "train_s", "data_wait_s")
    return {key: value for key, value in document.items() if key not in timed}


def test_a_run_directory_holds_every_file_of_the_contract(drawn: Any) -> None:
    run = drawn(test=True).run_dir
    files = {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()}
    assert files >= {
        "config.toml",
        "environment.json",
        "status.json",
        "metrics.jsonl",
        "summary.json",
        "splits.safetensors",
        "figures/curves.png",
        "figures/curves.csv",
        "figures/first-epoch.png",
        "figures/confusion.png",
        "checkpoints/index.json",
    }
    assert best_file(run).is_file()
    assert last_file(run).is_file()
    status = json.loads((run / "status.json").read_text())
    assert status["state"] == "finished"
    assert {"pid", "host", "heartbeat", "reason", "started"} <= set(status)
    assert [path.name for path in run.rglob("*") if path.name.startswith(".")] == [".lock"]


def test_steps_are_logged_in_the_first_epoch_alone(quick: Any) -> None:
    run = quick(epochs=3).run_dir
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if line["kind"] == "step"] == [1, 2, 3, 4, 5, 6]
    assert [line["epoch"] for line in lines if line["kind"] == "epoch"] == [1, 2, 3]
    assert all(line["epoch"] == 1 for line in lines if line["kind"] == "step")


def test_the_config_of_a_run_repeats_it_to_the_bit(quick: Any, tiny: TinyPlugin) -> None:
    first = quick(
        dataset="tiny:several=true",
        model="tiny-net:dropout=0.3,norm=true",
        augment="affine",
        optimizer="adamw:weight_decay=0.1",
        schedule="cosine",
        ema=0.9,
        clip=1.0,
        stop=["patience:metric=val_loss,patience=3"],
        label_smoothing=0.1,
        limit=70,
        seed=3,
    )
    again = train(config=[first.run_dir / "config.toml"], runs_dir=tiny.runs)
    assert again.run_dir != first.run_dir
    assert weights(again) == weights(first)
    assert without_times(again.document()) == without_times(first.document())
    assert [{**without_times(e)} for e in epochs_of(again.run_dir)] == [
        {**without_times(e)} for e in epochs_of(first.run_dir)
    ]


def test_the_loaded_model_is_the_trained_one_with_the_normalisation_inside(quick: Any) -> None:
    result = quick()
    net = nnkit.load(result.run_dir)
    assert not net.training
    data = Tiny().load(None)  # type: ignore[arg-type]
    raw = data.splits["val"].images.fetch(data.splits["val"].indices)[0].float() / 255
    bare = weight_files.load_bare(result.run_dir)[0]
    with torch.no_grad():
        torch.testing.assert_close(net(raw), bare((raw - 0.4) / 0.3))
    right = (net(raw).argmax(1) == data.splits["val"].targets[data.splits["val"].indices]).float().mean()
    assert float(right) == pytest.approx(result.best["metrics"]["accuracy"])


def test_the_same_seed_gives_the_same_weights_and_leaves_the_random_state_alone(quick: Any) -> None:
    assert weights(quick()) == weights(quick())
    state = torch.get_rng_state()
    quick(model="tiny-net:dropout=0.5")
    assert torch.equal(torch.get_rng_state(), state)


def test_lr_beats_the_optimizers_own(quick: Any) -> None:
    assert weights(quick(optimizer="adam:lr=0.5", lr=0.01)) == weights(quick(optimizer="adam:lr=0.01"))


def test_an_option_of_smoothing_beats_the_losss_own(quick: Any) -> None:
    both = quick(loss="cross-entropy:label_smoothing=0.4", label_smoothing=0.1)
    assert weights(both) == weights(quick(label_smoothing=0.1))


@pytest.mark.parametrize(
    ("rule", "epochs"),
    [
        ("threshold:metric=val_loss,below=1000", 1),
        ("patience:metric=val_loss,patience=2,min_delta=1e9", 3),
        ("time-limit:minutes=1e-9", 1),
    ],
)
def test_a_rule_stops_the_run_and_is_named(quick: Any, rule: str, epochs: int) -> None:
    result = quick(epochs=5, stop=[rule, "threshold:metric=val_accuracy,above=2"])
    assert result.epochs == epochs
    assert result.stopped_by.startswith(rule.split(":")[0])
    assert best_file(result.run_dir).is_file()


def test_the_monitor_says_which_epoch_is_best(quick: Any) -> None:
    result = quick(epochs=6, lr=0.3, monitor="loss")
    losses = [epoch["metrics"]["val_loss"] for epoch in epochs_of(result.run_dir)]
    assert result.best["metric"] == "val_loss"
    assert result.best["epoch"] == int(np.argmin(losses)) + 1
    assert result.best["metrics"]["loss"] == min(losses)


def test_an_unknown_monitor_is_refused_before_a_folder_is_made(quick: Any, tiny: TinyPlugin) -> None:
    with pytest.raises(UsageError, match="there is no metric"):
        quick(monitor="acuracy")
    assert not tiny.runs.exists()


def test_accuracy_and_loss_are_told_by_resolution(drawn: Any) -> None:
    result = drawn(dataset="tiny:several=true", test=True)
    assert list(result.test["accuracy_by_resolution"]) == ["10x6", "8x8", "12x12"]
    assert set(result.best["metrics"]["loss_by_resolution"]) == {"8x8", "10x6", "12x12"}
    assert (result.run_dir / "figures/curves-by-resolution.png").is_file()


def test_a_test_split_left_alone_gives_null(quick: Any) -> None:
    assert quick(test=False).test is None


def test_a_limit_takes_images_from_everywhere(quick: Any) -> None:
    result = quick(limit=10, test=True)
    split = Tiny().load(None).splits["train"]  # type: ignore[arg-type]
    assert split.sample(10).indices.tolist() == list(range(0, 90, 9))
    assert len(split.sample(1000)) == NUM["train"]
    assert result.test["accuracy"] * 10 == pytest.approx(round(result.test["accuracy"] * 10))


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_evaluate_gives_the_numbers_of_training(quick: Any, split: str) -> None:
    result = quick(dataset="tiny:several=true", test=True, label_smoothing=0.1, precision="bf16")
    found = evaluate(result.run_dir, split=split).metrics
    if split == "test":
        assert found == result.test
    if split == "val":
        assert found == result.best.metrics.validation
    assert 0 <= found["accuracy"] <= 1


def test_parts_that_do_not_fit_are_named_with_the_cause_and_leave_no_folder(
    quick: Any, tiny: TinyPlugin
) -> None:
    with pytest.raises(UsageError, match=r'"mse" cannot train on "tiny"') as refused:
        quick(loss="mse")
    assert "the loss does not take outputs of shape" in refused.value.message
    assert "RuntimeError" not in refused.value.message  # what torch says of it names no component
    assert not tiny.runs.exists()


def test_a_mistake_found_after_training_keeps_what_was_trained(
    drawn: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*parts: Any) -> None:
        raise UsageError("this cannot be drawn")

    monkeypatch.setattr("nnkit.studies.train.study.figure_data", fail)
    with pytest.raises(UsageError, match="drawn"):
        drawn(out=str(tmp_path / "out"))
    kept = RunDirectory(tmp_path / "out")
    assert (kept.state(), len(kept.epochs())) == ("failed", 2)
    assert weight_files.load(tmp_path / "out")


def test_a_loss_that_is_no_scalar_is_refused(quick: Any) -> None:
    with pytest.raises(UsageError, match="training needs a scalar"):
        quick(loss="cross-entropy:reduction=none")


def test_a_summed_loss_is_told_per_image(quick: Any) -> None:
    summed, mean = quick(loss="cross-entropy:reduction=sum", lr=1e-9), quick(lr=1e-9)
    first, second = epochs_of(summed.run_dir)[0]["metrics"], epochs_of(mean.run_dir)[0]["metrics"]
    assert first["train_loss"] == pytest.approx(second["train_loss"], rel=1e-3)
    assert first["val_loss"] == pytest.approx(second["val_loss"], rel=1e-3)
    steps = [json.loads(line) for line in (summed.run_dir / "metrics.jsonl").read_text().splitlines()]
    assert steps[0]["loss"] < 4


def test_clipping_with_lbfgs_is_refused(quick: Any) -> None:
    with pytest.raises(ConfigError, match="clip"):
        quick(optimizer="lbfgs", clip=1.0)


@pytest.mark.parametrize("optimizer", ["adam:lr=0.0", "adam:lr=inf", "adam:betas=[2.0,0.9]", "adamm"])
def test_an_optimizer_out_of_range_is_refused(quick: Any, optimizer: str) -> None:
    with pytest.raises(UsageError, match=r"lr|beta|adamm"):
        quick(optimizer=optimizer)


def test_without_a_compiler_the_run_goes_on_with_a_warning(
    quick: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(model: torch.nn.Module) -> torch.nn.Module:
        class Broken(torch.nn.Module):
            def forward(self, inputs: torch.Tensor) -> torch.Tensor:
                raise RuntimeError("no compiler")

        return Broken()

    plain = quick(model="tiny-net:norm=true")
    monkeypatch.setattr(torch, "compile", broken)
    compiled = quick(model="tiny-net:norm=true", compile=True)
    assert weights(compiled) == weights(plain)
    assert "no working compiler" in caplog.text


def test_trying_the_compiler_leaves_the_statistics_of_norms_alone(
    quick: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = quick(model="tiny-net:norm=true")
    monkeypatch.setattr(torch, "compile", lambda model: model)
    assert weights(quick(model="tiny-net:norm=true", compile=True)) == weights(plain)


def test_an_average_of_the_weights_averages_the_norms_statistics_too(quick: Any) -> None:
    result = quick(model="tiny-net:norm=true", ema=0.5, test=True)
    model = weight_files.load_bare(result.run_dir)[0]
    assert not torch.equal(model.norm.running_mean, torch.zeros(4))  # type: ignore[union-attr,arg-type]
    assert evaluate(result.run_dir).metrics == result.test


@pytest.mark.slow
def test_a_transform_run_draws_examples(tmp_path: Path) -> None:
    result = train(
        dataset="cifar-transform:source=synthetic",
        model="transform-net",
        epochs=1,
        limit=64,
        runs_dir=tmp_path,
        monitor="mae_sum",
    )
    assert set(result.test.document()) == {
        "loss", "mse", "mae_sum", "max_abs_error", "psnr", "cosine_accuracy", "levels", "fidelity",
    }  # fmt: skip
    assert set(result.test.document()["levels"]) == {"differing", "near_boundary"}
    assert set(result.best.metrics.document()["levels"]) == {"differing", "near_boundary"}
    assert (result.run_dir / "figures/examples.png").is_file()
    assert (result.run_dir / "figures/examples.npz").is_file()
    assert evaluate(result.run_dir, limit=64).metrics == result.test
    with pytest.raises(UsageError, match="augment"):
        train(dataset="cifar-transform:source=synthetic", augment="affine", limit=8, runs_dir=tmp_path)


def test_resized_digits_are_told_by_their_own_size(tmp_path: Path) -> None:
    result = train(dataset="digits-varres", epochs=1, limit=60, runs_dir=tmp_path)
    assert set(result.test["accuracy_by_resolution"]) == {"32x32", "48x48", "64x64"}


def test_a_moved_run_can_still_be_evaluated(quick: Any, tmp_path: Path) -> None:
    result = quick(test=True)
    shutil.move(result.run_dir, tmp_path / "elsewhere")
    assert evaluate(tmp_path / "elsewhere").metrics == result.test


@pytest.mark.parametrize(
    ("given", "rate"),
    [
        ({"optimizer": "sgd:lr=0.5"}, 0.5),
        ({"sets": ["optimizer.lr=0.5"]}, 0.5),
        ({"optimizer": "lbfgs"}, 1.0),
        ({"lr": 0.25}, 0.25),
        ({}, 0.01),
    ],
)
def test_a_runs_configuration_gives_way_to_a_later_learning_rate(
    quick: Any, given: dict[str, Any], rate: float
) -> None:
    first = quick(lr=0.01, limit=30, epochs=1)
    again = quick(config=[first.run_dir / "config.toml"], limit=30, epochs=1, **given)
    assert epochs_of(again.run_dir)[-1]["learning_rate"] == rate


@pytest.mark.parametrize("loss", ["cross-entropy", "nnkit/cross-entropy"])
def test_label_smoothing_goes_with_the_loss_by_either_of_its_names(quick: Any, loss: str) -> None:
    assert weights(quick(loss=loss, label_smoothing=0.1)) == weights(quick(label_smoothing=0.1))


@pytest.mark.parametrize(
    "rule", ["patience:metric=val_acc", "threshold:metric=accuracy,above=1", "half-level"]
)
def test_a_rule_for_a_metric_that_no_epoch_has_is_refused_before_a_folder_is_made(
    quick: Any, tiny: TinyPlugin, rule: str
) -> None:
    with pytest.raises(ConfigError, match=r"stop\[1\].*which no epoch has"):
        quick(stop=["patience:metric=train_accuracy", rule])
    assert not tiny.runs.exists()


def test_a_model_of_many_parameters_says_so_before_it_starts(
    quick: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    quick(epochs=1)
    assert "parameters:" not in caplog.text
    monkeypatch.setattr(experiment, "MANY_PARAMETERS", 10)
    quick(epochs=1)
    assert re.search(r"the model tiny-net has [\d,]+ parameters: 0\.0 GiB of weights", caplog.text)
