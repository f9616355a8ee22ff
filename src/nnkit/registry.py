"""Finds components in the metadata of installed distributions, and loads them: two steps, two types.

Finding reads text files only and imports no code, so that `nnkit list` stays fast and a broken plugin
cannot break it. Loading imports one component; its errors name the distribution.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import os
import re
import sys
from collections.abc import Iterable, Iterator
from configparser import ConfigParser
from configparser import Error as ParserError
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from nnkit.errors import PluginError, UsageError, did_you_mean, hints, quote
from nnkit.spec import PYTHON
from nnkit.types import GROUPS, PROTOCOLS

BUILT_IN = "nnkit"
_TARGET = re.compile(r"^(?P<module>[\w.]+):(?P<attr>[\w.]+)$")
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*$")


@dataclass(frozen=True)
class Entry:
    """A component as metadata names it. `error` is why it cannot be chosen by its bare name, or empty."""

    group: str
    name: str
    provider: str
    version: str
    target: str
    error: str = ""

    @property
    def full_name(self) -> str:
        """`distribution/name`: the name that no other distribution can share."""
        return f"{self.provider}/{self.name}"


@dataclass(frozen=True)
class Component:
    """A loaded component: its entry and the class behind it."""

    entry: Entry
    cls: type[Any]


@cache
def entries() -> tuple[Entry, ...]:
    """Every component that installed distributions name, built-ins first, then by provider and name."""
    found = [entry for dist in _distributions() for entry in _entries_of(dist)]
    found.sort(key=lambda e: (GROUPS.index(e.group), e.provider != BUILT_IN, e.provider, e.name))
    return tuple(_mark_duplicates(found))


def refresh() -> None:
    """Forget what was found, after a distribution was installed or NNKIT_PLUGINS changed."""
    entries.cache_clear()


def find(group: str, name: str) -> Entry:
    """The one entry that `name` or `distribution/name` means; `UsageError` where there is none or several."""
    in_group = [entry for entry in entries() if entry.group == group]
    owner, slash, bare = name.rpartition("/")
    if slash:
        chosen = [entry for entry in in_group if entry.full_name == f"{_normalise(owner)}/{bare}"]
    else:
        chosen = [entry for entry in in_group if entry.name == name]
    singular = group_title(group)
    if not chosen and name == PYTHON:
        raise UsageError(
            f"the {singular} was a Python object, and no file holds it",
            hint=f"from Python, pass it again, as in nnkit.train(config=..., {_keyword(group)}=...)",
        )
    if not chosen:
        known = {entry.name for entry in in_group}
        hint = hints(did_you_mean(name, known), f"`nnkit list {group}` shows all")
        if not known:
            hint = f"none is installed: a plugin brings {group}" if entries() else _no_metadata_hint()
        raise UsageError(f'no {singular} is named "{name[:80]}"', hint=hint)
    if len(chosen) > 1:
        owners = " or ".join(f'"{entry.full_name}"' for entry in chosen)
        raise UsageError(
            f'{len(chosen)} distributions name {_with_article(group)} "{name}"', hint=f"write {owners}"
        )
    return chosen[0]


def find_group(name: str) -> str:
    """The group that "models" or "stopping-rules" or "nnkit.losses" means; `UsageError` where it is none."""
    group = name.replace("-", "_").removeprefix("nnkit.")
    if group not in GROUPS:
        raise UsageError(f"there is no group {quote(name)}", hint=did_you_mean(group, GROUPS))
    return group


def load(entry: Entry) -> Component:
    """Import the class behind an entry; `PluginError` names the distribution and the cause."""
    match = _TARGET.match(entry.target)
    if match is None:
        raise PluginError(_blame(entry, f'its entry point "{entry.target}" is not of the form module:Class'))
    try:
        # What a module prints at import is no part of a command's result.
        with contextlib.redirect_stdout(sys.stderr):
            target: Any = importlib.import_module(match["module"])
            for part in match["attr"].split("."):
                target = getattr(target, part)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plugin may raise anything at import, SystemExit included
        cause = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        hint = "update or uninstall it, or leave it out with NNKIT_PLUGINS; `nnkit doctor` says more"
        raise PluginError(_blame(entry, cause), hint=hint) from error
    if not isinstance(target, type):
        raise PluginError(_blame(entry, f"{entry.target} is a {type(target).__name__}, not a class"))
    if missing := missing_methods(entry.group, target):
        raise PluginError(
            _blame(entry, f"{entry.target} has no {' and no '.join(f'{name}()' for name in missing)}"),
            hint="docs/plugins.md says what each kind of component must have",
        )
    return Component(entry, target)


def missing_methods(group: str, component: object) -> list[str]:
    """The methods of the group's protocol that a class or an object lacks."""
    return [name for name in _methods(group) if not _has_method(component, name)]


def _has_method(component: object, name: str) -> bool:
    if name == "__call__" and isinstance(component, type):  # any class can be called: to make an object
        return any(name in vars(each) for each in component.__mro__)
    return callable(getattr(component, name, None))


def check_methods(group: str, component: object, name: str) -> None:
    """`UsageError` where an object that was passed, or what it made, is no component of the group."""
    if missing := missing_methods(group, component):
        title = _with_article(group)
        raise UsageError(
            f"expected {title}, but {name} has no {' and no '.join(f'{each}()' for each in missing)}",
            hint=f"pass the name of {title}, an object that has it, or a class that makes one",
        )


