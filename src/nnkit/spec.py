"""Specs: "name:key=value" text or a TOML table, and back.

A spec names a component with settings. Values typed in a spec's text stay `Text` until the schema of the
component says what they are: a str or Path setting takes them as written, any other reads them as TOML.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from types import FunctionType
from typing import Any

from nnkit.errors import UsageError, quote

_OPENING = {"[": "]", "{": "}", "(": ")"}
_QUOTES = "\"'"
_OPENERS = "=,:[{("
_QUOTED = re.compile(r""""((?:\\.|[^"\\])*)"|'([^']*)'""", re.DOTALL)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_ESCAPED = re.compile(r'\\(["\\])')


class Text(str):
    """A value as typed; the schema determines its type. `quoted`: it was in quotes."""

    quoted: bool = False


@dataclass(frozen=True)
class Spec:
    """A component's name with the settings that were given."""

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """What names of folders call it."""
        return self.name

    @property
    def key(self) -> str:
        """What records of a metric call it: the name, without its distribution, with `-` as `_`."""
        return self.name.rpartition("/")[2].replace("-", "_")

    def __str__(self) -> str:
        if not self.settings:
            return self.name
        return self.name + ":" + ",".join(f"{key}={_write(value)}" for key, value in self.settings.items())


PYTHON = "python"
"""The name by which configurations and records tell a component that was passed as an object."""


@dataclass(frozen=True)
class ObjectSpec(Spec):
    """A component that was passed as a Python object: an instance, or a class or function that makes one.

    As text it says the type alone, "python:type=mine.Net", from which no object can be made again.
    """

    value: Any = field(default=None, compare=False)

    @property
    def title(self) -> str:
        """The name of the object's class or function."""
        return str(self.settings["type"]).rpartition(".")[2]

    @property
    def key(self) -> str:
        """The title in snake case: "multiclass_f1_score" of a MulticlassF1Score."""
        return re.sub(r"\W", "", _CAMEL.sub("_", self.title)).lower()

    @property
    def makes(self) -> bool:
        """Whether it is a class or a function, to be called anew for each component."""
        return isinstance(self.value, type | FunctionType | partial)

    @classmethod
    def of(cls, value: object) -> ObjectSpec:
        """The spec of an object; its `nnkit_settings`, a mapping of texts, stand beside the type."""
        made_by = value.func if isinstance(value, partial) else value
        named = made_by if hasattr(made_by, "__qualname__") else type(made_by)
        settings = {"type": f"{named.__module__}.{named.__qualname__}"}
        return cls(PYTHON, {**settings, **getattr(value, "nnkit_settings", {})}, value)


def parse(text: str) -> Spec:
    """Read "name:key=value,key=value". Quotes and brackets hold commas and nested specs."""
    name, colon, rest = text.partition(":")
    name = name.strip()
    if not name:
        raise UsageError(f"a component needs a name, got {quote(text)}", hint="write name or name:key=value")
    settings: dict[str, Any] = {}
    for part in _split(rest, text) if rest.strip() else []:
        key, equals, value = part.partition("=")
        key = key.strip()
        if not equals or not key.isidentifier():
            raise UsageError(
                f"{quote(part.strip())} in {quote(text)} is not of the form key=value",
                hint="separate settings by commas; put a value that holds commas in quotes",
            )
        if key in settings:
            raise UsageError(f'"{key}" is given twice in {quote(text)}', hint="keep one of them")
        settings[key] = typed(value.strip())
    if colon and not settings:
        raise UsageError(
            f"nothing follows the colon in {quote(text)}", hint=f"write {name}:key=value or {name}"
        )
    return Spec(name, settings)


def from_toml(value: object, path: str) -> Spec:
    """A spec from a config value: a string, or a table with `name`."""
    if isinstance(value, Spec):
        return value
    if isinstance(value, str):
        return parse(value)
    if isinstance(value, Mapping):
        name = value.get("name")
        if not isinstance(name, str) or not name.strip():
            raise UsageError(f"{path}: the table has no name", hint=f'add name = "..." under [{path}]')
        named = parse(name)
        return Spec(named.name, {**named.settings, **{k: v for k, v in value.items() if k != "name"}})
    raise UsageError(
        f"{path}: {quote(value)} is no spec", hint='write "name:key=value", or a table with name'
    )


def to_toml(spec: Spec) -> str | dict[str, Any]:
    """The spec as a config file has it: a string when it has no settings, else a table."""
    return {"name": spec.name, **spec.settings} if spec.settings else spec.name


def read_toml_value(text: str) -> object:
    """A value as TOML reads it; `ValueError` where it does not."""
    return tomllib.loads(f"value = {text}\n")["value"] if "\n" not in text else _refuse(text)


def _refuse(text: str) -> object:
    raise ValueError(f"{quote(text)} spans several lines")


def typed(value: str) -> Text:
    """A value as typed, without its quotes. In double quotes a backslash escapes a quote or a backslash."""
    match = _QUOTED.fullmatch(value)
    if match is None:
        return Text(value)
    text = Text(_ESCAPED.sub(r"\1", match[1]) if match[1] is not None else match[2])
    text.quoted = True
    return text


def _split(rest: str, whole: str) -> list[str]:
    """Cut at commas outside quotes and brackets. A quote opens where a value begins: `it's` has none."""
    parts, start, waiting, quote_mark, escaped = [], 0, "", "", False
    for at, char in enumerate(rest):
        if quote_mark:
            closes = char == quote_mark and not escaped
            escaped = char == "\\" and quote_mark == '"' and not escaped
            quote_mark = "" if closes else quote_mark
        elif char in _QUOTES and rest[:at].rstrip()[-1:] in _OPENERS:
            quote_mark = char
        elif char in _OPENING:
            waiting += _OPENING[char]
        elif waiting and char == waiting[-1]:
            waiting = waiting[:-1]
        elif char == "," and not waiting:
            parts.append(rest[start:at])
            start = at + 1
    if quote_mark or waiting:
        raise UsageError(f"{quote(whole)} has an open {quote_mark or 'bracket'}", hint="close it")
    return [*parts, rest[start:]]


def _write(value: object) -> str:
    """A setting's value so that `parse` and the schema read it back."""
    if value is None:
        return "none"
    if isinstance(value, Text):
        return _in_quotes(value) if value.quoted or not _stands_bare(value) else str(value)
    if isinstance(value, Spec):
        return _in_quotes(str(value)) if value.settings else value.name
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple, Mapping)):
        return _toml(value)
    text = str(value)
    return _in_quotes(text) if isinstance(value, str) and _needs_quotes(text) else text


def _needs_quotes(text: str) -> bool:
    """Whether unquoted text would be cut, stripped, or read as something else than text."""
    if text.lower() == "none" or not _stands_bare(text):
        return True
    try:
        read_toml_value(text)
    except ValueError:
        return False
    return True


def _stands_bare(text: str) -> bool:
    """Whether `parse` gives the text back as it is."""
    try:
        whole = _split(f"={text}", text) == [f"={text}"]
    except UsageError:
        return False
    return whole and text == text.strip() and not typed(text).quoted


def _in_quotes(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _toml(value: object) -> str:
    import tomli_w

    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_toml(str(key))} = {_toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(_toml(item) for item in value) + "]"
    return tomli_w.dumps({"value": value}).split("=", 1)[1].strip()
