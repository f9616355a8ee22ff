"""The bucket settings of datasets, written once: every field of `Bucketing` as a setting of the class."""

from __future__ import annotations

import functools
import inspect
from dataclasses import fields, replace
from typing import Any, TypeVar, get_type_hints

from nnkit.types import EXACT_SIZES, Bucketing

T = TypeVar("T")

PARAMETER = "bucketing"


def takes_bucket_settings(cls: type[T]) -> type[T]:
    """Give a dataset the settings of `Bucketing`, one by one, in place of its parameter `bucketing`.

    A spec holds single values: `mnist-varres:max_buckets=8`. From Python, `bucketing=Bucketing(...)` works as
    well. What `Bucketing` says of its fields is added to the docstring, where `nnkit info` looks for it.
    """
    plain = cls.__init__
    types = get_type_hints(Bucketing)
    names = [field.name for field in fields(Bucketing)]

    @functools.wraps(plain)
    def init(self: Any, **settings: Any) -> None:
        given = {name: settings.pop(name) for name in names if name in settings}
        if given:
            settings[PARAMETER] = replace(settings.get(PARAMETER, EXACT_SIZES), **given)
        plain(self, **settings)

    signature = inspect.signature(plain)
    own = [parameter for name, parameter in signature.parameters.items() if name != PARAMETER]
    added = [
        inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=getattr(EXACT_SIZES, name), annotation=types[name]
        )
        for name in names
    ]
    init.__signature__ = signature.replace(parameters=[*own, *added])  # type: ignore[attr-defined]
    cls.__init__ = init  # type: ignore[method-assign]
    cls.__doc__ = f"{inspect.cleandoc(cls.__doc__ or '')}\n\n{_help()}"
    return cls


def _help() -> str:
    """Bucketing's docstring but for its last paragraph, which is about errors."""
    return inspect.cleandoc(Bucketing.__doc__ or "").rpartition("\n\n")[0]
