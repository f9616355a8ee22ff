"""A benchmark that is broken off keeps its rounds, and `resume` measures those that it lacks."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import nnkit
from nnkit.errors import CheckpointError, InterruptedRun, NnkitError, UsageError
from nnkit.results.bench import BenchResult
from nnkit.studies.bench import arms, machine, study, timing
from nnkit.studies.runs import list_runs, show_run

TINY: dict[str, Any] = {"limit": 8, "repeats": 4, "threads": 1, "batch_size": 8}


class Killed(BaseException):
    """Ends a benchmark like a kill."""


class At:
    """Does something when so many rounds are done, and remembers the rounds that it was told of."""

    def __init__(self, done: int, act: Callable[[], None]) -> None:
        self.done, self.act = done, act
        self.told: list[tuple[int, int]] = []

    def __call__(self, done: int, rounds: int) -> None:
        self.told.append((done, rounds))
        if done == self.done:
            self.act()


def send(number: int) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), number)


def kill() -> None:
    raise Killed


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the arms in the order in which they are timed."""
    found: list[str] = []
    interleave = timing.interleave

    def watched(passes: dict[str, timing.Arm], **options: Any) -> dict[str, timing.Timing]:
        def noted(name: str) -> timing.Arm:
            return lambda: (found.append(name), passes[name]())

        return interleave({name: noted(name) for name in passes}, **options)

    monkeypatch.setattr(study, "interleave", watched)
    return found


def stop(out: Path, rounds: int = 2, number: int = signal.SIGINT, **options: Any) -> InterruptedRun:
    with pytest.raises(InterruptedRun) as stopped:
        nnkit.bench(**{**TINY, **options}, out=out, watch=At(rounds, send(number)))
    return stopped.value


