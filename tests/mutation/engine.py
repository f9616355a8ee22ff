"""All that touches mutmut: its copy of the project in mutants/, its verdicts, its runs.

mutmut keeps an exit code per mutant in `mutants/src/....meta` and tries every mutant of these files that has
none: so it goes on where it was stopped. Here they hold the mutants of the current run alone (mutmut goes
through all that stand there after each one that it tries); `mutants/verdicts.json` holds those of all runs.
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
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mutation import order, score
from mutation.plugin import LOG, SECONDS, STATS, scratch

ROOT = Path(__file__).parents[2]
COPY = Path("mutants")
STORE = "verdicts.json"
HASHES = "hashes.json"
"""A hash of each source and each test file, as they were when the verdicts were found."""
ALL_STATS = "all-stats.json"
"""The statistics before the tests of each function were cut to the budget."""

MUTMUT_LOG = "mutmut.log"
PROGRESS_S = 30.0

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

NO_VERDICT = (None, 2)
"""Not tried, and interrupted."""

MAKE_MUTANTS = """
from mutmut import __main__ as mutmut
mutmut.copy_src_dir()
mutmut.copy_also_copy_files()
mutmut.create_mutants(2)
"""

COLLECT_STATS = f"""{MAKE_MUTANTS}
mutmut.setup_source_paths()
mutmut.collect_or_load_stats(mutmut.get_mutant_runner(1), apply_config_invalidation=True)
"""
"""The mutants are made again, which takes no time, because mutmut drops statistics of functions not seen."""

SHOW_MUTANTS = """
import json, sys
from mutmut.mutation.diff_apply import get_diff_for_mutant
asked = json.load(sys.stdin)
json.dump({name: get_diff_for_mutant(name, path=path) for name, path in asked.items()}, sys.stdout)
"""


@dataclass(frozen=True)
class Settings:
    """How mutants are tried."""

    jobs: int = 2
    budget_s: float = 20.0
    """What near tests may take for one mutant, beside its own; and what all the others may."""


def verdict(exit_code: int | None) -> str | None:
    """What an exit code of mutmut says; None for a mutant that has not been tried."""
    if exit_code is None or exit_code in NO_VERDICT:
        return None
    if exit_code in VERDICTS:
        return VERDICTS[exit_code]
    return score.CRASHED if exit_code < 0 else score.ERROR


def prepare() -> None:
    """Brings the copy of the project up to date, and forgets verdicts that changes may have made wrong.

    Where anything changed, a mutant stays killed as long as its module and the test that killed it stand in
    files that did not; every other verdict is found anew.
    """
    COPY.mkdir(exist_ok=True)
    drop_torn_files()
    drop_what_was_removed()
    _python(MAKE_MUTANTS)
    now, noted = fingerprint(), COPY / "fingerprint"
    if not noted.exists() or noted.read_text() != now:
        forget()
        noted.write_text(now)


def forget() -> None:
    """Keeps the verdicts that hold whatever changed, as `prepare` says, and no other."""
    hashes, before = _hashes(), _read(COPY / HASHES)
    sources = {_module(path): str(path.relative_to(COPY).with_suffix("")) for path in metas()}
    codes = _codes()

    def holds(record: Mapping[str, Any]) -> bool:
        name = record["mutant"]
        if verdict(codes.get(name)) != score.KILLED:
            return False
        killer = str(record["killer"]).removeprefix("collecting ").split("::")[0]
        files = (sources.get(order.module_of(name), ""), killer)
        return all(file in hashes and hashes[file] == before.get(file) for file in files)

    kept = [record for record in tried() if holds(record)]
    for path in metas():
        _write_codes(path, {})
    (COPY / STORE).write_text(json.dumps({record["mutant"]: codes[record["mutant"]] for record in kept}))
    (COPY / LOG).write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in kept))
    (COPY / HASHES).write_text(json.dumps(hashes))


def _hashes() -> dict[str, str]:
    paths = [*Path("src").rglob("*.py"), *Path("tests").rglob("test_*.py")]
    return {path.as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(paths)}


def fingerprint() -> str:
    """Of all that a verdict depends on: sources, tests, what tests read, and the settings of the tools."""
    digest = hashlib.sha256()
    for folder in ("src", "tests", "plugins", "examples"):
        for path in sorted(Path(folder).rglob("*")):
            if path.is_file() and path.suffix != ".pyc" and "mutation" not in path.parts:
                digest.update(f"{path}\0".encode() + path.read_bytes() + b"\0")
    digest.update(Path("pyproject.toml").read_bytes())
    return digest.hexdigest()


def mutants() -> dict[str, list[str]]:
    """The names of all mutants by module, in the order in which they stand in the code."""
    found = {}
    for path in sorted(COPY.glob("src/**/*.py.spans")):
        functions = json.loads(path.read_text(encoding="utf-8"))["spans"]
        module = _module(path)
        names = [f"{module}.{name}" for name in functions if not name.endswith("__mutmut_orig")]
        if names:
            found[module] = names
    return found


def verdicts() -> dict[str, str | None]:
    """The verdict on each mutant that was tried, as far as it still holds."""
    return {name: verdict(code) for name, code in _codes().items()}


def choose(names: Collection[str], *, again: bool = False) -> None:
    """Has the next run try `names` where they have no verdict yet, and no other mutant.

    `again` tries those anew that no test killed, also where they hung: on a busy machine a slow run looks so.
    """
    codes, chosen = _codes(), set(names)
    if again:
        sure = (score.KILLED, score.CRASHED)
        codes = {name: code for name, code in codes.items() if name not in chosen or verdict(code) in sure}
    (COPY / STORE).write_text(json.dumps(codes))
    by_module: dict[str, dict[str, int | None]] = {}
    for name in chosen:
        by_module.setdefault(order.module_of(name), {})[name] = codes.get(name)
    for path in metas():
        _write_codes(path, by_module.get(_module(path), {}))


def collect_stats(settings: Settings) -> None:
    """Which test reaches which function, measured by a run of the whole suite in one process; kept.

    The suite runs again where sources or helpers of tests changed; where only test files did, those do.
    """
    whole, stats = COPY / ALL_STATS, COPY / STATS
    stats.unlink(missing_ok=True)
    known = _read(whole)
    shared, files = _test_hashes()
    if known and known["shared"] == shared:
        changed = {
            file for file in {**known["files"], **files} if known["files"].get(file) != files.get(file)
        }
        stats.write_text(json.dumps(without(known["stats"], changed)))
    if _run([sys.executable, "-c", COLLECT_STATS]):
        raise SystemExit(f"the tests do not pass on the copy in {COPY}/:\n{log_end()}")
    collected = _read(stats)
    whole.write_text(json.dumps({"shared": shared, "files": files, "stats": collected}))
    stats.write_text(json.dumps(cut(collected, settings.budget_s)))


def run(settings: Settings, num_mutants: int) -> int:
    """Tries the mutants that were chosen; the exit code is mutmut's, 130 where it was interrupted."""

    before = len(tried())

    def tell() -> None:
        print(f"{len(tried()) - before:,} tried of {num_mutants:,}", file=sys.stderr)

    mutmut = str(Path(sys.executable).parent / "mutmut")
    exit_code = _run([mutmut, "run", "--max-children", str(settings.jobs)], tell)
    if exit_code not in (0, 130):
        print(log_end(), file=sys.stderr)
    return exit_code


