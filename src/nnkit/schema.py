"""A class's signature as a schema: which settings it takes, of what type, and whether a value fits.

Every parameter is checked by itself, not through one model for the class, so that no parameter name is
forbidden and every mistake is found in one pass.
"""

from __future__ import annotations

import enum
import inspect
import json
import sys
import types
from collections import abc
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, reduce
from operator import or_
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from nnkit.errors import Mistake, PluginError, UsageError, did_you_mean, quote
from nnkit.spec import Spec, Text, from_toml, parse, read_toml_value
from nnkit.types import MADE_WITH, PROTOCOLS, Nested

RESERVED = "name"
_SCALARS = (bool, int, float, str, Path)
_NO_DEFAULT = inspect.Parameter.empty
_OFTEN_FOR_CHECKERS_ALONE = {name: getattr(abc, name) for name in ("Callable", "Iterable", "Sequence")}
"""Names that a module may import under TYPE_CHECKING only, as torch's schedules do."""


@dataclass(frozen=True)
class Setting:
    """One setting of a component. `group` names the group of a nested component, else it is empty."""

    name: str
    type: Any
    default: Any
    required: bool
    group: str = ""

    @property
    def type_name(self) -> str:
        """The type as a person writes it: "int", "bool or None", "one of torch, unfold"."""
        return group_type_name(self.group) if self.group else _type_name(self.type)


def group_type_name(group: str) -> str:
    """How the type of a nested component is shown."""
    return f"spec of {group}"


def settings_of(cls: type[Any], group: str = "") -> Mapping[str, Setting]:
    """The settings of a class, by name; `PluginError` where a parameter cannot be set.

    The first parameter of a component of `group` is none of them where nnkit gives it: see `MADE_WITH`.
    """
    return {setting.name: setting for setting in _read_signature(cls, group)}


def _read_signature(cls: type[Any], group: str) -> Iterator[Setting]:
    try:
        parameters = list(inspect.signature(cls).parameters.values())
    except (TypeError, ValueError):  # a class written in C that shows no signature takes no settings
        return
    for parameter in parameters[group in MADE_WITH :]:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        required = parameter.default is _NO_DEFAULT
        annotation = _resolve(cls, parameter)
        nested = _nested_group(annotation)
        by_name = parameter.kind is not parameter.POSITIONAL_ONLY and parameter.name != RESERVED
        held = annotation if nested else _as_held(annotation)
        if by_name and (nested or _is_setting_type(held)):
            yield Setting(parameter.name, held, parameter.default, required, nested)
        elif required:
            why = _why_hidden(parameter, annotation)
            raise PluginError(
                f"{cls.__module__}:{cls.__qualname__} cannot be a component: "
                f'its parameter "{parameter.name}" {why} and has no default',
                hint="give it a default, or a type that a spec holds: bool, int, float, str, Path, Literal, "
                "Enum, a list, tuple or dict of these, or a nested component",
            )


def _why_hidden(parameter: inspect.Parameter, annotation: Any) -> str:
    if parameter.name == RESERVED:
        return "is reserved"
    if parameter.kind is parameter.POSITIONAL_ONLY:
        return "can be given by position only"
    shown = parameter.annotation if annotation is None else annotation
    if shown is _NO_DEFAULT:
        return "has no type"
    return f"has the type {shown if isinstance(shown, str) else _type_name(shown)}"


def _resolve(cls: type[Any], parameter: inspect.Parameter) -> Any:
    """The parameter's type, resolved by itself: one import under TYPE_CHECKING hides one parameter only."""
    annotation = parameter.annotation
    if isinstance(annotation, str):
        init = inspect.unwrap(cls.__init__)
        names = {
            **_OFTEN_FOR_CHECKERS_ALONE,
            **vars(sys.modules.get(cls.__module__, types)),
            **getattr(init, "__globals__", {}),
        }
        try:
            annotation = eval(
                annotation, names, dict(vars(cls))
            )  # the author's own annotation, in its module
        except Exception:
            return None
    if annotation is _NO_DEFAULT:
        untyped = parameter.default is _NO_DEFAULT or parameter.default is None
        return None if untyped else type(parameter.default)
    return annotation if _hashes(annotation) else None


