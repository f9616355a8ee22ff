"""`runs verify`: a run equals its repetition, and whatever is changed in it is found and located."""

from __future__ import annotations

import json
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import nnkit
from checkpoint_files import best_file
from nnkit.data import tensor_files
from nnkit.errors import CheckpointError, DataError, GateError, InterruptedRun, UsageError
from nnkit.results.environment import EnvironmentChange
from nnkit.results.runs_verify import FirstDifference, RunsVerifyResult
from nnkit.results.train import TrainResult
from nnkit.runs.directory import RunDirectory
from nnkit.studies.runs_verify.differences import in_tensors
from nnkit.studies.runs_verify.study import check_equal
from nnkit.types import EpochResult, StepResult
from tiny_plugin import TinyNet, TinyPlugin

Train = Callable[..., TrainResult]


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders are made."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def train(tiny: TinyPlugin, temporary: Path, monkeypatch: pytest.MonkeyPatch) -> Train:
    monkeypatch.setattr("nnkit.present.figures.draw_training", lambda *parts: [])

    def run(**options: Any) -> TrainResult:
        base = {"dataset": "tiny", "epochs": 3, "batch_size": 16, "runs_dir": tiny.runs}
        return nnkit.train(**(options if "resume" in options else {**base, **options}))

    return run


@pytest.fixture(autouse=True)
def same_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    assert torch.get_num_threads() == before
    torch.set_num_threads(before)


def files_of(run: Path) -> dict[str, tuple[bytes, int]]:
    paths = [path for path in run.rglob("*") if path.is_file()]
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in paths}


def verify(run: Path, **options: Any) -> RunsVerifyResult:
    """Verify; the run is not touched and nothing is left."""
    before = files_of(run)
    result = nnkit.verify_run(run, **options)
    assert files_of(run) == before
    assert list(Path(tempfile.gettempdir()).iterdir()) == []
    return result


SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "dropout, norm, augmentation, sizes": {
        "dataset": "tiny:several=true", "model": "tiny-net:dropout=0.3,norm=true", "augment": "report",
    },
    "average": {"model": "tiny-net:norm=true", "ema": 0.8},
    "one-cycle": {"schedule": "one-cycle", "optimizer": "sgd:momentum=0.9"},
    "deterministic, no test": {"deterministic": True, "test": False, "seed": 5, "limit": 40},
    "a rule that stops": {"stop": ["threshold:metric=val_loss,below=9"]},
    "least squares": {
        "dataset": "cifar-transform:source=synthetic", "model": "separable", "solver": "als", "limit": 64,
    },
}  # fmt: skip


@pytest.mark.parametrize("name", SETTINGS)
def test_a_run_equals_its_repetition(train: Train, name: str) -> None:
    settings = {"dataset": "tiny", **SETTINGS[name]}
    if settings.get("solver"):
        settings |= {"epochs": 1}
    run = train(**settings)
    result = verify(run.run_dir)
    assert (result.equal, result.weights_equal, result.metrics_equal) == (True, True, True)
    assert result.first_difference is None
    assert result.epochs == run.epochs
    assert result.compared == ("metrics.jsonl", "best", "last", "summary.json")
    assert result.environment_changes == ()
    assert Path(result.run_dir) == run.run_dir
    check_equal(result)


def test_a_run_that_was_resumed_equals_the_whole(train: Train) -> None:
    first = train(epochs=2, dataset="tiny:several=true", model="tiny-net:dropout=0.2")
    train(resume=first.run_dir, epochs=4)
    result = verify(first.run_dir)
    assert result.equal
    assert result.epochs == 4


def test_a_run_that_went_on_after_a_rule_stopped_it_equals_the_whole(train: Train) -> None:
    first = train(stop=["threshold:metric=val_loss,below=9"])
    assert train(resume=first.run_dir, epochs=5).epochs == 2
    assert verify(first.run_dir).equal


class StopAt:
    def __init__(self, step: int, error: BaseException) -> None:
        self.step, self.error = step, error

    def on_step(self, step: StepResult) -> None:
        if step.step == self.step:
            raise self.error

    def on_epoch(self, epoch: EpochResult) -> None:
        pass


@pytest.mark.parametrize("every", [None, "1"])
def test_a_run_that_broke_off_is_compared_up_to_its_last_whole_epoch(
    train: Train, tmp_path: Path, every: str | None
) -> None:
    with pytest.raises(ZeroDivisionError):
        train(out=tmp_path / "run", checkpoint_every=every, observers=[StopAt(15, ZeroDivisionError())])
    result = verify(tmp_path / "run")
    assert result.equal
    assert result.epochs == 2
    assert result.compared == ("metrics.jsonl", "best", *(["last"] if every is None else []))


