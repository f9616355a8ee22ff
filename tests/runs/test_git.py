"""What git says of a folder, whatever its repository would have run."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from nnkit.runs import git
from nnkit.runs.git import GitState

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="there is no git here")
AS = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")


def run_git(folder: Path, *words: str) -> str:
    env = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    done = subprocess.run(
        ["git", *AS, *words], cwd=folder, env=env, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    run_git(folder, "init", "--quiet")
    (folder / "code.py").write_text("one\n")
    run_git(folder, "add", ".")
    run_git(folder, "commit", "--quiet", "-m", "one")
    return folder


def test_the_commit_and_whether_tracked_files_differ(repository: Path) -> None:
    commit = run_git(repository, "rev-parse", "HEAD")
    assert git.state(repository) == GitState(commit, dirty=False)
    (repository / "notes.txt").write_text("not tracked")
    assert git.state(repository) == GitState(commit, dirty=False)
    (repository / "code.py").write_text("two\n")
    assert git.state(repository) == GitState(commit, dirty=True)


def test_the_repository_is_that_of_the_nearest_folder_around(repository: Path, tmp_path: Path) -> None:
    (repository / "a" / "b").mkdir(parents=True)
    assert git.repository(repository / "a" / "b") == repository
    assert git.repository(tmp_path) is None


def test_variables_that_point_git_elsewhere_are_not_followed(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nowhere"))
    assert git.state(repository).dirty is False


@pytest.mark.parametrize("changed", [False, True])
def test_no_program_that_a_repository_names_is_run(repository: Path, tmp_path: Path, changed: bool) -> None:
    ran = tmp_path / "ran"
    trap = repository / "trap.sh"
    trap.write_text(f"#!/bin/sh\necho $0 $* >> {ran}\ncat\n")
    trap.chmod(0o755)
    hooks = repository / "hooks"
    hooks.mkdir()
    for name in ("post-index-change", "reference-transaction", "fsmonitor-watchman"):
        shutil.copy(trap, hooks / name)
        shutil.copy(trap, repository / ".git" / "hooks" / name)
    settings = {
        "core.fsmonitor": trap, "core.hooksPath": hooks, "core.pager": trap, "pager.status": trap,
        "core.sshCommand": trap, "diff.external": trap, "filter.evil.clean": trap, "filter.evil.smudge": trap,
        "filter.evil.required": "true", "filter.worse.process": trap, "filter.worse.required": "true",
        "core.askPass": trap, "alias.status": f"!{trap}", "include.path": "more",
    }  # fmt: skip
    for key, value in settings.items():
        run_git(repository, "config", key, str(value))
    (repository / ".git" / "more").write_text(f'[filter "third one"]\n  clean = {trap}\n  required = true\n')
    (repository / ".gitattributes").write_text("*.py filter=evil\n*.txt filter=worse\n")
    (repository / ".git" / "info" / "attributes").write_text('*.md filter="third one"\n')
    if changed:
        (repository / "code.py").write_text("two\n")
    os.utime(repository / "code.py", (1, 1))  # git has to read it to know
    assert git.state(repository).dirty is changed
    assert not ran.exists(), ran.read_text()
    subprocess.run(["git", "status"], cwd=repository, capture_output=True, check=False)
    assert ran.exists(), "the traps are none"


def test_nothing_is_written_to_the_repository(repository: Path) -> None:
    os.utime(repository / "code.py", (1, 1))
    before = (repository / ".git" / "index").read_bytes()
    assert git.state(repository).dirty is False
    assert (repository / ".git" / "index").read_bytes() == before


def test_a_filter_whose_name_cannot_be_turned_off_leaves_the_state_unknown(repository: Path) -> None:
    with (repository / ".git" / "config").open("a") as file:
        file.write('[filter "a=b"]\n  clean = touch ran\n')
    assert git.state(repository).commit is not None
    assert git.state(repository).dirty is None


def test_without_git_or_a_commit_nothing_is_known(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    run_git(empty, "init", "--quiet")
    assert git.state(empty) == GitState(None, None)
    (repository / ".git" / "HEAD").write_bytes(b"\xff\x00 damaged")
    assert git.state(repository) == GitState(None, None)
    monkeypatch.setenv("PATH", str(empty))
    assert git.state(repository) == GitState(None, None)


def test_a_git_that_takes_long_is_stopped_with_what_it_started(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = tmp_path / "bin"
    slow.mkdir()
    (slow / "git").write_text(f"#!/bin/sh\n(sleep 4; touch {tmp_path}/alive) &\nsleep 60\n")
    (slow / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{slow}:{os.environ['PATH']}")
    monkeypatch.setattr(git, "LONGEST_S", 0.3)
    began = time.monotonic()
    assert git.state(repository) == GitState(None, None)
    assert time.monotonic() - began < 3
    time.sleep(max(0.0, began + 4.5 - time.monotonic()))
    assert not (tmp_path / "alive").exists()