def _run(command: list[str], tell: Callable[[], None] = lambda: None) -> int:
    """Runs a command in a process group of its own, and ends with it whatever a mutant left running.

    `tell` is called now and then; mutmut's own progress, made for a terminal alone, goes to a file.
    """
    with (COPY / MUTMUT_LOG).open("w") as log:
        process = subprocess.Popen(command, env=environment(), start_new_session=True, stdout=log, stderr=log)
        try:
            while True:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    return process.wait(timeout=PROGRESS_S)
                tell()
        except KeyboardInterrupt:
            os.kill(process.pid, signal.SIGINT)  # mutmut ends its workers and keeps their verdicts
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=60)
            return 130
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            shutil.rmtree(scratch(COPY), ignore_errors=True)


def log_end() -> str:
    """The end of mutmut's output, without the steps of its progress display."""
    lines = (COPY / MUTMUT_LOG).read_text(encoding="utf-8", errors="replace").split("\n")
    return "\n".join(line.split("\r")[-1] for line in lines[-60:])


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


def diffs(names: Iterable[str]) -> dict[str, list[str]]:
    """The lines that each mutant removes and adds."""
    paths = {_module(path): path.relative_to(COPY).with_suffix("") for path in metas()}
    asked = {name: str(paths[order.module_of(name)]) for name in names}
    shown = json.loads(_python(SHOW_MUTANTS, json.dumps(asked)))
    return {
        name: [
            f"{line[0]} {line[1:].strip()}"
            for line in text.splitlines()
            if line.startswith(("-", "+")) and not line.startswith(("---", "+++"))
        ]
        for name, text in shown.items()
    }


def tried() -> list[dict[str, Any]]:
    """A record per mutant of this run: its tests, its seconds, and the test that killed it."""
    try:
        lines = (COPY / LOG).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in lines]


def metas() -> Iterator[Path]:
    """mutmut's files of exit codes."""
    return iter(sorted(COPY.glob("src/**/*.py.meta")))


def drop_torn_files() -> None:
    """A file that mutmut was writing when it was killed is made again, and its mutants are tried again."""
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
            for path in copy.parent.glob(f"{copy.name}*"):
                path.unlink()


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


def _codes() -> dict[str, int | None]:
    """Exit codes of all runs, as far as they still hold, with what the last run added."""
    codes: dict[str, int | None] = _read(COPY / STORE)
    for path in metas():
        added = json.loads(path.read_text(encoding="utf-8"))["exit_code_by_key"]
        codes |= {name: code for name, code in added.items() if code not in NO_VERDICT}
    return codes


def _write_codes(path: Path, codes: dict[str, int | None]) -> None:
    """Replaces the mutants, with their exit codes, in one file of mutmut's."""
    meta = json.loads(path.read_text(encoding="utf-8"))
    if codes != meta["exit_code_by_key"]:
        meta["exit_code_by_key"] = codes
        path.write_text(json.dumps(meta, indent=4), encoding="utf-8")


def _module(path: Path) -> str:
    """The module of a file in the copy: mutants/src/nnkit/data/cache.py.meta is of nnkit.data.cache."""
    name = path.name.split(".")[0]
    parts = [*path.relative_to(COPY / "src").parent.parts, *([] if name == "__init__" else [name])]
    return ".".join(parts)


def _python(code: str, given: str = "") -> str:
    """Runs code that uses mutmut, which must not be imported beside pytest; returns its output."""
    done = subprocess.run(
        [sys.executable, "-c", code], input=given, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"mutmut failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    return done.stdout


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


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError):
        return {}