@pytest.mark.parametrize("schedule", ["none", "cosine", "one-cycle"])
def test_of_the_first_epochs_the_metrics_alone_are_compared(train: Train, schedule: str) -> None:
    run = train(schedule=schedule).run_dir
    result = verify(run, epochs=1)
    assert (result.equal, result.weights_equal, result.metrics_equal) == (True, None, True)
    assert result.document()["weights_equal"] is None
    assert result.compared == ("metrics.jsonl",)
    assert verify(run, epochs=3).weights_equal is True
    with pytest.raises(UsageError, match="has 3 epochs to compare, not 4"):
        verify(run, epochs=4)


# What is planted


def change_log(run: Path, line: int, change: Callable[[dict[str, Any]], None]) -> None:
    path = run / "metrics.jsonl"
    records = [json.loads(text) for text in path.read_text().splitlines()]
    change(records[line])
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def test_a_changed_number_of_an_epoch_is_found(train: Train) -> None:
    run = train().run_dir
    value = RunDirectory(run).epochs()[1]["metrics"]["val_loss"]
    other = math.nextafter(value, 9)
    change_log(run, 7, lambda record: record["metrics"].update(val_loss=other))
    result = verify(run)
    assert (result.equal, result.weights_equal, result.metrics_equal) == (False, True, False)
    assert result.first_difference == FirstDifference(
        place="metrics.jsonl", epoch=2, step=12, key="metrics.val_loss", stored=other, repeated=value
    )
    with pytest.raises(GateError, match=r"metrics\.jsonl, epoch 2, step 12: metrics\.val_loss") as caught:
        check_equal(result)
    assert caught.value.exit_code == 4
    assert verify(run, epochs=1).equal


def test_a_changed_number_of_a_step_is_found(train: Train) -> None:
    run = train().run_dir
    change_log(run, 3, lambda record: record.update(loss=1.5))
    first = verify(run).first_difference
    assert first is not None
    assert (first.epoch, first.step, first.key, first.stored) == (1, 4, "loss", 1.5)


def test_times_are_not_compared(train: Train) -> None:
    run = train().run_dir
    times = {"train_s": 99.0, "seconds": 99.0, "data_wait_s": 9.0, "images_per_s": 1.0}
    change_log(run, 6, lambda record: record.update(times))
    assert verify(run).equal


@pytest.mark.parametrize("line", [2, 8], ids=["a step", "the last epoch"])
def test_a_record_that_is_gone_is_found(train: Train, line: int) -> None:
    run = train().run_dir
    lines = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
    (run / "metrics.jsonl").write_text("".join(lines[:line] + lines[line + 1 :]))
    result = verify(run)
    assert not result.metrics_equal
    first = result.first_difference
    assert first is not None
    assert first.place == "metrics.jsonl"
    if line == 8:
        assert (first.epoch, first.key, first.stored, first.repeated) == (3, "kind", None, "epoch")


