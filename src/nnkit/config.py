"""A command's configuration, merged from layers, with the source of each value.

An option beats `--set`, which beats the environment, which beats a later file, which beats an earlier one,
which beats the default. A layer that names a component starts its settings afresh; `--set model.width=81`
changes one setting of whatever component was named below it.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

from pydantic import BeforeValidator

from nnkit import registry
from nnkit.bucketing import make_bucketing, read_settings, settings_of
from nnkit.errors import ConfigError, Mistake, UsageError, did_you_mean, hints, quote
from nnkit.options import CommandConfig, flag, is_repeatable, is_spec, members, takes
from nnkit.schema import convert, plain_value
from nnkit.spec import ObjectSpec, Spec, Text, from_toml, parse, read_toml_value, to_toml, typed
from nnkit.types import Bucketing

BUCKETING = "bucketing"
"""The one field with a table of settings that belong to no component."""

C = TypeVar("C", bound=CommandConfig)


@dataclass(frozen=True)
class Resolved(Generic[C]):
    """A configuration with the origin of each value that is not a default, by dotted path."""

    config: C
    origins: Mapping[str, str]


@dataclass
class _Layers:
    """Values as they pile up, lowest layer first, with their origins and all mistakes so far."""

    model: type[CommandConfig]
    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)

    def put(self, key: str, value: object, origin: str) -> None:
        """Set a field; for a spec, the settings of lower layers go with the name that they belonged to."""
        known = self.model.model_fields
        if key not in known:
            near = did_you_mean(key, known) or "--dry-run shows every key"
            self.mistakes.append(Mistake(key[:80], "unknown key", f"{near}; from {origin}"))
            return
        num_mistakes = len(self.mistakes)
        found = self.read(key, value, origin)
        if len(self.mistakes) > num_mistakes:
            return
        if value is not None and not self._takes_its_place(key, origin):
            return
        self.values[key] = found
        for path in [p for p in self.origins if p == key or p.startswith(f"{key}.")]:
            del self.origins[path]
        self.origins[key] = origin

    def _takes_its_place(self, key: str, origin: str) -> bool:
        """Remove the alternative of a field that a lower layer gave; where this layer did, a mistake."""
        pairs = self.model.alternatives.items()
        for other in [b if key == a else a for a, b in pairs if key in (a, b)]:
            if self.values.get(other) is None:
                continue
            if _layer(self.origins[other]) == _layer(origin):
                hint = f"leave one of them out; from {origin}"
                self.mistakes.append(Mistake(key, f"cannot be given together with {other}", hint))
                return False
            del self.values[other], self.origins[other]
        return True

    def put_alias(self, key: str, value: object, origin: str) -> None:
        """Set a field that is a component's setting, as `lr` is the optimizer's; None changes nothing."""
        found = self.read(key, value, origin)
        if found is not None:
            self.put_setting(*self.model.settings_of_components[key], found, origin)

    def read(self, key: str, value: object, origin: str) -> Any:
        """A value as its field's type; where it does not fit, None and a mistake."""
        try:
            return self._read(key, value)
        except UsageError as error:
            self.mistakes.append(Mistake(key, error.message, hints(error.hint, f"from {origin}")))
        except ValueError:
            message = f"{_shown(value)} is not {takes(self.model.model_fields[key])}"
            self.mistakes.append(Mistake(key, message, f"from {origin}"))
        return None

    def put_setting(self, key: str, setting: str, value: object, origin: str) -> None:
        """Change one setting of the component in a spec field, or of bucketing."""
        if key == BUCKETING and key in self.model.model_fields:
            self.values[key] = {**self.values.get(key, {}), setting: value}
            self.origins[f"{key}.{setting}"] = origin
            return
        if not self._is_spec(key):
            named = [name for name, info in self.model.model_fields.items() if is_spec(info.annotation)]
            hint = "only a component has settings: " + ", ".join(sorted(named))
            self.mistakes.append(Mistake(f"{key}.{setting}"[:80], "no such key", f"{hint}; from {origin}"))
            return
        spec = self.values.get(key, self.model.model_fields[key].default)
        if not isinstance(spec, Spec):
            self.mistakes.append(
                Mistake(
                    f"{key}.{setting}"[:80],
                    f"no {key} is named whose setting this could be",
                    f"name it too: --set {key}=NAME, or --{key}; from {origin}",
                )
            )
            return
        if not setting.isidentifier():
            self.mistakes.append(
                Mistake(f"{key}.{setting}"[:80], "no setting has such a name", f"from {origin}")
            )
            return
        if _holds_no_text(value):
            message = f"{_shown(value)} holds bytes that are no text"
            self.mistakes.append(Mistake(f"{key}.{setting}"[:80], message, f"from {origin}"))
            return
        name = str(value) if setting == "name" else spec.name
        settings = {} if setting == "name" else {**spec.settings, setting: value}
        self.values[key] = Spec(name, settings)
        self.origins[f"{key}.{setting}"] = origin

    def names_component(self, key: str) -> bool:
        """Whether the layers so far, or the default, name the component of a spec field."""
        known = self.model.model_fields
        held = self.values.get(key, known[key].default if key in known else None)
        return isinstance(held, Spec) or (key == BUCKETING and key in known)

    def _read(self, key: str, value: object) -> Any:
        info = self.model.model_fields[key]
        if key == BUCKETING:
            return {} if value is None else read_settings(value)
        if value is None and not info.is_required():
            return info.default
        if _holds_no_text(value):
            raise UsageError(f"{_shown(value)} holds bytes that are no text", hint="use other names")
        items: Sequence[Any] = ()
        if Path in members(info.annotation) and (str(value) == "" or "\0" in str(value)):
            raise ValueError("no path")
        if is_repeatable(info):
            if isinstance(value, Text) and value.startswith("["):
                value = read_toml_value(value)
            value = items = value if isinstance(value, (list, tuple)) else [value]
        if is_spec(info.annotation):
            if is_repeatable(info):
                return tuple(_spec(item, key) for item in items)
            return _spec(value, key)
        annotation = Annotated[info.annotation, *info.metadata] if info.metadata else info.annotation
        if isinstance(value, Text) and any(isinstance(part, BeforeValidator) for part in info.metadata):
            value = str(value)  # a field that reads text in its own way
        return convert(annotation, value)

    def _is_spec(self, key: str) -> bool:
        info = self.model.model_fields.get(key)
        return info is not None and is_spec(info.annotation) and not is_repeatable(info)


