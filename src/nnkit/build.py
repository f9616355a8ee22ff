"""Builds the object that a spec names.

A spec is resolved to its class, its settings are checked against the class's signature, the settings
that the dataset fills in are added, nested components are built first, and the class is called.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from nnkit import registry, schema
from nnkit.errors import ConfigError, Mistake, NnkitError, PluginError, UsageError
from nnkit.registry import Component, Entry
from nnkit.schema import Setting
from nnkit.spec import ObjectSpec, Spec, parse
from nnkit.types import Nested

_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


@dataclass(frozen=True)
class ValidatedSpec:
    """A spec that fits its component: what `build` calls. `settings`: values and nested ones of these."""

    component: Component
    settings: Mapping[str, Any]

    @property
    def spec(self) -> Spec:
        """The spec with its values read, as a resolved config writes it."""
        return Spec(self._name(), {key: _unplan(value) for key, value in self.settings.items()})

    def _name(self) -> str:
        entry = self.component.entry
        return entry.full_name if entry.error else entry.name

    @property
    def title(self) -> str:
        """The component in a sentence: 'optimizer "sgd:lr=0.1"'."""
        return f'{registry.group_title(self.component.entry.group)} "{self.spec}"'

    def make(self, *first: Any) -> Any:
        """Call the class; its errors are reported as the user's settings' or its distribution's.

        `first` is the object with which a component of the group is made (`nnkit.types.MADE_WITH`).
        """
        values = make_nested(self.settings)
        try:
            return self.component.cls(*first, **values)
        except NnkitError:
            raise
        except ValueError as error:
            raise UsageError(f"the {self.title} cannot be made: {error}") from error
        except (Exception, SystemExit) as error:
            raise self.broke("when it was made", error) from error

    def broke(self, when: str, error: BaseException) -> PluginError:
        """The error that says whose component raised, "when it was made" or "in step 3"."""
        entry, cause = self.component.entry, f"{type(error).__name__}: {error}"
        return PluginError(
            f"the {self.title} of {entry.provider} {entry.version} broke {when}: {cause}",
            hint="run again with --debug for the traceback",
        )


@dataclass(frozen=True)
class PassedObject(ValidatedSpec):
    """A component that was passed: an object, or a class or function that makes one."""

    passed: ObjectSpec

    @property
    def spec(self) -> Spec:
        """The spec, which tells the object's type."""
        return self.passed

    def make(self, *first: Any) -> Any:
        """The object; of a class or function, what it makes of the values that the dataset knows."""
        if not self.passed.makes:
            return self.passed.value
        made = super().make(*first)
        registry.check_methods(self.component.entry.group, made, f"what {self.passed.settings['type']} makes")
        return made


def components(group: str) -> list[str]:
    """The names of all components of a group, without importing torch."""
    group = registry.find_group(group)
    return sorted({entry.name for entry in registry.entries() if entry.group == group})


def plan(
    group: str,
    spec: str | Spec,
    *,
    known: Mapping[str, Any] | None = None,
    offered: Mapping[str, Any] | None = None,
    path: str = "",
) -> ValidatedSpec:
    """Check a spec against its component. `known` are the settings that the dataset fills in.

    `offered` are values for parameters of these names, which the spec's own beat. All mistakes are reported
    at once, as one `ConfigError` with the path of each.
    """
    spec = parse(spec) if isinstance(spec, str) else spec
    path = path or registry.group_title(group).replace(" ", "_")
    if isinstance(spec, ObjectSpec):
        return _plan_object(group, spec, known=known, path=path)
    component = registry.load(registry.find(group, spec.name))
    values = fit_settings(component.cls, spec, known=known, offered=offered, path=path, group=group)
    return ValidatedSpec(component, values)


def _plan_object(group: str, spec: ObjectSpec, *, known: Mapping[str, Any] | None, path: str) -> PassedObject:
    """An object is taken as it is; a class or a function is called to make one."""
    value, name = spec.value, str(spec.settings["type"])
    component = Component(Entry(group, name, provider="Python", version="", target=name), value)
    if not spec.makes:
        registry.check_methods(group, value, name)
        return PassedObject(component, {}, spec)
    try:
        parameters = list(inspect.signature(value).parameters.values())
    except (TypeError, ValueError):  # a class written in C that shows no signature takes no settings
        parameters = []
    settings = {each.name: (known or {})[each.name] for each in parameters if each.name in (known or {})}
    asked = [each.name for each in parameters if each.default is each.empty and each.name not in settings]
    asked = [each.name for each in parameters if each.name in asked and each.kind not in _VARIADIC]
    if asked:
        raise UsageError(
            f"{path}: {name} needs {', '.join(asked)}, which the dataset does not know",
            hint=f"pass an object that is made already: {path}={name.rpartition('.')[2]}({asked[0]}=...)",
        )
    return PassedObject(component, settings, spec)