def _hashes(annotation: Any) -> bool:
    try:
        hash(annotation)
    except TypeError:  # a list inside Annotated or Literal, say
        return False
    return True


def _as_held(annotation: Any) -> Any:
    """The part of a type that a spec can hold: float of `float | Tensor`, list[int] of `Iterable[int]`."""
    if get_origin(annotation) in (abc.Iterable, abc.Sequence, abc.Collection):
        return list[_as_held(get_args(annotation)[0])]  # type: ignore[misc]
    if get_origin(annotation) in (list, tuple, dict):
        inner = tuple(part if part is Ellipsis else _as_held(part) for part in get_args(annotation))
        return get_origin(annotation)[inner]
    if get_origin(annotation) not in (Union, types.UnionType):
        return annotation
    members = tuple(part for arg in get_args(annotation) if _is_setting_type(part := _as_held(arg)))
    return annotation if all(part is type(None) for part in members) else reduce(or_, members)


def _nested_group(annotation: Any) -> str:
    return next((PROTOCOLS[member] for member in _members(annotation) if member in PROTOCOLS), "")


def _is_setting_type(annotation: Any) -> bool:
    annotation = _bare(annotation)
    if annotation is None:
        return False
    if annotation is type(None) or annotation in _SCALARS:
        return True
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return True
    if _union_members(annotation):
        return all(_is_setting_type(arg) for arg in args)
    if origin in (list, tuple, dict):
        return all(arg is Ellipsis or _is_setting_type(arg) for arg in args)
    if annotation in (list, tuple, dict):
        return True
    return isinstance(annotation, type) and issubclass(annotation, enum.Enum)


def _union_members(annotation: Any) -> tuple[Any, ...]:
    annotation = _bare(annotation)
    return get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else ()


def _members(annotation: Any) -> tuple[Any, ...]:
    """The types that a value may have: those of a union, else the one."""
    return tuple(_bare(member) for member in _union_members(annotation) or (annotation,))


def _bare(annotation: Any) -> Any:
    """The type without what `Annotated` adds to it."""
    return _bare(get_args(annotation)[0]) if get_origin(annotation) is Annotated else annotation


def check(
    settings: Mapping[str, Setting], given: Mapping[str, Any], path: str
) -> tuple[dict[str, Any], list[Mistake]]:
    """Check all given values; return those that fit, as the types that the class wants, and all mistakes."""
    values: dict[str, Any] = {}
    mistakes: list[Mistake] = []
    for key, value in given.items():
        where = f"{path}.{key[:80]}" if path else key[:80]
        setting = settings.get(key)
        if setting is None:
            hint = did_you_mean(key, settings) if settings else "it takes none"
            mistakes.append(Mistake(where, "unknown setting", hint))
            continue
        try:
            values[key] = (
                _nested_spec(setting, value, where) if setting.group else convert(setting.type, value)
            )
        except (ValueError, UsageError) as error:
            mistakes.append(Mistake(where, str(error).splitlines()[0], f"expected {setting.type_name}"))
    return values, mistakes


def _nested_spec(setting: Setting, value: object, where: str) -> Spec | None:
    if isinstance(value, str):
        left_out = value.lower() == "none" and type(None) in _members(setting.type)
        return None if left_out else parse(str(value))
    return from_toml(value, where)


def convert(annotation: Any, value: object) -> Any:
    """The value as the annotated type, strictly: "5" is no int, true is no int, 1 is a float.

    `Text` is read first: as written for str and Path, as TOML for others. `ValueError` where it does not fit.
    """
    if isinstance(value, Text):
        return _convert_text(annotation, value)
    return _validate(annotation, value)


