"""Row 18: a tracker that cannot be imported, or raises, changes nothing of the training and is told once."""

from __future__ import annotations

import functools
import json
import logging
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import nnkit
from checkpoint_files import best_file
from fake_plugins import write_plugin
from nnkit import registry
from nnkit.errors import ConfigError, InterruptedRun, UsageError
from nnkit.results.train import TrainResult
from nnkit.runs.directory import RunDirectory
from nnkit.runs.lines import read_records
from nnkit.types import TrackedEvent, TrackedResult, TrackedRun
from tiny_plugin import TinyPlugin

QUICK: dict[str, Any] = {"dataset": "tiny", "epochs": 2, "batch_size": 16, "threads": 1, "device": "cpu"}
METHODS = ("start", "step", "epoch", "figure", "finish")


class Recorder:
    """Remembers what it is told; breaks where it is asked to."""

    def __init__(self, told: list[tuple[Any, ...]] | None = None, breaks: str = "") -> None:
        self.told = [] if told is None else told
        self.breaks = breaks

    def _tell(self, what: str, *rest: Any) -> None:
        self.told.append((what, *rest))
        torch.rand(3)  # a library may draw
        np.random.rand(3)
        if what == self.breaks:
            raise ConnectionError("no network")

    def start(self, run: TrackedRun) -> None:
        self._tell("start", run)

    def log(self, event: TrackedEvent) -> None:
        assert event.figure is None or event.figure.is_file()
        self._tell(event.kind, event)

    def finish(self, result: TrackedResult) -> None:
        self._tell("finish", result)


def train(out: Path, **options: Any) -> TrainResult:
    result = nnkit.train(**{**QUICK, "out": out, **options})
    assert isinstance(result, TrainResult)
    return result


def same(a: TrainResult, b: TrainResult) -> None:
    first, second = (load_file(best_file(run.run_dir)) for run in (a, b))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert (a.best, a.test, a.stopped_by) == (b.best, b.test, b.stopped_by)


def test_a_tracker_is_told_every_step_epoch_and_picture(tiny: TinyPlugin, tmp_path: Path) -> None:
    recorder = Recorder()
    result = train(tmp_path / "run", tracker=[recorder])
    kinds = [each[0] for each in recorder.told]
    assert kinds[0] == "start"
    assert kinds[-1] == "finish"
    run = recorder.told[0][1]
    assert (run.folder, run.step, run.config["dataset"], run.config["epochs"]) == (
        result.run_dir,
        0,
        "tiny",
        2,
    )
    logs = [each[1] for each in recorder.told if each[0] in ("step", "epoch")]
    assert [(event.kind, event.step, event.epoch) for event in logs] == [
        *(("step", step, 1) for step in range(1, 7)), ("epoch", 6, 1),
        *(("step", step, 2) for step in range(7, 13)), ("epoch", 12, 2),
    ]  # fmt: skip
    recorded = RunDirectory(result.run_dir).epochs()
    for event, at in ((logs[6], 0), (logs[13], 1)):
        assert {key: event.values[key] for key in recorded[at]["metrics"]} == recorded[at]["metrics"]
    assert all(set(logs[at].values) == {"loss", "learning_rate"} for at in (0, 12))
    assert [logs[at].values["loss"] for at in range(6)] == pytest.approx(
        [
            record["loss"]
            for record in read_records(result.run_dir / "metrics.jsonl")
            if record["kind"] == "step"
        ]
    )
    drawn = sorted(path.stem for path in (result.run_dir / "figures").glob("*.png"))
    assert [each[1].figure.stem for each in recorder.told if each[0] == "figure"] == drawn != []
    summary = json.loads((result.run_dir / "summary.json").read_text())
    assert recorder.told[-1][1] == TrackedResult("finished", summary)


