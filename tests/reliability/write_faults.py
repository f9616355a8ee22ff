"""Runs in which the n-th call that writes fails, or is never reached because the process ends before it.

A process that has torch loaded forks each run: `python -m reliability.write_faults FOLDER KIND COMMAND
[EVERY]` prints what came of each n, as JSON. Calls that write are those that create, rename, truncate or
remove a file or folder, bring one to the disk, or write bytes, of which half are written.
"""

from __future__ import annotations

import builtins
import errno
import hashlib
import io
import json
import os
import re
import resource
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError

import nnkit
from nnkit.cli import main
from nnkit.data import tensor_files
from nnkit.present import drawing, figures
from nnkit.runs.directory import RunDirectory
from nnkit.studies.bench import study as bench_study

Kind = Literal["full", "full once", "killed"]
Command = Literal["train", "resume", "bench"]
TIMES = ("train_s", "seconds", "data_wait_s", "images_per_s")
TRAIN = (
    "train", "--dataset", "tiny", "--model", "tiny-net:dropout=0.2,norm=true", "--limit", "16",
    "--epochs", "2", "--batch-size", "16", "--checkpoint-every", "1", "--ema", "0.5", "--lr", "0.05",
)  # fmt: skip
BENCH = ("bench", "--limit", "4", "--repeats", "3", "--batch-size", "4")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
REMOVING = ("os.remove", "os.rmdir", "os.truncate")
NAMES = {"os.mkdir": "mkdir", "os.rename": "rename", "os.chmod": "chmod"}


