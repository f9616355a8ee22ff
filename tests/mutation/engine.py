"""All that touches mutmut: its copy of the project in mutants/, its verdicts, its runs.

mutmut keeps a verdict per mutant in `mutants/src/....meta` and, run without names, tries every mutant that
has none: so it goes on where it was stopped. Mutants that are not to be tried get the verdict "skipped".
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mutation import order, score
from mutation.plugin import LOG, SCRATCH, SECONDS

ROOT = Path(__file__).parents[2]
COPY = Path("mutants")
STATS = "mutmut-stats.json"
ALL_STATS = "all-stats.json"
"""The statistics before the tests of each function were cut to the budget."""

SKIPPED = 34
VERDICTS = {
    0: score.SURVIVED,
    1: score.KILLED,
    3: score.KILLED,  # an internal error of pytest, made by the mutant
    5: score.NO_TESTS,
    33: score.NO_TESTS,
    -signal.SIGXCPU: score.TIMEOUT,
    -signal.SIGKILL: score.TIMEOUT,  # a second after SIGXCPU
}
"""mutmut's exit codes. It calls 255 a time-out, but that is what a run leaves that pytest refused."""

NO_VERDICT = (None, SKIPPED, 2)
"""Not tried, left out, and interrupted."""


@dataclass(frozen=True)
class Settings:
    """How mutants are tried."""

    jobs: int = 2
    budget_s: float = 45.0
    """What the tests of one mutant may take together, where its own tests take less."""


def verdict(exit_code: int | None) -> str | None:
    """What an exit code of mutmut says; None for a mutant that has not been tried."""
    if exit_code in NO_VERDICT or exit_code is None:
        return None
    if exit_code in VERDICTS:
        return VERDICTS[exit_code]
    return score.CRASHED if exit_code < 0 else score.ERROR


def prepare(settings: Settings) -> None:
    """Brings the copy of the project up to date, and forgets every verdict where sources or tests changed."""
    COPY.mkdir(exist_ok=True)
    drop_torn_files()
    drop_what_was_removed()
    _call_mutmut(
        "from mutmut import __main__ as m; "
        f"m.copy_src_dir(); m.copy_also_copy_files(); m.create_mutants({settings.jobs})"
    )
    now, noted = fingerprint(), COPY / "fingerprint"
    if not noted.exists() or noted.read_text() != now:
        for path in metas():
            _set_verdicts(path, lambda name, code: None)
        (COPY / LOG).unlink(missing_ok=True)
        noted.write_text(now)


def fingerprint() -> str:
    """Of all that a verdict depends on: sources, tests, and the settings of both tools."""
    digest = hashlib.sha256()
    for folder in ("src", "tests", "plugins", "examples"):
        for path in sorted(Path(folder).rglob("*")):
            if path.is_file() and path.suffix != ".pyc" and "mutation" not in path.parts:
                digest.update(f"{path}\0".encode() + path.read_bytes() + b"\0")
    digest.update(Path("pyproject.toml").read_bytes())
    return digest.hexdigest()


def mutants() -> dict[str, dict[str, str | None]]:
    """Every mutant's verdict, by module."""
    found: dict[str, dict[str, str | None]] = {}
    for path in metas():
        codes = json.loads(path.read_text(encoding="utf-8"))["exit_code_by_key"]
        for name, code in codes.items():
            found.setdefault(order.module_of(name), {})[name] = verdict(code)
    return found


def metas() -> Iterator[Path]:
    """mutmut's files of verdicts."""
    return iter(sorted(COPY.glob("src/**/*.meta")))


def choose(names: Collection[str]) -> None:
    """Has the next run try `names` where they have no verdict yet, and no other mutant."""
    chosen = set(names)

    def code(name: str, code: int | None) -> int | None:
        if code not in NO_VERDICT:
            return code
        return None if name in chosen else SKIPPED

    for path in metas():
        _set_verdicts(path, code)


def collect_stats(settings: Settings) -> None:
    """Which test reaches which function, measured by a run of the whole suite in one process; kept.

    The suite runs again where sources or helpers of tests changed; where only test files did, those do.
    """
    whole, stats = COPY / ALL_STATS, COPY / STATS
    stats.unlink(missing_ok=True)
    known = _read(whole)
    shared, files = _test_hashes()
    if known and known.get("shared") == shared:
        changed = {
            file for file in {**known["files"], **files} if known["files"].get(file) != files.get(file)
        }
        stats.write_text(json.dumps(without(known["stats"], changed)))
    any_name = next(iter(next(iter(mutants().values()))))
    log = COPY / "stats.log"
    if run_mutmut(["print-time-estimates", any_name], log=log):
        raise SystemExit(
            f"the tests do not pass on the copy in {COPY}/; {log} ends:\n{log.read_text()[-4000:]}"
        )
    collected = json.loads(stats.read_text(encoding="utf-8"))
    whole.write_text(json.dumps({"shared": shared, "files": files, "stats": collected}))
    stats.write_text(json.dumps(cut(collected, settings.budget_s)))


