"""The commit that a folder is at, and whether tracked files differ from it, asked of git without trusting it.

A repository's own configuration and attributes may name programs: a file-system monitor, hooks, filters,
helpers that fetch. None of them is run, no pager either, and git is stopped where it takes long.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

LONGEST_S = 2.0
"""What git may take for one folder; what it has not said by then, as in a huge repository, is not known."""

_STATUS = ("status", "--porcelain", "--untracked-files=no", "--ignore-submodules=all", "--no-renames")
_HARMLESS = {"core.fsmonitor": "false", "core.hooksPath": os.devnull, "core.untrackedCache": "false"}
_FILTER = re.compile(r"(filter\..+)\.(?:clean|smudge|process|required)", re.DOTALL)
_NO_FILTER = {"clean": "", "smudge": "", "process": "", "required": "false"}


@dataclass(frozen=True)
class GitState:
    """`dirty` says whether tracked files were changed since the commit; None is what git does not say."""

    commit: str | None
    dirty: bool | None


def repository(folder: Path) -> Path | None:
    """The folder, or the nearest one around it, that a repository is for; found without git."""
    try:
        return next((each for each in (folder, *folder.parents) if (each / ".git").exists()), None)
    except OSError:
        return None


def state(root: Path) -> GitState:
    """What git says of a repository. It never raises, and takes little more than `LONGEST_S`."""
    until = time.monotonic() + LONGEST_S
    commit = _ask(root, ("rev-parse", "--verify", "--quiet", "HEAD"), until)
    if commit is None:
        return GitState(None, None)
    return GitState(commit.strip(), _is_dirty(root, until))


def _is_dirty(folder: Path, until: float) -> bool | None:
    names = _ask(folder, ("config", "--name-only", "--null", "--list"), until)
    if names is None:
        return None
    filters = {match[1] for name in names.split("\0") if (match := _FILTER.fullmatch(name))}
    if any("=" in name for name in filters):
        return None  # such a one could not be turned off
    off = {f"{name}.{key}": value for name in filters for key, value in _NO_FILTER.items()}
    changes = _ask(folder, _STATUS, until, off)
    return None if changes is None else bool(changes.strip())


def _ask(
    folder: Path, words: Sequence[str], until: float, settings: Mapping[str, str] = MappingProxyType({})
) -> str | None:
    """What git answers; None where it is not there, refuses or takes too long."""
    options = [part for key, value in {**_HARMLESS, **settings}.items() for part in ("-c", f"{key}={value}")]
    try:
        process = subprocess.Popen(
            ["git", "--no-pager", *options, *words],
            cwd=folder,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except (OSError, ValueError):
        return None
    with process:
        try:
            out, _ = process.communicate(timeout=max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            return None
        finally:
            if process.poll() is None:  # it took too long, or the run was interrupted
                _kill(process)
    return out.decode(errors="replace") if process.returncode == 0 else None


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End git and what it started."""
    with contextlib.suppress(OSError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()


def _environment() -> dict[str, str]:
    """The environment without what points git elsewhere, and with what keeps it from writing and fetching."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    return {
        **kept,
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_ALLOW_PROTOCOL": "none",
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C",
    }
