"""Pytest plugin that mutmut's runs load: orders the tests of a mutant and notes which one killed it.

mutmut says by the environment variable MUTANT_UNDER_TEST what a run of pytest is for: "stats" (which test
reaches which function), "" (are the tests green without a mutant), "fail", "list_all_tests", or the name of a
mutant. Each run that tries a mutant has its own temporary folder and its own cache of decoded data: no mutant
leaves anything behind for the next.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Collection, Generator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from mutation import order

SECONDS = "test-seconds.json"
"""What each test took in the statistics run, with its fixtures; mutmut's own figure leaves them out."""

LOG = "tried.jsonl"
"""A line per mutant that was tried: its tests, its seconds and the test that killed it."""

STATS = "mutmut-stats.json"

CLEAN_RUN_S = 20.0

hypothesis.settings.register_profile("mutation", derandomize=True, database=None, deadline=None)
hypothesis.settings.load_profile("mutation")  # the same draws for every mutant and in every run


@pytest.hookimpl(tryfirst=True)  # before pytest makes its temporary folder
def pytest_configure(config: pytest.Config) -> None:
    purpose = os.environ.get("MUTANT_UNDER_TEST", "")
    if purpose == "stats":
        # A subprocess would look for mutmut's configuration in its own folder and fail. mutmut keeps the
        # value in this process too, so that functions reached here are still counted.
        del os.environ["MUTANT_UNDER_TEST"]
    config.pluginmanager.register(_Run(config, purpose, Path.cwd()), "nnkit-mutation-run")


def scratch(copy: Path) -> Path:
    """Where the mutants of a copy of the project put their temporary files."""
    return (
        Path(tempfile.gettempdir())
        / f"nnkit-mutation-{hashlib.sha256(bytes(copy.resolve())).hexdigest()[:8]}"
    )


class _Run:
    """One run of pytest within a mutation run; `folder` is mutmut's copy of the project."""

    def __init__(self, config: pytest.Config, purpose: str, folder: Path) -> None:
        self.purpose, self.folder = purpose, folder
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.killer: str | None = None
        self.start = time.monotonic()
        self.collected_s = 0.0
        self.scratch = scratch(folder) / str(os.getpid())
        if self.is_mutant:
            self.scratch.mkdir(parents=True, exist_ok=True)
            # The workers end by os._exit, so pytest would never clear its numbered folders.
            config.option.basetemp = self.scratch / "tmp"
            self._own_cache()

    @property
    def is_mutant(self) -> bool:
        return "__mutmut_" in self.purpose

    def _own_cache(self) -> None:
        given = os.environ.get("NNKIT_CACHE", "")
        if given:
            cache = self.scratch / "cache"
            shutil.rmtree(cache, ignore_errors=True)
            shutil.copytree(given, cache, copy_function=os.link)
            os.environ["NNKIT_CACHE"] = str(cache)

    @pytest.hookimpl(wrapper=True)
    def pytest_collection(self) -> Generator[None, object, object]:
        try:
            return (yield)
        except pytest.UsageError as error:
            if self.is_mutant and self.killer:  # with the mutant, a module of tests cannot be imported
                pytest.exit(self.killer, returncode=1)
            self.killer = f"not collected: {error}"[:300]
            raise

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        seconds = _read(self.folder / SECONDS)
        by_id = {item.nodeid: item for item in items}
        if self.is_mutant:
            ranked = order.ordered(by_id, order.module_of(self.purpose), seconds)
            items[:] = [by_id[test] for test in ranked]
            self.collected_s = time.monotonic() - self.start
        elif not self.purpose and not config.option.collectonly:
            # The statistics run was a clean run of all tests, so the cheapest of each file do here.
            self._require_same_names(by_id)
            kept = set(order.within_budget(by_id, "", seconds, budget_s=CLEAN_RUN_S))
            config.hook.pytest_deselected(items=[item for item in items if item.nodeid not in kept])
            items[:] = [item for item in items if item.nodeid in kept]

    def _require_same_names(self, found: Collection[str]) -> None:
        """Ends the run where a test has another name than in the statistics run.

        A mutant's tests are asked for by name, and pytest runs none where one is not there.
        """
        lost = sorted(set(_read(self.folder / STATS).get("duration_by_test", ())) - set(found))
        if lost:
            pytest.exit(f"{len(lost)} tests have other names in this run: {lost[0]}", returncode=1)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid] += report.duration
        if report.failed and self.killer is None:
            self.killer = report.nodeid

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed and self.killer is None:
            self.killer = f"collecting {report.nodeid}"

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, exitstatus: int) -> None:
        if self.purpose == "stats":
            known = _read(self.folder / SECONDS)
            (self.folder / SECONDS).write_text(json.dumps({**known, **self.seconds}, indent=0))
        elif self.is_mutant:
            self._log(int(exitstatus))
            shutil.rmtree(self.scratch, ignore_errors=True)

    def _log(self, exit_code: int) -> None:
        line = {
            "mutant": self.purpose,
            "exit_code": exit_code,
            "tests": len(self.seconds),
            "collected_s": round(self.collected_s, 2),
            "seconds": round(time.monotonic() - self.start, 2),
            "killer": self.killer,
        }
        with (self.folder / LOG).open("a", encoding="utf-8") as log:
            log.write(json.dumps(line, ensure_ascii=False) + "\n")


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}