def _layer(origin: str) -> str:
    """The layer of an origin: all options are one, each file is one."""
    return "option" if origin.startswith("option ") else origin


def _shown(value: object) -> str:
    """A value as it was written: 5 and not '5', and the values of a repeated option between commas."""
    if isinstance(value, (list, tuple)) and value:
        return ", ".join(map(_shown, value))
    return quote(str(value) if isinstance(value, (str, Path)) else value)


def _spec(value: object, key: str) -> Spec:
    spec = from_toml(value, key)
    if wrong := next((name for name in spec.settings if not name.isidentifier()), None):
        raise UsageError(f"no setting has the name {quote(wrong)}", hint="a name has letters, digits and _")
    return spec


def _holds_no_text(value: object) -> bool:
    """Whether there is text that no file can hold: half of a character, or bytes that were none."""
    if isinstance(value, Spec):
        return _holds_no_text(value.name) or _holds_no_text(value.settings)
    if isinstance(value, Mapping):
        return any(_holds_no_text(key) or _holds_no_text(item) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return any(map(_holds_no_text, value))
    return isinstance(value, (str, Path)) and any("\ud800" <= char <= "\udfff" for char in str(value))


def _as_one_kind(spec: Spec) -> Spec:
    """The spec as files hold it: its values all of TOML's types, or where one is as typed, all as typed."""
    if isinstance(spec, ObjectSpec):
        return spec
    values = {key: plain_value(value) for key, value in spec.settings.items()}
    if any(value is None or isinstance(value, Text) for value in spec.settings.values()):
        return parse(str(Spec(spec.name, values)))
    return Spec(spec.name, values)


def resolve(
    model: type[C],
    options: Mapping[str, Any],
    *,
    files: Sequence[Path] = (),
    sets: Sequence[str] = (),
) -> Resolved[C]:
    """Put the layers together; every mistake of all of them is reported at once, as one `ConfigError`.

    `options` holds what was given as an option or argument, without the names that were left out.
    """
    layers = _Layers(model)
    for path in files:
        _put_file(layers, path)
    for key, variable in (("data_root", "NNKIT_DATA"), ("runs_dir", "NNKIT_RUNS")):
        if key in model.model_fields and (place := os.environ.get(variable)):
            layers.put(key, place, f"environment {variable}")
    dotted = _put_sets(layers, sets)
    for key, value in options.items():
        if key not in model.settings_of_components:
            layers.put(key, value, f"option {flag(key)}")
    for key, setting, value in dotted:
        if f"option {flag(key)}" != layers.origins.get(key) or not _has(layers, key, setting):
            layers.put_setting(key, setting, value, "--set")
    for key in options.keys() & model.settings_of_components.keys():
        layers.put_alias(key, options[key], f"option {flag(key)}")
    if BUCKETING in layers.values:
        try:
            layers.values[BUCKETING] = make_bucketing(layers.values[BUCKETING])
        except ConfigError as error:
            layers.mistakes += error.mistakes
    for key, info in model.model_fields.items():
        if info.is_required() and key not in layers.values and not layers.mistakes:
            layers.mistakes.append(Mistake(key, "is missing", f"give {takes(info)}"))
    if layers.mistakes:
        raise ConfigError(layers.mistakes)
    return Resolved(model.model_validate(dict(_as_files_hold(layers))), dict(layers.origins))


def _as_files_hold(layers: _Layers) -> Iterator[tuple[str, Any]]:
    for key, value in layers.values.items():
        if is_spec(layers.model.model_fields[key].annotation) and value is not None:
            yield key, tuple(map(_as_one_kind, value)) if isinstance(value, tuple) else _as_one_kind(value)
        else:
            yield key, value


def check_names(config: CommandConfig) -> None:
    """`ConfigError` for components that are not installed, and for the mistakes that the model itself finds.

    It reads metadata only, so that mistakes are reported before torch is imported.
    """
    mistakes = []
    for path, group, spec in named_components(config):
        if isinstance(spec, ObjectSpec):
            continue
        try:
            registry.find(group, spec.name)
        except UsageError as error:
            mistakes.append(Mistake(path, error.message, error.hint))
    mistakes += config.mistakes()
    if mistakes:
        raise ConfigError(mistakes)


def named_components(config: CommandConfig) -> Iterator[tuple[str, str, Spec]]:
    """Path, group and spec of each component that is named: ("stop[0]", "stopping_rules", ...)."""
    for key, group in config.component_groups.items():
        value = getattr(config, key)
        if isinstance(value, tuple):
            yield from ((f"{key}[{at}]", group, spec) for at, spec in enumerate(value))
        elif value is not None:
            yield key, group, value


def _has(layers: _Layers, key: str, setting: str) -> bool:
    held = layers.values.get(key)
    return setting in (held.settings if isinstance(held, Spec) else held if isinstance(held, dict) else ())


def _put_file(layers: _Layers, path: Path) -> None:
    origin = f"file {path}"
    content = read_toml(path)
    aliases = layers.model.settings_of_components
    for key, value in sorted(content.items(), key=lambda item: item[0] in aliases):  # once it is named
        if key in aliases:
            layers.put_alias(key, value, origin)
        elif isinstance(value, dict) and "name" not in value and layers.names_component(key):
            for setting, item in value.items():  # of what an earlier file or the default names
                layers.put_setting(key, setting, item, origin)
        else:
            layers.put(key, value, origin)


def _put_sets(layers: _Layers, sets: Sequence[str]) -> list[tuple[str, str, object]]:
    """Put `a=value` now; return the dotted ones, which wait until an option has named its component."""
    dotted: list[tuple[str, str, object]] = []
    for text in sets:
        key, equals, value = text.partition("=")
        key = key.strip().replace("-", "_")
        if not equals or not key:
            layers.mistakes.append(Mistake("--set", f"{quote(text)} is not of the form a.b=value"))
        elif "." in key:
            head, _, setting = key.partition(".")
            dotted.append((head, setting, typed(value.strip())))
        elif key in layers.model.settings_of_components:
            found = layers.read(key, typed(value.strip()), "--set")
            if found is not None:
                dotted.append((*layers.model.settings_of_components[key], found))
        else:
            layers.put(key, typed(value.strip()), "--set")
    return dotted


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file as a dict; what is wrong with it is a `UsageError` that names the file."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(
            f"no configuration file at {path}", hint="check the path given to --config"
        ) from None
    except OSError as error:
        raise UsageError(
            f"{quote(str(path))} cannot be read: {error.strerror}", hint="give --config a TOML file"
        ) from None
    except (ValueError, RecursionError) as error:  # TOML and Unicode errors are ValueErrors
        raise UsageError(f"{path} cannot be read as TOML: {error}", hint="mend the file") from None


