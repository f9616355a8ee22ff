"""Bucketing as text and tables: `--bucketing max_buckets=32,pad_to=batch`, a `[bucketing]` table, and back.

Here, too, is the old spelling: these settings were once those of three datasets.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from nnkit import schema
from nnkit.errors import ConfigError, Mistake, UsageError, quote
from nnkit.spec import Spec, parse
from nnkit.types import EXACT_SIZES, Bucketing

_SIZE = re.compile(r"(\d{1,6})x(\d{1,6})")
_NAMES = tuple(setting.name for setting in fields(Bucketing))


def read_settings(value: object) -> dict[str, Any]:
    """The settings that a text such as "max_buckets=32,pad_to=batch", a table or a `Bucketing` gives.

    Their names and types are not checked here. `UsageError` for anything else.
    """
    if isinstance(value, Bucketing):
        return settings_of(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, str) and "=" in value:
        return dict(parse(f"bucketing:{value}").settings)
    raise UsageError(
        f"{quote(value)} gives no settings of bucketing",
        hint="write bucketing as max_buckets=32,pad_to=batch, or as a table",
    )


def make_bucketing(settings: Mapping[str, Any]) -> Bucketing:
    """The `Bucketing` of some settings; every mistake at once, as one `ConfigError`."""
    given = {key: _read_size(value) if key == "size" else value for key, value in settings.items()}
    values, mistakes = schema.check(schema.settings_of(Bucketing), given, "bucketing")
    mistakes = [_with_example(mistake) for mistake in mistakes]
    if not mistakes:
        try:
            return Bucketing(**values)
        except UsageError as error:
            mistakes = [Mistake("bucketing", error.message, error.hint)]
    raise ConfigError(mistakes, hint="docs/buckets.md explains each setting")


def settings_of(bucketing: Bucketing) -> dict[str, Any]:
    """The settings that differ from their defaults, as JSON and TOML values; `size` as "28x28"."""
    changed = {
        name: value for name in _NAMES if (value := getattr(bucketing, name)) != getattr(EXACT_SIZES, name)
    }
    return {key: f"{value[0]}x{value[1]}" if key == "size" else value for key, value in changed.items()}


def as_text(settings: Mapping[str, Any]) -> str:
    """Settings as `--bucketing` takes them."""
    return ",".join(f"{key}={value}" for key, value in settings.items())


def _read_size(value: object) -> object:
    """[28, 28] for "28x28"; anything else is left for the schema to judge."""
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    return [int(match[1]), int(match[2])] if match else value


def _with_example(mistake: Mistake) -> Mistake:
    return replace(mistake, hint="write size=28x28") if mistake.path == "bucketing.size" else mistake


# The old spelling: for one release more, then no dataset has such settings.

_ONCE_BUCKETED = ("digits-varres", "mnist-varres", "image-folder")
_ONCE_WITH_MODE = ("mnist-varres", "image-folder")
_SIDES = {("mnist-varres", "resize"): 28, ("mnist-varres", "pad"): 64}


@dataclass(frozen=True)
class OldSpelling:
    """A dataset's spec without what is bucketing now, and what that says.

    `modes` are settings that still work, for a release; `refused` are those that do not any more, and `names`
    how these are spelled in the spec.
    """

    spec: Spec
    modes: dict[str, Any] = field(default_factory=dict)
    refused: dict[str, Any] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    said: str = ""

    @property
    def warning(self) -> str:
        """What to write in place of the mode; empty where none is given."""
        if not self.said:
            return ""
        new = f"--dataset {self.spec}" + (f" --bucketing {as_text(self.modes)}" if self.modes else "")
        return f"{self.said} is deprecated and goes in the next release: write {new}"

    def mistakes(self, path: str = "dataset") -> list[Mistake]:
        """One for the settings that are no dataset's any more, with the new spelling."""
        if not self.refused:
            return []
        new = as_text({**self.modes, **self.refused})
        return [
            Mistake(
                path,
                f"{', '.join(self.names)}: --bucketing says how sizes share batches, not the dataset",
                f"write --dataset {self.spec} --bucketing {new}" if new else f"write --dataset {self.spec}",
            )
        ]


def old_spelling(spec: Spec) -> OldSpelling:
    """What a dataset's spec says in the old spelling; the spec itself where it says nothing so."""
    name = spec.name.removeprefix("nnkit/")
    if name not in _ONCE_BUCKETED:
        return OldSpelling(spec)
    rest = dict(spec.settings)
    refused = {key: rest.pop(key) for key in [*_NAMES, "fit"] if key in rest and key not in ("size",)}
    names = tuple(refused)
    if "fit" in refused:
        fit = refused.pop("fit")
        refused = {"resize_policy": "resize" if str(fit) == "resize" else "keep", **refused}
    mode = str(rest.get("mode", ""))
    if name not in _ONCE_WITH_MODE or mode not in ("bucket", "resize", "pad"):
        return OldSpelling(Spec(spec.name, rest), {}, refused, names)
    del rest["mode"]
    said, modes = f"{spec.name}:mode={mode}", {}
    if mode != "bucket":
        modes["resize_policy"] = mode
        side = rest.pop("size", _SIDES.get((name, mode)))
        if side is not None:
            modes["size"] = f"{side}x{side}"
    return OldSpelling(Spec(spec.name, rest), modes, refused, names, said)


def merged(modes: Mapping[str, Any], bucketing: Bucketing) -> Bucketing:
    """A bucketing with what an old mode says beneath it."""
    return make_bucketing({**modes, **settings_of(bucketing)}) if modes else bucketing
