"""What a run's numbers may depend on beside its configuration: for environment.json, and to compare two."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from importlib import metadata
from itertools import pairwise
from pathlib import Path
from typing import Any

from nnkit.results.environment import EnvironmentChange
from nnkit.runs import git
from nnkit.runs.environment import environment
from nnkit.runs.git import GitState

_PACKAGE = Path(__file__).parents[1]
"""The folder of nnkit's source."""
_VARIABLES = re.compile(
    r"(OMP|MKL|OPENBLAS|KMP|GOMP|VECLIB|NUMEXPR|CUBLAS|CUDA|CUDNN|NCCL|NVIDIA|PYTORCH|TORCH|ATEN|DNNL|ONEDNN|"
    r"NNKIT)_\w+|PYTHONHASHSEED"
)
_SECRET = re.compile(r"TOKEN|SECRET|PASS|PWD|CREDENTIAL|KEY|AUTH|COOKIE|SESSION", re.IGNORECASE)
_LOGIN = re.compile(r"(?<=://)[^/@\s]*@")
_HEADER = re.compile(r"^(Name|Version):[ \t]*(\S+)[ \t]*$", re.MULTILINE)


def full_environment() -> dict[str, Any]:
    """`environment`, and every library, nnkit's own source, the commits, variables and the build of torch.

    It takes about a tenth of a second, more where a repository is large; a moment that is timed has no room
    for it. Secrets in variables are left out.
    """
    return {
        **environment(),
        "distributions": distributions(),
        "nnkit_source": source_hash(),
        "git": _commits(),
        "variables": variables(),
        "torch": _torch(),
    }


def distributions() -> dict[str, str]:
    """The version of each installed distribution by its name; of two of one name the first counts."""
    found: dict[str, str] = {}
    for distribution in metadata.distributions():
        with contextlib.suppress(Exception):  # one damaged distribution hides no other
            text = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or ""
            # the two lines alone: to parse a METADATA file takes longer than to read it
            header = dict(reversed(_HEADER.findall(text.partition("\n\n")[0])))
            found.setdefault(header["Name"], header["Version"])
    return dict(sorted(found.items(), key=lambda item: item[0].lower()))


@functools.cache
def source_hash() -> str:
    """SHA-256 over nnkit's Python files, their places in the package among them, in sorted order."""
    root, total = _PACKAGE, hashlib.sha256()
    for path in sorted(root.rglob("*.py"), key=lambda path: path.relative_to(root).as_posix()):
        content = path.read_bytes()
        total.update(f"{path.relative_to(root).as_posix()}\0{len(content)}\0".encode())
        total.update(content)
    return total.hexdigest()


@functools.cache
def nnkit_commit() -> GitState | None:
    """Commit and state of the checkout that nnkit runs from; None where it is installed as a package."""
    checkout = _checkout()
    return git.state(checkout) if checkout is not None else None


def _checkout() -> Path | None:
    folder = _PACKAGE.parents[1]  # above src/; a virtual environment may lie in another repository
    return folder if git.repository(folder) == folder else None


def _commits() -> dict[str, Any]:
    """Of the repository of the current folder, and of nnkit's own: None where there is none."""
    try:
        root = git.repository(Path.cwd())
    except OSError:  # the folder was removed
        root = None
    own = nnkit_commit()
    of_folder = own if root is not None and root == _checkout() else git.state(root) if root else None
    return {
        "folder": asdict(of_folder) if of_folder is not None else None,
        "nnkit": asdict(own) if own is not None else None,
    }


def variables() -> dict[str, str]:
    """The environment variables on which numbers, threads and places may depend, without secrets."""
    return {
        key: _LOGIN.sub("…@", value)
        for key, value in sorted(os.environ.items())
        if _VARIABLES.fullmatch(key) and not _SECRET.search(key)
    }


def _torch() -> dict[str, Any]:
    import torch  # not at the top: to list runs takes none

    return {
        "version": str(torch.__version__),
        "commit": torch.version.git_version,
        "cuda": torch.version.cuda,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "build": torch.__config__.show(),
    }


def with_earlier(now: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """The environment of a run that goes on: `earlier` has those before it, the oldest first.

    One that equals the one before it stands there once, so that many short tries do not fill the file.
    """
    own = {key: value for key, value in before.items() if key != "earlier"}
    earlier = _earlier(before)
    if own and (not earlier or earlier[-1] != own):
        earlier.append(own)
    return {**now, "earlier": earlier} if earlier else dict(now)


def _earlier(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = document.get("earlier")
    return [part for part in found if isinstance(part, dict)] if isinstance(found, list) else []


def changes_within(document: Mapping[str, Any]) -> tuple[EnvironmentChange, ...]:
    """What changed from one part of a run to the next, in the order of the parts."""
    parts: Sequence[Mapping[str, Any]] = [*_earlier(document), document]
    found = [change for then, now in pairwise(parts) for change in changes(then, now)]
    return tuple(dict.fromkeys(found))


def changes(then: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[EnvironmentChange, ...]:
    """What differs of two environments and may change numbers; what one of them does not tell is left out."""
    before, after = dict(_facts(then)), dict(_facts(now))
    return tuple(
        EnvironmentChange(name=" ".join(key), before=before.get(key), after=after.get(key))
        for key in dict.fromkeys([*before, *after])
        if before.get(key) != after.get(key) and _tells(then, *key) and _tells(now, *key)
    )


_SINGLE = {
    "device": ("device",),
    "device_name": ("device", "name"),
    "threads": ("threads",),
    "cpu": ("cpu",),
    "python": ("python",),
    "nnkit_source": ("source", "of nnkit"),
}
_SEVERAL = {"distributions": "library", "variables": "variable", "torch": "torch's"}
_TOLD_ELSEWHERE = ("version", "commit", "build")


def _facts(document: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Each thing that may change numbers, by kind and name."""
    for key, name in _SINGLE.items():
        if document.get(key) is not None:
            yield name, str(document[key])
    for key, kind in _SEVERAL.items():
        part = document.get(key)
        for inner, value in part.items() if isinstance(part, Mapping) else ():
            if value is not None and (key != "torch" or inner not in _TOLD_ELSEWHERE):
                yield (kind, str(inner)), str(value)


def _tells(document: Mapping[str, Any], *name: str) -> bool:
    """Whether an environment says anything of such things: one that an earlier nnkit wrote has fewer."""
    key = next(
        (key for key, single in _SINGLE.items() if single == name),
        next((key for key, kind in _SEVERAL.items() if kind == name[0]), ""),
    )
    return document.get(key) is not None