@dataclass
class Faults:
    """Counts the calls that write below `folder`, and acts at the n-th: 0 never."""

    kind: Kind
    folder: Path
    at: int
    calls: list[str] = field(default_factory=list)

    def reached(self, call: str) -> bool:
        """Count a call; whether it is to fail. In a run that is killed it does not come back."""
        self.calls.append(call)
        now = len(self.calls)
        return bool(self.at) and (now == self.at or (self.kind == "full" and now > self.at))

    def fail(self) -> None:
        if self.kind == "killed":
            os._exit(137)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def meet(self, call: str) -> None:
        if self.reached(call):
            self.fail()

    def install(self) -> None:
        """Begin to count, in this process, for good."""
        sys.addaudithook(self._hook)
        opened, flushed, saved = io.open, os.fsync, tensor_files.save_file

        def open_(file: Any, mode: str = "r", *more: Any, **named: Any) -> Any:
            if not isinstance(file, (str, Path)) or not self._below(file) or not set(mode) & set("wax"):
                return opened(file, mode, *more, **named)
            raw = Raw(self, str(file), mode.replace("b", "").replace("t", ""))
            if "b" in mode:
                return io.BufferedWriter(raw)
            text = {key: named[key] for key in ("encoding", "errors", "newline") if key in named}
            return io.TextIOWrapper(io.BufferedWriter(raw), **text)

        def fsync(descriptor: int) -> None:
            self.meet("fsync")  # and no more: no power is lost here

        def save_file(tensors: Any, path: Path, metadata: Any = None) -> None:
            if not self._below(path):
                return saved(tensors, path, metadata)
            if self.reached("write tensors"):
                saved(tensors, path, metadata)
                os.truncate(path, path.stat().st_size // 2)
                try:
                    self.fail()
                except OSError as error:  # as safetensors says it
                    text = f"Error while serializing: I/O error: {error.strerror} (os error {error.errno})"
                    raise SafetensorError(text) from None
            return saved(tensors, path, metadata)

        io.open, builtins.open = open_, open_  # type: ignore[assignment]
        os.fsync, tensor_files.save_file = fsync, save_file
        assert flushed is not fsync

    def _below(self, path: object) -> bool:
        return isinstance(path, (str, os.PathLike)) and os.fspath(path).startswith(str(self.folder))

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and flags & WRITING and self._below(path):
                self.meet("open")
        elif event in NAMES and self._below(arguments[0]):
            self.meet(NAMES[event])
        elif event in REMOVING and self.kind == "killed" and self._below(arguments[0]):
            self.meet(event)  # what is full can still be removed from


class Raw(io.FileIO):
    """A file of which the last write may be cut in half."""

    def __init__(self, faults: Faults, path: str, mode: str) -> None:
        super().__init__(path, mode)
        self.faults = faults

    def write(self, data: Any) -> int:
        if self.faults.reached("write"):
            super().write(bytes(data)[: len(data) // 2])
            self.faults.fail()
        return super().write(data)


def child(act: Callable[[], int], log: Path) -> tuple[int, str]:
    """Exit code and stderr of a forked process."""
    pid = os.fork()
    if not pid:
        code = 99
        try:
            descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(descriptor, 1)
            os.dup2(descriptor, 2)
            os.close(descriptor)
            code = act()
        finally:
            sys.stderr.flush()
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return code, log.read_text(errors="replace")


def state_of(run: Path) -> str:
    """A hash of what a finished run holds but its times: the log, the best weights, the last weights."""
    folder = RunDirectory(run)
    lines = [json.loads(line) for line in folder.log_path.read_text().splitlines()]
    found = hashlib.sha256(repr([{k: v for k, v in x.items() if k not in TIMES} for x in lines]).encode())
    best = folder.checkpoints.best()
    assert best is not None
    found.update(best.read_bytes())
    for tensor in nnkit.load(run).state_dict().values():
        found.update(tensor.numpy().tobytes())
    (_, newest), *_ = folder.checkpoints.states()
    tensors, _ = tensor_files.read(newest)
    for name in sorted(tensors):
        found.update(name.encode() + tensors[name].numpy().tobytes())
    return found.hexdigest()


def snapshot(run: Path) -> dict[str, bytes]:
    """The files of a run that may not change once they are there: those of its checkpoints."""
    return {str(path): path.read_bytes() for path in run.glob("checkpoints/*/*.safetensors")}


def begin(folder: Path, kind: Kind, command: Command, every: int = 1) -> list[dict[str, Any]]:
    """What came of a fault at each call that writes, or at every so many-th."""
    log, template = folder / "log", folder / "template"
    arguments = list(BENCH if command == "bench" else TRAIN)
    whole = folder / "whole"
    assert child(lambda: main.run([*arguments, "--out", str(whole)]), log)[0] == 0, log.read_text()
    if command == "resume":
        killed = Faults("killed", template, 0)

        def break_off() -> int:
            killed.install()
            killed.at = 75  # amid the saves
            return main.run([*arguments, "--out", str(template)])

        assert child(break_off, log)[0] == 137
        assert RunDirectory(template).checkpoints.states()

    def act(run: Path, at: int, told: Path | None = None) -> int:
        faults = Faults(kind, run, at)
        faults.install()
        resume = ["train", "--resume", str(run)]
        code = main.run(resume if command == "resume" else [*arguments, "--out", str(run)])
        faults.at = 0
        if told is not None:
            told.write_text("\n".join(faults.calls))
        return code

    def fresh(name: str) -> Path:
        run = folder / name
        if command == "resume":
            shutil.copytree(template, run)
        return run

    calls = folder / "calls"
    code, text = child(lambda: act(fresh("counted"), 0, calls), log)
    assert code == 0, text
    expected = None if command == "bench" else state_of(whole)
    found = []
    for at, call in enumerate(calls.read_text().splitlines(), start=1):
        if at % every:
            continue
        run = fresh(f"run-{at}")
        before = snapshot(run)
        code, text = child(lambda run=run, at=at: act(run, at), log)  # type: ignore[misc]
        row: dict[str, Any] = {"at": at, "call": call, "code": code, "text": text, "run": str(run)}
        if command != "bench":
            row |= after(run, expected or "", before, log)
        row["stale"] = [str(path) for path in run.rglob("*.tmp")]
        found.append(row)
        shutil.rmtree(run, ignore_errors=True)
    return found


def after(run: Path, expected: str, before: dict[str, bytes], log: Path) -> dict[str, Any]:
    """How a run goes on after a fault."""
    folder = RunDirectory(run)
    had = folder.exists() and bool(folder.checkpoints.states())
    row: dict[str, Any] = {"had": had, "state": folder.state() if folder.exists() else None}
    kept = snapshot(run)
    row["changed"] = [path for path in before if path in kept and kept[path] != before[path]]
    if had:
        row["loads"] = [entry.step for entry, path in folder.checkpoints.states() if tensor_files.read(path)]
    row["resumed"], row["said"] = child(lambda: main.run(["train", "--resume", str(run)]), log)
    finished = folder.exists() and folder.state() == "finished"
    row["same"] = finished and state_of(run) == expected
    return row


def few_files(folder: Path) -> list[dict[str, Any]]:
    """What comes of a run that may open so many more files."""
    found, log, whole = [], folder / "log", folder / "whole"
    assert child(lambda: main.run([*TRAIN, "--out", str(whole)]), log)[0] == 0, log.read_text()
    expected = state_of(whole)
    for more in range(12):
        run = folder / f"run-{more}"

        def act(run: Path = run, more: int = more) -> int:
            highest = max(int(name) for name in os.listdir("/proc/self/fd"))
            while (last := os.dup(0)) < highest:  # no number below is free
                pass
            resource.setrlimit(resource.RLIMIT_NOFILE, (last + 1 + more,) * 2)
            return main.run([*TRAIN, "--out", str(run)])

        code, text = child(act, log)
        row = {"at": more, "call": "", "code": code, "text": text, "run": str(run)}
        found.append({**row, **after(run, expected, {}, log), "stale": list(map(str, run.rglob("*.tmp")))})
    return found


def prepare() -> None:
    """Load what a run loads, and leave out what takes long: figures, the versions of packages, timing."""
    torch.set_num_threads(1)

    def draw(trained: Any) -> list[Path]:
        return [drawing.write_file(RunDirectory(trained.result.run_dir).figures / "a.json", b"{}")]

    figures.draw_training = draw
    sys.modules["nnkit.runs.provenance"].full_environment = dict  # type: ignore[attr-defined]
    if "bench" in sys.argv:
        measured = nnkit.bench(limit=4, repeats=3, batch_size=4, threads=1)

        def again(config: Any, dataset: Any, run_dir: Path | None, record: Any, watch: Any) -> Any:
            return measured.model_copy(update={"run_dir": run_dir})

        bench_study._benchmark = again


if __name__ == "__main__":
    place = Path(sys.argv[1])
    prepare()
    rows = (
        few_files(place)
        if sys.argv[2] == "few"
        else begin(place, sys.argv[2], sys.argv[3], *map(int, sys.argv[4:]))
    )  # type: ignore[arg-type]
    print(re.sub("\x00", "", json.dumps(rows)))
