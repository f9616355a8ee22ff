"""The value of an integer setting that brings a model's parameter count closest to a target."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from nnkit import registry, schema
from nnkit.build import plan
from nnkit.errors import ConfigError, PluginError, UsageError, did_you_mean
from nnkit.schema import Setting
from nnkit.spec import Spec
from nnkit.studies.count_params.parameter_count import total_parameters

__all__ = ["Match", "closest_setting", "closest_value", "total_parameters"]

NUM_ALWAYS_TRIED = 64
NUM_TRIED_AT_MOST = 4096
LARGEST_VALUE = 2**24
_FAR, _NUM_FAR = 4, 3
"""Above this multiple of the target, and rising at three doubled values in a row, counts grow for good."""
_GAP = 64
"""How many values above a doubled one are looked at for a valid one."""


@dataclass(frozen=True)
class Match:
    """A setting's `value`, the model's `total` parameters with it, and `difference` = total - target."""

    value: int
    total: int
    difference: int


def closest_setting(spec: Spec, vary: str, target: int, *, known: Mapping[str, Any] | None = None) -> Match:
    """The value of the integer setting `vary` with which the model's parameters come closest to `target`.

    A value in `spec` for it is replaced; values that the model refuses are left out; of two
    that come equally close, the smaller. See `closest_value` for which values are tried, of which a Literal's
    choices are all. `UsageError` where there is no such setting, it is no integer, or no value fits.
    """
    setting = _integer_setting(spec, vary)
    others = {name: value for name, value in (known or {}).items() if name != vary}
    _check_the_rest(spec, vary, others)
    refused: list[UsageError | PluginError] = []

    def total_at(value: int) -> int | None:
        try:
            return total_parameters(Spec(spec.name, {**spec.settings, vary: value}), others)
        except (UsageError, PluginError) as error:
            refused.append(error)
            return None

    try:
        return closest_value(total_at, target, values=_choices(setting.type))
    except LookupError:
        raise refused[0] from None


def closest_value(
    total_at: Callable[[int], int | None], target: int, *, values: tuple[int, ...] = ()
) -> Match:
    """The value whose total comes closest to `target`; the smallest of several. None marks an invalid value.

    Only `values` are tried where they are given. Else every value from 0 is, to at least 63, at most 4,095,
    until three doubled values in a row have counts above four times the target and rising: up to there a
    count may have steps, gaps and turns. Above 4,095, to 2**24, counts are taken only to rise, or only to
    fall, between one doubled value and the next, and to stay where all doubled values to 4,096 give one
    count. 0 is chosen only where it is closer than every other, as a layer of nothing often builds.
    `LookupError` where no value is valid.
    """
    search = _Search(total_at, target)
    if values:
        for value in values:
            search.total(value)
        return search.best()
    probes, settled = search.climb()
    for value in range(
        max(NUM_ALWAYS_TRIED, min(NUM_TRIED_AT_MOST, probes[-1] + 1) if settled else NUM_TRIED_AT_MOST)
    ):
        search.total(value)
    for low, high in pairwise(probes):
        if high >= NUM_TRIED_AT_MOST:
            search.refine(low, high)
    return search.best()


@dataclass
class _Search:
    """The totals found so far: each value is built once."""

    total_at: Callable[[int], int | None]
    target: int
    totals: dict[int, int | None] = field(default_factory=dict)

    def total(self, value: int) -> int | None:
        if value not in self.totals:
            self.totals[value] = self.total_at(value)
        return self.totals[value]

    def best(self) -> Match:
        found = [(abs(t - self.target), v == 0, v, t) for v, t in self.totals.items() if t is not None]
        if not found:
            raise LookupError("no value is valid")
        _, _, value, total = min(found)
        return Match(value, total, total - self.target)

    def climb(self) -> tuple[list[int], bool]:
        """Valid values, each about twice the last, and whether the last are far above the target and rise."""
        probes, num_far, wanted, before = [0], 0, 1, -1
        while wanted <= LARGEST_VALUE and num_far < _NUM_FAR:
            value = self._next_valid(wanted, 2 * wanted - 1)
            if value is not None:
                probes.append(value)
                total = self.total(value) or 0
                num_far = num_far + 1 if total > max(_FAR * self.target, before) else 0
                before = total
            if wanted >= NUM_TRIED_AT_MOST and self._leads_nowhere(probes, wanted):
                break
            wanted *= 2
        return probes, num_far == _NUM_FAR

    def _leads_nowhere(self, probes: list[int], wanted: int) -> bool:
        """Whether a doubled value is invalid, or all give one count: larger ones would only cost time."""
        return probes[-1] < wanted or len({self.total(value) for value in probes[1:]}) < 2

    def refine(self, low: int, high: int) -> None:
        """Try the values that matter from `low` to `high` if counts only rise, or only fall, between them."""
        first, last = self.total(low), self.total(high) or 0
        rising = first is None or last >= first
        below = self._cross(low, high, self.target, rising)
        # The value just short of the target may stand on a step: of equal counts, the smallest value is best.
        step = self.total(below)
        if step is not None:
            self._cross(low, below, step, rising)

    def _cross(self, low: int, high: int, bound: int, rising: bool) -> int:
        """Close in on where the count reaches `bound`; the last value found that has not, else `high`."""
        if not self._reaches(high, bound, rising):
            return high
        below = low
        while high - low > 1:
            middle = (low + high) // 2
            value = self._next_valid(middle, high - 1) or self._previous_valid(middle, low + 1)
            if value is None:
                low = middle  # valid values are far apart here: look on in the larger half
            elif self._reaches(value, bound, rising):
                high = value
            else:
                low = below = value
        return below

    def _reaches(self, value: int, bound: int, rising: bool) -> bool:
        total = self.total(value)
        return total is not None and (total >= bound if rising else total <= bound)

    def _next_valid(self, start: int, stop: int) -> int | None:
        span = range(start, min(stop, start + _GAP) + 1)
        return next((value for value in span if self.total(value) is not None), None)

    def _previous_valid(self, start: int, stop: int) -> int | None:
        span = range(start, max(stop, start - _GAP) - 1, -1)
        return next((value for value in span if self.total(value) is not None), None)


def _check_the_rest(spec: Spec, vary: str, known: Mapping[str, Any]) -> None:
    """Raise the mistakes of all other settings at once, rather than meet them at every value."""
    rest = {name: value for name, value in spec.settings.items() if name != vary}
    try:
        plan("models", Spec(spec.name, rest), known=known)
    except ConfigError as error:
        mistakes = [mistake for mistake in error.mistakes if mistake.path != f"model.{vary}"]
        if mistakes:
            raise ConfigError(mistakes, hint=error.hint) from None


def _integer_setting(spec: Spec, vary: str) -> Setting:
    component = registry.load(registry.find("models", spec.name))
    settings = schema.settings_of(component.cls)
    integers = [name for name, setting in settings.items() if _is_integer(setting.type)]
    if vary not in settings:
        hint = did_you_mean(vary, integers)
        raise UsageError(f'"{spec.name}" has no setting "{vary[:80]}" to vary', hint=hint)
    if vary not in integers:
        kind = settings[vary].type_name
        hint = "its integer settings: " + (", ".join(sorted(integers)) or "none")
        raise UsageError(f'the setting "{vary}" of "{spec.name}" is {kind}, not an integer', hint=hint)
    return settings[vary]


def _members(annotation: Any) -> tuple[Any, ...]:
    """The types of a union, or the one type that it is, without its metadata."""
    if get_origin(annotation) is Annotated:
        return _members(get_args(annotation)[0])
    is_union = get_origin(annotation) in (Union, UnionType)
    return get_args(annotation) if is_union else (annotation,)


def _is_integer(annotation: Any) -> bool:
    return any(member is int or _literal_integers(member) for member in _members(annotation))


def _choices(annotation: Any) -> tuple[int, ...]:
    members = _members(annotation)
    return () if int in members else tuple(c for member in members for c in _literal_integers(member))


def _literal_integers(member: Any) -> tuple[int, ...]:
    choices = get_args(member) if get_origin(member) is Literal else ()
    return tuple(choice for choice in choices if type(choice) is int)