def _methods(group: str) -> list[str]:
    """The methods that the group's protocol asks for."""
    protocol = next(protocol for protocol, of in PROTOCOLS.items() if of == group)
    return [
        name
        for name, value in vars(protocol).items()
        if callable(value) and (name == "__call__" or not name.startswith("_"))
    ]


def group_title(group: str) -> str:
    """ "stopping rule" for "stopping_rules": a group's name in a sentence."""
    return group.removesuffix("es" if group.endswith("sses") else "s").replace("_", " ")


def _with_article(group: str) -> str:
    """ "a stopping rule", "an augmentation"."""
    title = group_title(group)
    return f"{'an' if title[0] in 'aeio' else 'a'} {title}"


def _keyword(group: str) -> str:
    """The keyword of `nnkit.train` that takes components of a group."""
    return {"stopping_rules": "stop", "augmentations": "augment"}.get(group, group_title(group))


def _distributions() -> Iterator[importlib.metadata.Distribution]:
    """Each installed distribution once: the first on the path wins, as it does for imports."""
    allowed = _allowed_plugins()
    seen: set[str] = set()
    for dist in importlib.metadata.distributions():
        # Metadata is parsed only where entry points name an nnkit group: that is what listing costs.
        if "nnkit." not in _entry_points(dist):
            continue
        key = _owner(dist)[0]
        if not key or key in seen:
            continue
        seen.add(key)
        if allowed is None or key == BUILT_IN or key in allowed:
            yield dist


def _entry_points(dist: importlib.metadata.Distribution) -> str:
    """The text of entry_points.txt; bytes that are not UTF-8 are replaced, see `_is_unreadable`."""
    try:
        return dist.read_text("entry_points.txt") or ""
    except OSError:  # a folder: nobody's components
        return ""
    except ValueError:
        folder = getattr(dist, "_path", None)
        return (
            ""
            if folder is None
            else folder.joinpath("entry_points.txt").read_bytes().decode("utf-8", "replace")
        )


def _is_unreadable(dist: importlib.metadata.Distribution) -> bool:
    try:
        dist.read_text("entry_points.txt")
    except OSError:
        return False
    except ValueError:
        return True
    return False


def _owner(dist: importlib.metadata.Distribution) -> tuple[str, str]:
    """Name and version; from the folder's name where METADATA is gone, as a broken uninstall leaves it."""
    try:
        metadata = dist.metadata  # each access parses METADATA anew, which is most of what listing costs
        name, found = metadata["Name"], metadata["Version"]
    except Exception:
        name, found = None, None
    folder = getattr(dist, "_path", None)
    stem = folder.name.removesuffix(".dist-info").removesuffix(".egg-info") if folder is not None else ""
    fallback, _, fallback_version = stem.partition("-")
    return _normalise(name or fallback), found or fallback_version or "unknown"


def _entries_of(dist: importlib.metadata.Distribution) -> Iterator[Entry]:
    # configparser rather than dist.entry_points: one malformed line must not hide the others.
    parser = ConfigParser(
        delimiters=("=",), strict=False, interpolation=None, allow_no_value=True, default_section="\0"
    )
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # names keep their case
    provider, version = _owner(dist)
    if _is_unreadable(dist):
        yield Entry("datasets", "(unreadable)", provider, version, "", "entry_points.txt is not UTF-8")
        return
    try:
        parser.read_string(_entry_points(dist))
    except ParserError as error:
        reason = f"malformed entry_points.txt: {str(error).splitlines()[0]}"
        yield Entry("datasets", "(unreadable)", provider, version, "", reason)
        return
    for group in GROUPS:
        if not parser.has_section(f"nnkit.{group}"):
            continue
        for name, target in parser.items(f"nnkit.{group}"):
            yield Entry(group, name, provider, version, (target or "").strip(), _malformed(name, target))


def _malformed(name: str, target: str | None) -> str:
    if not _NAME.match(name):
        return f'malformed name "{name[:80]}": letters, digits, dot, dash and underscore only'
    if not _TARGET.match((target or "").strip()):
        return f'malformed entry point "{(target or "").strip()[:80]}": expected module:Class'
    return ""


def _mark_duplicates(found: Iterable[Entry]) -> Iterator[Entry]:
    found = list(found)
    owners: dict[tuple[str, str], list[str]] = {}
    for entry in found:
        owners.setdefault((entry.group, entry.name), []).append(entry.provider)
    for entry in found:
        others = [owner for owner in owners[entry.group, entry.name] if owner != entry.provider]
        if others and not entry.error:
            reason = f'also provided by {", ".join(others)}: write "{entry.full_name}"'
            yield replace(entry, error=reason)
        else:
            yield entry


def _allowed_plugins() -> set[str] | None:
    """NNKIT_PLUGINS: unset allows every plugin, empty none, else the distributions that it lists."""
    value = os.environ.get("NNKIT_PLUGINS")
    if value is None:
        return None
    return {_normalise(name) for name in value.split(",") if name.strip()}


def _normalise(name: str) -> str:
    """A distribution's name as the packaging standards compare it."""
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def _blame(entry: Entry, cause: str) -> str:
    title = group_title(entry.group)
    return f'the {title} "{entry.name}" of {entry.provider} {entry.version} cannot be loaded: {cause}'


def _no_metadata_hint() -> str:
    return "nnkit itself is not installed here: `pip install -e .` writes the metadata that names components"