def change_tensors(path: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    tensors, header = tensor_files.read(path)
    tensors = {name: value.clone() for name, value in tensors.items()}
    change(tensors)
    tensor_files.save(path, tensors, header)


def test_a_changed_weight_of_the_best_is_found(train: Train) -> None:
    run = train()
    before: list[float] = []

    def flip(tensors: dict[str, torch.Tensor]) -> None:
        before.append(tensors["conv.weight"][2, 0, 1, 2].item())
        bits = tensors["conv.weight"].view(torch.int32)
        bits[2, 0, 1, 2] ^= 1  # the last bit of all

    change_tensors(best_file(run.run_dir), flip)
    result = verify(run.run_dir)
    assert (result.equal, result.weights_equal, result.metrics_equal) == (False, False, True)
    first = result.first_difference
    assert first is not None
    assert (first.place, first.epoch, first.step) == ("best", run.best.epoch, None)
    assert (first.key, first.repeated) == ("conv.weight[2, 0, 1, 2]", before[0])
    assert first.stored != first.repeated
    assert isinstance(first.stored, float)
    assert math.isclose(first.stored, before[0], rel_tol=1e-6)


def test_whole_numbers_are_compared_too(train: Train) -> None:
    run = train(model="tiny-net:norm=true").run_dir
    change_tensors(best_file(run), lambda tensors: tensors["norm.num_batches_tracked"].add_(1))
    first = verify(run).first_difference
    assert first is not None
    assert first.key == "norm.num_batches_tracked"
    assert isinstance(first.stored, int)
    assert first.stored == first.repeated + 1  # type: ignore[operator]


def test_the_sign_of_a_zero_is_a_bit_and_a_nan_is_equal_to_itself() -> None:
    stored = {"a": torch.tensor([torch.nan, 1.0]), "b": torch.tensor([[1.0, 0.0]])}
    assert in_tensors("best", 1, stored, {"a": stored["a"].clone(), "b": stored["b"].clone()}) is None
    first = in_tensors("best", 1, stored, {**stored, "b": torch.tensor([[1.0, -0.0]])})
    assert first is not None
    assert (first.key, repr(first.stored), repr(first.repeated)) == ("b[0, 1]", "0.0", "-0.0")


def test_a_tensor_of_another_shape_or_name_is_found(train: Train) -> None:
    run = train().run_dir
    change_tensors(best_file(run), lambda tensors: tensors.update(extra=torch.zeros(2, 3)))
    first = verify(run).first_difference
    assert first is not None
    assert (first.key, first.stored, first.repeated) == ("extra", "float32 (2, 3)", None)


def test_a_changed_weight_of_the_newest_checkpoint_is_found(train: Train) -> None:
    run = train().run_dir
    path = RunDirectory(run).checkpoints.states()[0][1]
    change_tensors(path, lambda tensors: tensors["state.model.linear.bias"].add_(1))
    result = verify(run)
    assert (result.weights_equal, result.metrics_equal) == (False, True)
    first = result.first_difference
    assert first is not None
    assert (first.place, first.epoch, first.key) == ("last", 3, "linear.bias[0]")


def test_a_changed_test_metric_is_found(train: Train) -> None:
    run = train().run_dir
    summary = json.loads((run / "summary.json").read_text())
    repeated = summary["test"]["accuracy"]
    summary["test"]["accuracy"] = 0.999
    (run / "summary.json").write_text(json.dumps(summary))
    result = verify(run)
    assert (result.weights_equal, result.metrics_equal) == (True, False)
    assert result.first_difference == FirstDifference(
        place="summary.json", epoch=None, step=None, key="test.accuracy", stored=0.999, repeated=repeated
    )


def test_the_first_difference_is_the_earliest_of_training(train: Train) -> None:
    run = train()
    best = run.best.epoch
    change_tensors(best_file(run.run_dir), lambda tensors: tensors["linear.bias"].add_(1))
    change_log(run.run_dir, 5 + best, lambda record: record["metrics"].update(val_loss=7.0))
    first = verify(run.run_dir).first_difference
    assert first is not None
    assert (first.place, first.epoch) == ("metrics.jsonl", best)


def test_another_setting_in_its_configuration_parts_at_the_first_step(train: Train) -> None:
    run = train().run_dir
    path = run / "config.toml"
    path.write_text(path.read_text().replace("seed = 0", "seed = 1"))
    first = verify(run).first_difference
    assert first is not None
    assert (first.place, first.epoch, first.step, first.key) == ("metrics.jsonl", 1, 1, "loss")


def test_code_that_now_diverges_parts_where_it_does(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    run = train().run_dir
    forward = TinyNet.forward

    def poisoned(self: TinyNet, inputs: torch.Tensor) -> torch.Tensor:
        self.poison_at = 9
        return forward(self, inputs)

    monkeypatch.setattr(TinyNet, "forward", poisoned)
    result = verify(run)
    assert (result.equal, result.weights_equal, result.metrics_equal) == (False, False, False)
    first = result.first_difference
    assert first is not None
    assert (first.epoch, first.repeated) == (2, None)


# What may be the cause


def change_environment(run: Path, **changes: Any) -> None:
    path = run / "environment.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_the_run_is_repeated_with_its_threads_and_others_are_told(train: Train) -> None:
    run = train(threads=1).run_dir
    (run / "config.toml").write_text((run / "config.toml").read_text().replace("threads = 1\n", ""))
    change_environment(run, threads=2)
    assert verify(run).environment_changes == ()  # it had two, and has two again
    result = verify(run, threads=1)
    assert result.environment_changes == (EnvironmentChange(name="threads", before="2", after="1"),)


def test_another_library_and_parts_on_other_devices_are_told(train: Train) -> None:
    run = train().run_dir
    stored = RunDirectory(run).environment()
    others = {**stored["distributions"], "torch": "1.0"}
    change_environment(run, distributions=others, earlier=[{**stored, "device": "cuda"}])
    names = [(each.name, each.before) for each in verify(run).environment_changes]
    assert ("library torch", "1.0") in names
    assert ("device", "cuda") in names


def test_other_images_are_told(train: Train) -> None:
    run = train().run_dir
    splits = RunDirectory(run).splits()
    assert splits is not None
    RunDirectory(run).write_splits({**splits, "train": splits["train"][1:], "val": splits["val"] + 1})
    assert verify(run).environment_changes == (
        EnvironmentChange(name="split train", before="89 images", after="90 images"),
        EnvironmentChange(name="split val", before="42 images", after="42 others"),
    )


# What cannot be repeated


def test_a_run_that_the_clock_ended_is_said_not_to_be_repeatable(train: Train) -> None:
    run = train(stop=["time-limit:minutes=1e-9"], epochs=5)
    assert run.epochs == 1
    with pytest.raises(CheckpointError, match="the rule time-limit ended it by the clock") as caught:
        verify(run.run_dir)
    assert caught.value.exit_code == 1
    assert caught.value.hint == "--epochs 1 compares the epochs that it had"
    assert verify(run.run_dir, epochs=1).weights_equal is True


def test_a_time_limit_that_was_not_reached_changes_nothing(train: Train) -> None:
    assert verify(train(stop=["time-limit:minutes=99"]).run_dir).equal


def test_what_is_missing_is_told_with_exit_code_1(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = train().run_dir
    monkeypatch.setattr("tiny_plugin.Tiny.load", missing)
    with pytest.raises(DataError, match="no images here") as caught:
        verify(run)
    assert caught.value.exit_code == 1
    monkeypatch.undo()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    config = (run / "config.toml").read_text()
    for text, said in (
        (config.replace('name = "tiny"', 'name = "gone"').replace('"tiny"', '"gone"'), "gone"),
        ("epochs = 0", "epochs"),
        ("a = [", "TOML"),
    ):
        (run / "config.toml").write_text(text)
        with pytest.raises(CheckpointError, match=f"cannot be repeated: .*{said}"):
            verify(run)
    (run / "config.toml").unlink()
    with pytest.raises(CheckpointError, match=r"has no config\.toml, so it cannot be repeated"):
        verify(run)


def missing(*parts: object) -> None:
    raise DataError("no images here")


def test_a_device_that_is_not_here_is_told(train: Train) -> None:
    run = train().run_dir
    change_environment(run, device="cuda:99")
    with pytest.raises(CheckpointError, match='cannot be repeated: device "cuda:99" is not here') as caught:
        verify(run)
    assert "--device cpu" in caught.value.hint
    result = verify(run, device="cpu")
    assert result.equal
    assert result.environment_changes == (EnvironmentChange(name="device", before="cuda:99", after="cpu"),)


def test_a_run_without_a_whole_epoch_has_nothing_to_compare(train: Train, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        train(out=tmp_path / "run", observers=[StopAt(2, ZeroDivisionError())])
    with pytest.raises(CheckpointError, match="has no whole epoch to compare"):
        verify(tmp_path / "run")


def test_what_is_damaged_is_named(train: Train) -> None:
    run = train().run_dir
    for path in (run / "summary.json", RunDirectory(run).checkpoints.states()[0][1], best_file(run)):
        content = path.read_bytes()
        path.write_bytes(content[:20])
        with pytest.raises(CheckpointError, match="damaged"):
            verify(run)
        path.write_bytes(content)
    assert verify(run).equal


def test_an_interrupted_repetition_leaves_nothing_and_offers_no_resuming(
    train: Train, temporary: Path
) -> None:
    run = train().run_dir
    for error in (InterruptedRun("interrupted", exit_code=130), KeyboardInterrupt()):
        with pytest.raises(InterruptedRun) as caught:
            nnkit.verify_run(run, observers=[StopAt(3, error)])
        assert caught.value.hint == "nothing is kept of it: verify again"
        assert caught.value.exit_code == 130
        assert list(temporary.iterdir()) == []


def test_a_run_that_shrank_names_the_parts_of_its_batches(
    train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory may not run out at the same step again, and sums of parts differ in the last bit."""
    run = train(batch_size=32, on_oom="shrink", model="tiny-net:most_pixels=1024").run_dir
    same = verify(run)
    assert same.equal
    assert same.not_exact is not None
    assert "memory ran out: 2 parts of a training batch" in same.not_exact
    forward = TinyNet.forward

    def roomy(self: TinyNet, inputs: torch.Tensor) -> torch.Tensor:
        self.most_pixels = 1 << 40
        return forward(self, inputs)

    monkeypatch.setattr(TinyNet, "forward", roomy)
    result = verify(run)
    assert not result.equal
    assert EnvironmentChange(name="parts of a training batch", before="2", after="1") in (
        result.environment_changes
    )
    with pytest.raises(GateError) as caught:
        check_equal(result)
    assert "parts of a training batch" in caught.value.hint


def test_a_run_that_may_shrink_and_did_not_is_as_any_other(train: Train) -> None:
    result = verify(train(on_oom="shrink", accumulate=2).run_dir)
    assert result.equal
    assert result.not_exact is None
    assert result.environment_changes == ()


def test_a_run_is_found_by_its_name_and_may_have_been_moved(
    train: Train, tiny: TinyPlugin, tmp_path: Path
) -> None:
    run = train().run_dir
    assert nnkit.verify_run(run.name, runs_dir=tiny.runs).equal
    moved = tmp_path / "elsewhere"
    shutil.move(run, moved)
    os.chmod(moved, 0o555)
    assert verify(moved).equal
    os.chmod(moved, 0o755)