def _convert_text(annotation: Any, text: Text) -> Any:
    members = _members(annotation)
    if type(None) in members and text.lower() == "none" and not text.quoted:
        return None
    takes_text = any(
        member in (str, Path) or get_origin(member) is Literal or _is_enum(member) for member in members
    )
    as_written = all(member in (str, Path, type(None)) for member in members)
    if not (text.quoted or as_written) and (value := _as_toml(text)) is not None:
        try:
            return _validate(annotation, value)
        except ValueError:
            if not takes_text:
                raise
    if takes_text or text.quoted:
        return _validate(annotation, str(text))
    raise ValueError(f"{quote(str(text))} does not fit")


def _as_toml(text: str) -> object:
    try:
        return read_toml_value(text)
    except (ValueError, RecursionError):  # TOMLDecodeError is a ValueError
        return None


def _is_enum(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, enum.Enum)


def _validate(annotation: Any, value: object) -> Any:
    from pydantic import ValidationError

    if _holds_nan(value):
        raise ValueError("NaN is no value")
    try:
        # Strict JSON mode is what a config file means: a string is a Path, a list is a tuple, "5" is no int.
        return _adapter(annotation).validate_json(json.dumps(value, default=_plain))
    except (ValidationError, TypeError, RecursionError):
        # pydantic's message is in terms of Python types; the caller adds what the option takes.
        raise ValueError(f"{quote(value)} does not fit") from None


def _holds_nan(value: object) -> bool:
    if isinstance(value, (list, tuple)):
        return any(_holds_nan(item) for item in value)
    if isinstance(value, Mapping):
        return any(_holds_nan(item) for item in value.values())
    return isinstance(value, float) and value != value


def _plain(value: object) -> object:
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Path):
        return str(value)
    raise TypeError


@cache
def _adapter(annotation: Any) -> Any:
    from pydantic import ConfigDict, TypeAdapter

    return TypeAdapter(annotation, config=ConfigDict(strict=True))


def plain_value(value: Any) -> Any:
    """A setting's value as config files and JSON have it."""
    if isinstance(value, Nested):
        return value.spec
    if isinstance(value, Spec):
        return str(value)
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, (list, tuple)):
        return [plain_value(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): plain_value(item) for key, item in value.items()}
    return value


def bounds(metadata: Iterable[Any]) -> str:
    """What `Annotated` says of a number's range, in words: " from 1 to 8", " above 0"; empty without any."""
    found = {
        name: getattr(part, name)
        for part in metadata
        for name in ("gt", "ge", "lt", "le")
        if getattr(part, name, None) is not None
    }
    words = f" above {found['gt']}" if "gt" in found else f" from {found['ge']}" if "ge" in found else ""
    words += (
        f" to {found['le']}" if "le" in found else f" to less than {found['lt']}" if "lt" in found else ""
    )
    return words + (" on" if words.startswith(" from") and " to " not in words else "")


def _constraints(annotation: Any) -> Iterator[Any]:
    if get_origin(annotation) is Annotated:
        for part in get_args(annotation)[1:]:
            yield from getattr(part, "metadata", [part])
        yield from _constraints(get_args(annotation)[0])


def _type_name(annotation: Any) -> str:
    if within := bounds(_constraints(annotation)):
        return _type_name(_bare(annotation)) + within
    annotation = _bare(annotation)
    if annotation is None:
        return "unknown"
    if annotation is type(None):
        return "none"
    members = _union_members(annotation)
    if members:
        return " or ".join(_type_name(member) for member in members)
    if get_origin(annotation) is Literal:
        return "one of " + ", ".join(str(choice) for choice in get_args(annotation))
    if _is_enum(annotation):
        return "one of " + ", ".join(str(choice.value) for choice in annotation)
    if get_origin(annotation) in (list, tuple, dict):
        inner = ", ".join("..." if arg is Ellipsis else _type_name(arg) for arg in get_args(annotation))
        return f"{get_origin(annotation).__name__}[{inner}]"
    return getattr(annotation, "__name__", str(annotation))