def dump(config: CommandConfig, *, leave_out: Sequence[str] = ()) -> dict[str, Any]:
    """The configuration as TOML and JSON hold it: specs as text or tables, nothing that is None.

    Of two alternatives it holds the one that is given.
    """
    result: dict[str, Any] = {}
    for key in type(config).model_fields:
        value, alternative = getattr(config, key), config.alternatives.get(key)
        if value is None or key in leave_out or (alternative and getattr(config, alternative) is not None):
            continue
        if isinstance(value, Bucketing):
            if settings := settings_of(value):
                result[key] = settings
        elif isinstance(value, Spec):
            result[key] = _plain_spec(value)
        elif is_spec(type(config).model_fields[key].annotation):
            result[key] = [_plain_spec(item) for item in value]
        else:
            result[key] = plain_value(value)
    return result


def _plain_spec(spec: Spec) -> Any:
    if any(value is None or isinstance(value, Text) for value in spec.settings.values()):
        return str(spec)  # TOML has no null, and a value as typed keeps its meaning in a spec's text alone
    settings = {key: plain_value(value) for key, value in spec.settings.items()}
    return to_toml(Spec(spec.name, settings))


def dumps(config: CommandConfig, *, leave_out: Sequence[str] = ()) -> str:
    """The configuration as a TOML file that `--config` reads back."""
    import tomli_w

    return tomli_w.dumps(dump(config, leave_out=leave_out))