@pytest.fixture(scope="module")
def broken_off(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A benchmark that was interrupted after two rounds of four."""
    out = tmp_path_factory.mktemp("broken-off") / "run"
    stop(out)
    return out


@pytest.fixture
def run(broken_off: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(broken_off, tmp_path / "run"))


def samples(result: BenchResult) -> dict[str, tuple[float, ...]]:
    return {arm.name: cell.samples_s or () for arm in result.arms for cell in arm.cells}


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_an_interrupt_keeps_the_rounds_and_names_the_command_that_resumes(
    number: int, code: int, tmp_path: Path
) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # heard also where the tests run under nohup
    try:
        stopped = stop(tmp_path / "a run", number=number)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert stopped.exit_code == code
    assert stopped.message == "interrupted with 2 of 4 rounds done"
    assert stopped.hint == f"go on with: nnkit bench --resume '{tmp_path / 'a run'}'"
    shown = show_run(tmp_path / "a run")
    assert (shown.status.state, shown.status.reason) == ("interrupted", stopped.message)
    assert shown.resume == f"nnkit bench --resume '{tmp_path / 'a run'}'"
    assert "bench.json" not in shown.files


def test_the_missing_rounds_follow_in_the_order_of_the_seed(tmp_path: Path, timed: list[str]) -> None:
    nnkit.bench(**TINY, out=tmp_path / "whole")
    whole = list(timed)
    timed.clear()
    stop(tmp_path / "run")
    first = list(timed)
    timed.clear()
    watch = At(0, kill)
    result = nnkit.bench(resume=tmp_path / "run", watch=watch)
    num = len(set(whole))
    assert first == whole[: 3 * num]  # the warm-up and two rounds
    assert timed == whole[:num] + whole[3 * num :]
    assert watch.told == [(3, 4), (4, 4)]
    assert result.repeats == 4
    assert {len(values) for values in samples(result).values()} == {4}


def test_the_result_holds_every_round_that_was_measured_and_names_the_sittings(run: Path) -> None:
    out = run
    lines = [json.loads(line) for line in (out / "rounds.jsonl").read_text().splitlines()]
    result = nnkit.bench(resume=out)
    kept = [line["seconds"] for line in lines if line["kind"] == "round"]
    for place, values in enumerate(samples(result).values()):
        assert list(values[:2]) == [round_[f"{place}|cpu"] for round_ in kept]
    (warm_up,) = (line["seconds"] for line in lines if line["kind"] == "warm-up")
    assert [arm.cells[0].warm_up_s for arm in result.arms] == [
        warm_up[f"{place}|cpu"] for place in range(len(result.arms))
    ]
    assert result.sittings is not None
    assert [sitting.rounds for sitting in result.sittings] == [2, 2]
    assert result.sittings[0].started == lines[0]["started"]
    assert result.run_dir == out
    assert json.loads((out / "summary.json").read_text()) == result.document()
    assert json.loads((out / "bench.json").read_text()) == result.document()
    assert "interrupted and resumed: measured in 2 sittings, 2 + 2" in (out / "bench.md").read_text()
    assert json.loads((out / "status.json").read_text())["state"] == "finished"
    assert show_run(out).resume is None


def test_a_benchmark_of_one_go_names_no_sittings(tmp_path: Path) -> None:
    result = nnkit.bench(**TINY, out=tmp_path / "run")
    assert result.sittings is None
    assert "sittings" not in result.document()
    assert len((tmp_path / "run/rounds.jsonl").read_text().splitlines()) == 6


def test_a_kill_loses_no_complete_round_and_a_torn_line_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    with pytest.raises(Killed):
        nnkit.bench(**TINY, out=out, watch=At(3, kill))
    with (out / "rounds.jsonl").open("a") as file:
        file.write('{"kind": "round", "seco')
    status = json.loads((out / "status.json").read_text())
    (out / "status.json").write_text(json.dumps({**status, "state": "running"}))
    monkeypatch.setattr("nnkit.runs.status.Status._process_lives", lambda self: False)
    assert [row.state for row in list_runs(tmp_path).runs] == ["killed"]
    assert show_run(out).resume == f"nnkit bench --resume {out}"
    watch = At(0, kill)
    nnkit.bench(resume="run", runs_dir=tmp_path, watch=watch)
    assert watch.told == [(4, 4)]


def test_before_the_first_round_there_is_nothing_to_lose(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*parts: object) -> None:
        send(signal.SIGINT)()

    with monkeypatch.context() as patch:
        patch.setattr(study, "reference_arms", stopped)
        with pytest.raises(InterruptedRun, match="0 of 4 rounds"):
            nnkit.bench(**TINY, out=tmp_path / "run")
    result = nnkit.bench(resume=tmp_path / "run")
    assert {len(values) for values in samples(result).values()} == {4}
    assert result.sittings is None


def test_a_signal_in_the_midst_of_a_round_drops_that_round_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = [0]
    clock = timing._clock

    def counted(arm: timing.Arm, device: torch.device | None) -> float:
        calls[0] += 1
        if calls[0] == 17:  # of 6 arms and floors, after the warm-up: the second round's fifth
            send(signal.SIGTERM)()
            raise RuntimeError("a worker was terminated, as it were")
        return clock(arm, device)

    with monkeypatch.context() as patch:
        patch.setattr(timing, "_clock", counted)
        with pytest.raises(InterruptedRun, match="interrupted with 1 of 4 rounds done"):
            nnkit.bench(**TINY, out=tmp_path / "run")
    result = nnkit.bench(resume=tmp_path / "run")
    assert not any(cell.error for arm in result.arms for cell in arm.cells)


def test_an_arm_that_takes_long_is_broken_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def long(arm: timing.Arm, device: torch.device | None) -> float:
        send(signal.SIGINT)()
        while True:
            arm()

    monkeypatch.setattr(study, "PATIENCE_S", 0.1)
    monkeypatch.setattr(timing, "_clock", long)
    with pytest.raises(InterruptedRun, match="0 of 4 rounds"):
        nnkit.bench(**TINY, out=tmp_path / "run")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_benchmark_whose_tables_are_not_all_written_is_not_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def write_bench(folder: Path, result: BenchResult) -> None:
        (folder / "bench.json").touch()
        raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)

    with monkeypatch.context() as patch:
        patch.setattr("nnkit.present.bench.write_bench", write_bench)
        with pytest.raises(InterruptedRun, match="interrupted with 4 of 4 rounds done") as stopped:
            nnkit.bench(**TINY, out=tmp_path / "run")
    assert stopped.value.exit_code == 128 + number
    assert stopped.value.hint == f"go on with: nnkit bench --resume {tmp_path / 'run'}"
    assert show_run(tmp_path / "run").status.state == "interrupted"
    result = nnkit.bench(resume=tmp_path / "run")
    assert show_run(tmp_path / "run").status.state == "finished"
    assert json.loads((tmp_path / "run" / "bench.json").read_text())["repeats"] == result.repeats == 4
    assert (tmp_path / "run" / "bench.md").stat().st_size


def test_an_arm_that_failed_stays_out_of_the_rounds_that_follow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing(torch.nn.Module):
        calls = 0

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            Failing.calls += 1
            if Failing.calls == 3:  # its output, its warm-up, and then the first round
                raise RuntimeError("out of memory, as it were")
            return torch.zeros(len(images), 1, 28, 28)

    monkeypatch.setattr(arms, "_from_spec", lambda *parts: arms._Network("failing", Failing(), None, ""))
    stop(tmp_path / "run", model=["linear"])
    result = nnkit.bench(resume=tmp_path / "run")
    assert result.arms[-1].cells[0].error == "RuntimeError: out of memory, as it were"
    assert Failing.calls == 4  # the second sitting's output


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"batch_size": 4}, "batch_size: the run has 8, this asks for 4"),
        ({"repeats": 9}, "repeats: the run has 4, this asks for 9"),
        ({"threads": 2}, "threads: the run has 1, this asks for 2"),
        ({"model": ["separable"]}, "model: the run has none, this asks for separable"),
        ({"out": "elsewhere"}, "leave --out out"),
    ],
)
def test_other_settings_are_refused_with_the_difference(change: dict[str, Any], said: str, run: Path) -> None:
    lines = (run / "rounds.jsonl").read_text()
    with pytest.raises(UsageError) as refused:
        nnkit.bench(resume=run, **change)
    assert said in str(refused.value)
    assert (run / "rounds.jsonl").read_text() == lines
    assert show_run(run).status.state == "interrupted"


@pytest.mark.parametrize("name", [*machine.SAME, "commit", "python"])
def test_another_machine_or_other_software_is_refused(
    name: str, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = study._surroundings()
    other = here.model_copy(update={name: ("one",) if name == "gpus" else 77 if name == "cores" else "other"})
    monkeypatch.setattr(study, "_surroundings", lambda: other)
    what = "another machine" if name in machine.SAME else "other software"
    with pytest.raises(UsageError, match=f"was measured (on|with) {what}:\n  {name}: "):
        nnkit.bench(resume=run)
    assert show_run(run).status.state == "interrupted"


def test_a_finished_benchmark_and_the_run_of_another_command_are_refused(tmp_path: Path) -> None:
    nnkit.bench(**TINY, out=tmp_path / "run")
    with pytest.raises(UsageError, match="is finished: it has all its 4 rounds"):
        nnkit.bench(resume=tmp_path / "run")
    with pytest.raises(UsageError, match="`nnkit train --resume` does not go on with") as refused:
        nnkit.train(resume=tmp_path / "run")
    assert refused.value.hint == f"this does: nnkit bench --resume {tmp_path / 'run'}"


def test_a_network_with_other_weights_than_before_is_refused(tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "dataset": "cifar-transform:source=synthetic", "model": "transform-net", "limit": 16, "epochs": 1,
        "threads": 1, "test": False,
    }  # fmt: skip
    run = nnkit.train(**options, out=tmp_path / "net")
    stop(tmp_path / "run", model=[str(run.run_dir)])
    nnkit.train(resume=run.run_dir, epochs=2, lr=None)
    with pytest.raises(UsageError, match="was measured with other weights of transform-net"):
        nnkit.bench(resume=tmp_path / "run")
    assert show_run(tmp_path / "run").status.state == "failed"


def test_a_fit_by_least_squares_is_the_same_in_each_sitting() -> None:
    from nnkit.build import plan
    from nnkit.spec import parse
    from nnkit.types import DataPlace

    dataset: Any = plan("datasets", parse("cifar-transform:source=synthetic")).make()
    data = dataset.load(DataPlace(root=Path("none"), cache=Path("none"), download=False))
    one, two = (arms._from_spec("separable", data, 3).module.state_dict() for _ in range(2))
    assert arms.digest_of(one) == arms.digest_of(two)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda lines: ["{}", *lines], "line 1"),
        (lambda lines: lines[1:], "line 1: it is out of place"),
        (lambda lines: [lines[0], *lines[2:]], "line 2: it is out of place"),
        (lambda lines: [*lines[:-1], '{"kind": "round", "seconds": {"0|cpu": 1.0}}'], "line 4: it is not of"),
        (lambda lines: [*lines[:-1], lines[-1].replace(": 0.", ": -0.")], "line 4: "),
    ],
)
def test_a_damaged_record_is_an_error_that_names_the_line(
    damage: Callable[[list[str]], list[str]], said: str, run: Path
) -> None:
    path = run / "rounds.jsonl"
    path.write_text("\n".join(damage(path.read_text().splitlines())) + "\n")
    with pytest.raises(CheckpointError, match=rf"rounds\.jsonl is damaged in {said}"):
        nnkit.bench(resume=run)


def test_without_a_folder_an_interrupt_is_told_all_the_same() -> None:
    with pytest.raises(NnkitError) as stopped:
        nnkit.bench(**TINY, watch=At(1, send(signal.SIGINT)))
    assert (type(stopped.value), stopped.value.exit_code) == (InterruptedRun, 130)
