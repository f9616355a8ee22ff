"""Ctrl-C in a step, a save, an evaluation, twice; SIGTERM, SIGHUP: a whole checkpoint, the right code.

Row 8 of docs/reliability.md.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import load_file

from checkpoint_files import best_file, last_state
from data.image_files import random_png, write_folder
from nnkit.cli import main
from nnkit.data import tensor_files
from nnkit.runs.directory import RunDirectory
from nnkit.studies.train import study
from nnkit.training import loop
from nnkit.training.metrics import ClassificationMetrics
from tiny_plugin import TinyPlugin

Run = Callable[..., tuple[int, Path]]


@pytest.fixture(autouse=True)
def _hangup_is_heard() -> Iterator[None]:
    """Also where the tests run under nohup, which ignores it; children inherit that."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture
def run(tiny: TinyPlugin, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    monkeypatch.setattr("nnkit.present.figures.draw_training", lambda *parts: [])

    def start(*more: str) -> tuple[int, Path]:
        out = tmp_path / "run"
        options = ["--dataset", "tiny", "--batch-size", "16", "--epochs", "3", "--out", str(out)]
        return main.run(["train", *options, *more]), out

    return start


def after(calls: int, numbers: tuple[int, ...], function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, whose call number `calls` sends this process the signals first."""
    done = [0]

    def wrapped(*positional: Any, **named: Any) -> Any:
        done[0] += 1
        if done[0] == calls:
            for number in numbers:
                os.kill(os.getpid(), number)
        return function(*positional, **named)

    return wrapped


def state_of(run_dir: Path) -> dict[str, Any]:
    state: dict[str, Any] = json.loads((run_dir / "status.json").read_text())
    return state


def last_of(run_dir: Path) -> dict[str, torch.Tensor]:
    """The last checkpoint's weights; it is whole: its checksum is looked at."""
    return dict(last_state(run_dir).parts["model"])


SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_a_signal_in_a_step_leaves_a_checkpoint_after_it(
    run: Run, monkeypatch: pytest.MonkeyPatch, number: int, code: int
) -> None:
    monkeypatch.setattr(loop, "_compute", after(8, (number,), loop._compute))
    found, folder = run()
    assert found == code
    assert state_of(folder)["state"] == "interrupted"
    header = last_state(folder).parts
    assert (header["epoch"], header["step"]) == (1, 8)
    assert all(bool(tensor.isfinite().all()) for tensor in last_of(folder).values())
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert sum(line["kind"] == "step" for line in lines) == 6


def test_ctrl_c_in_the_first_epoch_keeps_its_steps(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "_compute", after(3, (signal.SIGINT,), loop._compute))
    code, folder = run()
    assert code == 130
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3]


def test_ctrl_c_in_a_save_lets_it_end(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensor_files, "save_file", after(3, (signal.SIGINT,), tensor_files.save_file))
    code, folder = run()
    assert code == 130
    assert last_of(folder)
    assert load_file(best_file(folder))


def test_ctrl_c_in_an_evaluation_does_not_wait_for_its_end(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    add = ClassificationMetrics.add
    monkeypatch.setattr(ClassificationMetrics, "add", after(1, (signal.SIGINT,), add))
    code, folder = run("--dataset", "tiny:several=true")
    assert code == 130
    header = last_state(folder).parts
    assert header["epoch"] == 0


def test_ctrl_c_in_the_test_evaluation_leaves_what_was_trained(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = ClassificationMetrics.add
    monkeypatch.setattr(ClassificationMetrics, "add", after(10, (signal.SIGINT,), add))
    code, folder = run("--dataset", "tiny:several=true")
    assert code == 130
    assert state_of(folder)["state"] == "interrupted"
    assert last_of(folder)
    assert not (folder / "summary.json").exists()


@pytest.mark.parametrize("place", ["step", "save"])
def test_the_second_ctrl_c_stops_at_once(run: Run, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    twice = (signal.SIGINT, signal.SIGINT)
    if place == "step":
        monkeypatch.setattr(loop, "_compute", after(8, twice, loop._compute))
    else:
        monkeypatch.setattr(tensor_files, "save_file", after(5, twice, tensor_files.save_file))
    code, folder = run()
    assert code == 130
    assert state_of(folder)["state"] == "interrupted"
    assert last_of(folder)
    assert not list(folder.rglob("*.tmp"))


def slowly(function: Callable[..., Any], calls: int, waits: list[float]) -> Callable[..., Any]:
    """`function`, whose call number `calls` is sent Ctrl-C and then takes half a minute."""
    done = [0]

    def wrapped(*positional: Any, **named: Any) -> Any:
        done[0] += 1
        if done[0] == calls:
            os.kill(os.getpid(), signal.SIGINT)
            started = time.monotonic()
            try:
                while time.monotonic() < started + 30:
                    with contextlib.suppress(Exception):  # as a compiler catches what happens in it
                        time.sleep(0.01)
            finally:
                waits.append(time.monotonic() - started)
        return function(*positional, **named)

    return wrapped


def test_ctrl_c_does_not_wait_for_data_and_loses_no_step(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study, "PATIENCE_S", 0.1)
    waits: list[float] = []
    monkeypatch.setattr(loop, "seed_step", slowly(loop.seed_step, 9, waits))
    code, folder = run()
    assert code == 130
    assert waits[0] < 5
    assert (last_state(folder).parts["epoch"], last_state(folder).parts["step"]) == (1, 8)


def test_ctrl_c_does_not_wait_for_a_compiler_in_the_first_step(
    run: Run, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(study, "PATIENCE_S", 0.1)
    waits: list[float] = []
    monkeypatch.setattr(loop, "_compute", slowly(loop._compute, 1, waits))
    code, folder = run()
    assert code == 130
    assert waits[0] < 5
    assert state_of(folder)["state"] == "interrupted"
    assert not (folder / "checkpoints").exists(), "what is in the midst of a step is no state to go on from"
    assert f"repeat it with: nnkit train --config {folder / 'config.toml'}" in capfd.readouterr().err


def test_a_step_that_takes_long_is_ended_where_steps_before_it_would_be_lost(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study, "PATIENCE_S", 0.05)

    def late(*positional: Any, **named: Any) -> Any:
        time.sleep(0.3)
        return compute(*positional, **named)

    compute = loop._compute
    monkeypatch.setattr(loop, "_compute", after(8, (signal.SIGINT,), late))
    code, folder = run()
    assert code == 130
    assert last_state(folder).parts["step"] == 8


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_a_signal_amid_the_figures_leaves_a_run_that_can_be_finished(
    run: Run, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], number: int, code: int
) -> None:
    def drawn(trained: Any) -> None:
        (trained.result.run_dir / "figures").mkdir()

    monkeypatch.setattr("nnkit.present.figures.draw_training", after(1, (number,), drawn))
    before = {each: signal.signal(each, main._terminated) for each in (signal.SIGTERM, signal.SIGHUP)}
    try:
        found, folder = run()
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
    assert found == code
    assert state_of(folder)["state"] == "interrupted"
    assert f"go on with: nnkit train --resume {folder}" in capfd.readouterr().err
    assert main.run(["train", "--resume", str(folder)]) == 0
    assert state_of(folder)["state"] == "finished"
    assert (folder / "figures").is_dir()


def test_a_hangup_that_is_ignored_stays_ignored(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        monkeypatch.setattr(loop, "_compute", after(8, (signal.SIGHUP,), loop._compute))
        code, folder = run()
    finally:
        signal.signal(signal.SIGHUP, before)
    assert code == 0
    assert state_of(folder)["state"] == "finished"


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_a_process_ends_within_five_seconds_and_leaves_no_child(
    tiny: TinyPlugin, tmp_path: Path, number: int, code: int
) -> None:
    out = tmp_path / "run"
    options = ["--dataset", "tiny", "--model", "tiny-net:slow_step_s=0.1", "--epochs", "1000"]
    process = subprocess.Popen(
        [sys.executable, "-m", "nnkit", "train", *options, "--out", str(out)],
        env=tiny.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    while not (out / "checkpoints/index.json").exists() and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(number)
    asked = time.monotonic()
    errors = process.communicate(timeout=60)[1].decode()
    assert time.monotonic() - asked < 5
    assert process.returncode == code, errors
    assert f"nnkit train --resume {out}" in errors
    assert "Traceback" not in errors
    assert last_of(out)
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


@dataclass(frozen=True)
class Ended:
    """How a process ended that was sent a signal: its exit code, how long it took, and its stderr."""

    code: int
    seconds: float
    errors: str


def stopped(
    words: list[str], begun: Callable[[], bool], number: int, *, group: bool = True, env: dict[str, str]
) -> Ended:
    """Run nnkit until `begun`, send the signal to it, or to its whole group as a terminal does.

    Nothing of the group may be left five seconds later: what tracks shared memory outlives it by a moment.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "nnkit", *words],
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while not begun() and process.poll() is None:
        time.sleep(0.02)
    (os.killpg if group else os.kill)(process.pid, number)
    asked = time.monotonic()
    errors = process.communicate(timeout=60)[1]
    seconds = time.monotonic() - asked
    while (left := living(process.pid)) and time.monotonic() < asked + 5:
        time.sleep(0.05)
    assert not left
    return Ended(process.returncode, seconds, errors)


def living(group: int) -> list[list[str]]:
    """The command lines of the processes of a group that run: one that ended may wait to be collected."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.cmdline())
    return found


def has_lines(path: Path, number: int) -> Callable[[], bool]:
    return lambda: path.is_file() and path.read_bytes().count(b"\n") >= number


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code", "group"),
    [(signal.SIGINT, 130, True), (signal.SIGTERM, 143, False), (signal.SIGHUP, 129, True)],
)
def test_workers_that_read_images_end_with_the_run_and_say_nothing(
    tmp_path: Path, tiny: TinyPlugin, number: int, code: int, group: bool
) -> None:
    files = {f"{'ab'[at % 2]}/{at}.png": random_png(at, 8 + at % 9, 9) for at in range(100)}
    folder, out = write_folder(tmp_path / "pets", files), tmp_path / "run"
    dataset = f"image-folder:path={folder},in_memory=false,num_workers=2"
    words = ["train", "--dataset", dataset, "--epochs", "100000", "--out", str(out)]
    env = {**tiny.env, "NNKIT_CACHE": str(tmp_path / "cache")}
    ended = stopped(words, has_lines(out / "metrics.jsonl", 3), number, group=group, env=env)
    assert ended.code == code, ended.errors
    assert ended.seconds < 5
    assert f"go on with: nnkit train --resume {out}" in ended.errors
    assert "Traceback" not in ended.errors
    assert state_of(out)["state"] == "interrupted"
    assert last_of(out)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code", "group"),
    [(signal.SIGINT, 130, True), (signal.SIGTERM, 143, False), (signal.SIGHUP, 129, True)],
)
def test_a_benchmark_keeps_its_rounds_and_ends_with_its_workers(
    tmp_path: Path, tiny: TinyPlugin, number: int, code: int, group: bool
) -> None:
    out = tmp_path / "run"
    words = ["bench", "--limit", "16", "--repeats", "1000", "--loader", "dataloader", "--num-workers", "2"]
    env = {**tiny.env, "NNKIT_CACHE": str(tmp_path / "cache")}
    ended = stopped(
        [*words, "--out", str(out)], has_lines(out / "rounds.jsonl", 4), number, group=group, env=env
    )
    assert ended.code == code, ended.errors
    assert ended.seconds < 5
    assert f"go on with: nnkit bench --resume {out}" in ended.errors
    assert "Traceback" not in ended.errors
    assert state_of(out)["state"] == "interrupted"
    rounds = (out / "rounds.jsonl").read_text().count('"kind": "round"')
    assert f"interrupted with {rounds} of 1000 rounds done" in ended.errors


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "number", "code", "group"),
    [
        ("train", signal.SIGINT, 130, True),
        ("train", signal.SIGTERM, 143, True),
        ("compare-pooling", signal.SIGHUP, 129, False),
    ],
)
def test_cells_in_processes_end_within_five_seconds_and_keep_their_checkpoints(
    tmp_path: Path, tiny: TinyPlugin, command: str, number: int, code: int, group: bool
) -> None:
    out = tmp_path / "run"
    own = ["--dataset", "tiny"] if command == "train" else ["--dataset", "digits", "--limit", "200"]
    words = [command, *own, "--seeds", "0-3", "--jobs", "2", "--epochs", "100000", "--out", str(out)]

    def begun() -> bool:
        return len(list(out.glob("cells/*/checkpoints/index.json"))) == 2

    ended = stopped(words, begun, number, group=group, env=tiny.env)
    assert ended.code == code, ended.errors
    assert ended.seconds < 5
    assert f"to go on: nnkit {command} --config {out / 'config.toml'} --out {out}" in ended.errors
    assert "interrupted with 0 of " in ended.errors
    assert "Traceback" not in ended.errors
    assert "leaked" not in ended.errors
    assert state_of(out)["state"] == "interrupted"
    cells = RunDirectory(out).cells()
    assert [cell.state() for cell in cells] == ["interrupted"] * 2
    assert all(last_of(cell.path) for cell in cells)


def test_ctrl_c_before_anything_began_is_told(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def interrupted(**settings: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr("nnkit.cli.output.set_up", interrupted)
    assert main.run(["train", "--out", str(tmp_path / "run")]) == 130
    assert "nnkit: interrupted" in capfd.readouterr().err


CHILD = """
import multiprocessing, signal
from nnkit.studies.cells import _without_ctrl_c

def child():
    print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ()), flush=True)

if __name__ == "__main__":
    for _ in range(2):
        process = multiprocessing.get_context("spawn").Process(target=child)
        with _without_ctrl_c():
            process.start()
        process.join()
    print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ()))
"""


@pytest.mark.slow
def test_no_child_hears_ctrl_c_not_even_the_first(tmp_path: Path) -> None:
    """Its traceback stood between the messages of the comparison, which ends it itself."""
    (tmp_path / "script.py").write_text(CHILD)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "script.py")], capture_output=True, text=True, timeout=120
    )
    assert done.stdout.split() == ["True", "True", "False"], done.stderr