@pytest.mark.parametrize("breaks", METHODS)
def test_one_that_raises_changes_nothing_and_is_told_once(
    tiny: TinyPlugin, tmp_path: Path, caplog: pytest.LogCaptureFixture, breaks: str
) -> None:
    plain = train(tmp_path / "plain")
    broken, whole = Recorder(breaks=breaks), Recorder()
    with caplog.at_level(logging.WARNING, logger="nnkit"):
        result = train(tmp_path / "tracked", tracker=[broken, whole])
    same(result, plain)
    warnings = [record.message for record in caplog.records if "tracker" in record.message]
    assert len(warnings) == 1
    method = breaks if breaks in ("start", "finish") else "log"
    assert warnings[0].endswith(f"which broke in {method}: ConnectionError: no network")
    assert [each[0] for each in broken.told].count(breaks) == 1
    assert broken.told[-1][0] == breaks
    assert whole.told[-1][1].state == "finished"


MODULE = """
from nnkit.types import TrackedEvent, TrackedResult, TrackedRun
class Cannot:
    "It cannot be made."
    def __init__(self, *, size: int = 3) -> None:
        raise OSError("no server")
    def start(self, run): ...
    def log(self, event): ...
    def finish(self, result): ...
"""


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("no_such_module:Tracker", "ModuleNotFoundError"),
        ("row_18_tracker:Cannot", "OSError: no server"),
        ("builtins:dict", "has no start()"),
    ],
)
def test_one_that_cannot_be_imported_or_made_is_left_out(
    tiny: TinyPlugin, tmp_path: Path, caplog: pytest.LogCaptureFixture, target: str, said: str
) -> None:
    site = tiny.runs.parent / "site"
    (site / "row_18_tracker.py").write_text(MODULE)
    write_plugin(site, "row-18", f"[nnkit.trackers]\naway = {target}\n")
    registry.refresh()
    plain = train(tmp_path / "plain")
    with caplog.at_level(logging.WARNING, logger="nnkit"):
        result = train(tmp_path / "tracked", tracker=["away"])
    same(result, plain)
    (warning,) = [record.message for record in caplog.records if "tracker" in record.message]
    assert warning.startswith("the run goes on without the tracker away")
    assert said in warning


def test_a_name_that_nobody_has_and_a_wrong_setting_are_mistakes(tiny: TinyPlugin, tmp_path: Path) -> None:
    site = tiny.runs.parent / "site"
    (site / "row_18_tracker.py").write_text(MODULE)
    write_plugin(site, "row-18", "[nnkit.trackers]\naway = row_18_tracker:Cannot\n")
    registry.refresh()
    with pytest.raises(UsageError, match=r"no tracker is named.*`nnkit list trackers` shows all"):
        train(tmp_path / "run", tracker=["nowhere"])
    with pytest.raises(ConfigError, match=r"tracker\[0\]"):
        train(tmp_path / "run", tracker=["away:size=big"])
    assert not (tmp_path / "run").exists()


def test_a_run_that_is_broken_off_says_so_and_a_resumed_one_where_it_begins(
    tiny: TinyPlugin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stop:
        def on_step(self, step: Any) -> None:
            if step.step == 9:
                os.kill(os.getpid(), signal.SIGINT)

        def on_epoch(self, epoch: Any) -> None: ...

    first, second = Recorder(), Recorder()
    with pytest.raises(InterruptedRun):
        train(tmp_path / "run", tracker=[first], observers=[Stop()])
    assert first.told[-1] == ("finish", TrackedResult("interrupted"))
    assert [each[1].step for each in first.told if each[0] in ("step", "epoch")] == [*range(1, 7), 6, 7, 8, 9]
    nnkit.train(resume=tmp_path / "run", tracker=[second])
    assert second.told[0][1].step == 9
    assert [each[1].step for each in second.told if each[0] in ("step", "epoch")] == [10, 11, 12, 12]


def test_each_seed_has_trackers_of_its_own(tiny: TinyPlugin, tmp_path: Path) -> None:
    told: list[tuple[Any, ...]] = []
    make = functools.partial(Recorder, told)
    result: Any = nnkit.train(**QUICK, seeds="0-1", tracker=[make], out=tmp_path / "all")
    starts = [each[1].folder for each in told if each[0] == "start"]
    assert starts == [run.run_dir for run in result.runs]