def run(settings: Settings) -> int:
    """Tries the mutants that were chosen; the exit code is mutmut's, 130 where it was interrupted."""
    return run_mutmut(["run", "--max-children", str(settings.jobs)])


def run_mutmut(arguments: Iterable[str], *, log: Path | None = None) -> int:
    """Runs mutmut in a process group of its own, and ends with it whatever a mutant left running."""
    command = [str(Path(sys.executable).parent / "mutmut"), *arguments]
    with contextlib.ExitStack() as stack:
        output = stack.enter_context(log.open("w")) if log else None
        process = subprocess.Popen(
            command, env=environment(), start_new_session=True, stdout=output, stderr=output
        )
        try:
            return process.wait()
        except KeyboardInterrupt:
            os.kill(process.pid, signal.SIGINT)  # mutmut ends its workers and keeps their verdicts
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=60)
            return 130
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            shutil.rmtree(SCRATCH, ignore_errors=True)


def environment() -> dict[str, str]:
    """The variables under which tests run in the copy: its sources first, also in subprocesses."""
    paths = [str((COPY / "src").resolve()), str((COPY / "tests").resolve())]
    cache = (COPY / "cache").resolve()  # filled by the statistics run; a mutant sees a copy
    cache.mkdir(exist_ok=True)
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "NNKIT_CACHE": str(cache),
        "OMP_NUM_THREADS": "1",
    }


def diff(name: str) -> list[str]:
    """The lines that a mutant removes and adds."""
    text = subprocess.run(
        [str(Path(sys.executable).parent / "mutmut"), "show", name],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    lines = [line for line in text.splitlines() if line[:1] in ("-", "+") and line[:3] not in ("---", "+++")]
    return [f"{line[0]} {line[1:].strip()}" for line in lines]


def tried() -> list[dict[str, object]]:
    """A record per mutant of this run: its tests, its seconds, and the test that killed it."""
    try:
        lines = (COPY / LOG).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in lines]


def _set_verdicts(path: Path, change: Callable[[str, int | None], int | None]) -> None:
    """Rewrites the verdicts of one file of mutmut's."""
    meta = json.loads(path.read_text(encoding="utf-8"))
    codes = {name: change(name, code) for name, code in meta["exit_code_by_key"].items()}
    if codes != meta["exit_code_by_key"]:
        meta["exit_code_by_key"] = codes
        path.write_text(json.dumps(meta, indent=4), encoding="utf-8")


def drop_torn_files() -> None:
    """A file that mutmut was writing when it was killed is made again, its mutants tried again."""
    for path in metas():
        try:
            json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            path.unlink()
            path.with_suffix("").unlink(missing_ok=True)


def drop_what_was_removed() -> None:
    """mutmut copies what is new and changed, and never removes: a deleted test would still run."""
    for copy in COPY.iterdir():
        if copy.is_dir() and copy.name != "src" and Path(copy.name).is_dir():
            shutil.rmtree(copy)
    for copy in sorted(COPY.glob("src/**/*.py")):
        if not copy.relative_to(COPY).exists():
            copy.unlink()
            copy.with_name(copy.name + ".meta").unlink(missing_ok=True)


def _call_mutmut(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"mutmut could not make the mutants:\n{done.stdout}{done.stderr}")


def _test_hashes() -> tuple[str, dict[str, str]]:
    """One hash of all that any test may depend on, and one for each test file."""
    shared, files = hashlib.sha256(), {}
    for path in sorted([*Path("src").rglob("*.py"), *Path("tests").rglob("*.py")]):
        content = path.read_bytes()
        if path.name.startswith("test_"):
            files[path.as_posix()] = hashlib.sha256(content).hexdigest()
        elif "mutation" not in path.parts:
            shared.update(f"{path}\0".encode() + content + b"\0")
    return shared.hexdigest(), files


def without(stats: dict[str, Any], changed: Collection[str]) -> dict[str, Any]:
    """Statistics that have forgotten the tests of `changed` files: mutmut takes them for new ones."""

    def keeps(test: str) -> bool:
        return test.split("::")[0] not in changed

    seconds, reached = stats["duration_by_test"], stats["tests_by_mangled_function_name"]
    return {
        **stats,
        "duration_by_test": {test: value for test, value in seconds.items() if keeps(test)},
        "tests_by_mangled_function_name": {
            function: [test for test in tests if keeps(test)] for function, tests in reached.items()
        },
    }


def cut(stats: dict[str, Any], budget_s: float) -> dict[str, Any]:
    """Statistics in which each function names the tests that fit into the budget.

    Durations include fixtures, which mutmut leaves out: it derives the time limit of a mutant from them.
    """
    reached, seconds = stats["tests_by_mangled_function_name"], stats["duration_by_test"]
    seconds = {**seconds, **{test: s for test, s in _read(COPY / SECONDS).items() if test in seconds}}
    return {
        **stats,
        "duration_by_test": seconds,
        "tests_by_mangled_function_name": {
            function: order.within_budget(tests, order.module_of(function), seconds, budget_s=budget_s)
            for function, tests in reached.items()
        },
    }


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError):
        return {}