def fit_settings(
    cls: type[Any],
    spec: Spec,
    *,
    known: Mapping[str, Any] | None = None,
    offered: Mapping[str, Any] | None = None,
    path: str = "",
    group: str = "",
) -> dict[str, Any]:
    """The settings of a spec checked and completed for a class; nested components become validated specs.

    `known` and `offered` are as in `plan`. All mistakes are one `ConfigError`, each with its place under
    `path` (default: the spec's name).
    """
    path = path or spec.name
    settings = schema.settings_of(cls, group)
    values, mistakes = schema.check(settings, spec.settings, path)
    left_out = settings.keys() - spec.settings.keys()
    values |= {name: value for name, value in (offered or {}).items() if name in left_out}
    for name, setting in settings.items():
        try:
            _fill(name, setting, values, known or {}, spec, path)
        except ConfigError as error:
            mistakes += error.mistakes
        except UsageError as error:
            mistakes.append(Mistake(f"{path}.{name}", error.message, error.hint))
    if mistakes:
        raise ConfigError(mistakes, hint=f"`nnkit info {spec.name}` lists its settings")
    return values


def make_nested(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of the class: its settings, with every nested component built."""
    return {
        key: value.make() if isinstance(value, ValidatedSpec) else value for key, value in settings.items()
    }


def build(group: str, spec: str | Spec, *first: Any, known: Mapping[str, Any] | None = None) -> Any:
    """The object that a spec names: `build("models", "varres-net:width=81")`.

    `first` is what a component of the group is made with: `build("optimizers", "sgd", parameters)`.
    """
    return plan(group, spec, known=known).make(*first)


def _fill(
    name: str, setting: Setting, values: dict[str, Any], known: Mapping[str, Any], spec: Spec, path: str
) -> None:
    """Complete one setting: nested components, values of the dataset, and an error where it is missing."""
    if setting.group:
        chosen = values.get(name, setting.default)
        chosen = chosen.spec if isinstance(chosen, Nested) else chosen
        if isinstance(chosen, (str, Spec)):
            values[name] = plan(setting.group, chosen, known=known, path=f"{path}.{name}")
            return
    if name in known and name not in spec.settings:
        if known[name] is None:
            raise UsageError(
                f'"{spec.name}" needs {_article(name)}, and this dataset has none',
                hint="images of several sizes: use a model with global pooling such as varres-net, or "
                "--bucketing resize_policy=resize (or pad)",
            )
        values[name] = known[name]
    elif name in known and name in values and known[name] is not None and values[name] != known[name]:
        raise UsageError(
            f"{_show(values[name])} given, but the dataset has {_show(known[name])}",
            hint="leave it out: the dataset fills it in",
        )
    elif setting.required and name not in values and name not in spec.settings:
        raise UsageError(
            "this setting is required", hint=f"write {spec.name}:{name}=... ({setting.type_name})"
        )


def _article(name: str) -> str:
    return {"image_size": "one image size"}.get(name, name)


def _show(value: object) -> str:
    return "×".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _unplan(value: Any) -> Any:
    return str(value.spec) if isinstance(value, ValidatedSpec) else schema.plain_value(value)


def describe_mistakes(plans: Iterable[tuple[str, str, Spec]]) -> list[Mistake]:
    """All mistakes of several (path, group, spec), each checked for names, keys and types alone."""
    mistakes: list[Mistake] = []
    for path, group, spec in plans:
        if isinstance(spec, ObjectSpec):
            continue
        try:
            component = registry.load(registry.find(group, spec.name))
            mistakes += schema.check(schema.settings_of(component.cls, group), spec.settings, path)[1]
        except ConfigError as error:
            mistakes += error.mistakes
        except UsageError as error:
            mistakes.append(Mistake(path, error.message, error.hint))
        except PluginError:
            if group != "trackers":  # a run goes on without one that is broken
                raise
    return mistakes
