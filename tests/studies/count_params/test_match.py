"""The closest setting is the one that brute force finds, whatever the count does."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Annotated, Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field
from torch import nn

from nnkit import registry
from nnkit.build import plan
from nnkit.errors import ConfigError, PluginError, UsageError
from nnkit.registry import Entry
from nnkit.spec import parse
from nnkit.studies.count_params.match import Match, closest_setting, closest_value, total_parameters

Count = Callable[[int], int | None]


class Heads(nn.Module):
    """Refuses a width that 8 does not divide."""

    def __init__(self, *, width: int = 64, depth: int = 2, name_of_it: str = "x", flag: bool = False) -> None:
        super().__init__()
        if width % 8 or width < 1:
            raise ValueError(f"8 heads do not divide width={width}")
        self.blocks = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))


class Waves(nn.Module):
    """Counts that fall at each multiple of 10, and a setting that a layer's own rule bounds."""

    def __init__(
        self, *, level: int = 3, kernel: Literal[3, 7, 5] = 3, big: Annotated[int, Field(ge=100)] = 100
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(3 * level + 40 * (level % 10) + kernel**2 + big))


class Lazy(nn.Module):
    def __init__(self, *, width: int = 4) -> None:
        super().__init__()
        self.linear = nn.LazyLinear(width)


class Sized(nn.Module):
    """Looks at values while it is built, so it cannot be built on meta."""

    def __init__(self, *, width: int = 4) -> None:
        super().__init__()
        self.linear = nn.Linear(int(torch.full((1,), width).item()), 2)


@pytest.fixture(autouse=True)
def plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    """The models above, as a plugin would bring them."""
    module = ModuleType("match_models")
    found = list(registry.entries())
    for cls in (Heads, Waves, Lazy, Sized):
        setattr(module, cls.__name__, cls)
        found.append(Entry("models", cls.__name__.lower(), "demo", "1.0", f"match_models:{cls.__name__}"))
    monkeypatch.setitem(sys.modules, "match_models", module)
    monkeypatch.setattr(registry, "entries", lambda: tuple(found))


def brute(total_at: Count, target: int, stop: int) -> Match:
    totals = [(value, total) for value in range(stop) if (total := total_at(value)) is not None]
    _, _, value, total = min((abs(total - target), value == 0, value, total) for value, total in totals)
    return Match(value, total, total - target)


@given(st.lists(st.none() | st.integers(0, 10_000), min_size=1, max_size=64), st.integers(1, 12_000))
def test_any_table_of_counts_gives_what_brute_force_gives(table: list[int | None], target: int) -> None:
    if all(total is None for total in table):
        table = [*table, 5]

    def total_at(value: int) -> int | None:
        return table[value] if value < len(table) else None

    assert closest_value(total_at, target) == brute(total_at, target, len(table))


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 40), st.integers(0, 3), st.integers(1, 700), st.integers(0, 500), st.integers(1, 20_000)
)
def test_rising_counts_with_steps_give_what_brute_force_gives(
    slope: int, square: int, step: int, offset: int, answer: int
) -> None:
    def total_at(value: int) -> int:
        level = value // step
        return slope * level + square * level * level + offset

    target = total_at(answer) + slope // 2 + 1
    assert closest_value(total_at, target) == brute(total_at, target, 30_000)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 50), st.integers(2, 60), st.integers(0, 16), st.integers(1, 60_000))
def test_counts_that_fall_back_at_every_period_give_what_brute_force_gives(
    slope: int, period: int, swing: int, target: int
) -> None:
    def total_at(value: int) -> int:
        return slope * (value + swing * (value % period))

    target = min(target, 4_000 * slope)
    assert closest_value(total_at, target) == brute(total_at, target, 4_096)


@settings(max_examples=25, deadline=None)
@given(st.integers(10**5, 10**7), st.integers(1, 20_000))
def test_falling_counts_give_what_brute_force_gives(most: int, answer: int) -> None:
    def total_at(value: int) -> int | None:
        return most // value if value else None

    target = most // answer + 1
    assert closest_value(total_at, target) == brute(total_at, target, 40_000)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 64), st.integers(1, 30), st.integers(1, 20_000))
def test_values_that_only_multiples_allow_give_what_brute_force_gives(
    divisor: int, slope: int, answer: int
) -> None:
    def total_at(value: int) -> int | None:
        return slope * value + 7 if value and value % divisor == 0 else None

    target = slope * answer
    assert closest_value(total_at, target) == brute(total_at, target, 30_000)


def test_of_two_values_equally_close_the_smaller_is_chosen() -> None:
    assert closest_value(lambda value: 10 * value, 25) == Match(2, 20, -5)


def test_of_many_values_with_one_count_the_smallest_is_chosen() -> None:
    assert closest_value(lambda value: 1_000 * (value // 3_000), 3_100) == Match(9_000, 3_000, -100)


def test_zero_is_chosen_only_where_it_is_closer() -> None:
    assert closest_value(lambda value: 100 * (value // 8), 10).value == 1
    assert closest_value(lambda value: 100 + value, 10).value == 0


def test_a_count_that_no_value_changes_gives_the_smallest_value() -> None:
    assert closest_value(lambda value: 7, 1_000_000) == Match(1, 7, -999_993)


def test_no_valid_value_is_an_error() -> None:
    with pytest.raises(LookupError):
        closest_value(lambda value: None, 10)


def test_varres_net_matches_mnist_convnet_at_width_81() -> None:
    target = total_parameters("mnist-convnet")
    assert target == 29_066
    assert closest_setting(parse("varres-net"), "width", target) == Match(81, 29_029, -37)
    assert total_parameters("varres-net:width=82") == 29_328


@pytest.mark.parametrize(
    ("spec", "vary", "target", "stop"),
    [
        ("varres-net", "width", 20_500, 200),
        ("varres-net", "num_classes", 31_000, 300),
        ("conv4", "width", 70_000, 120),
        ("mlp-bottleneck", "hidden", 300_123, 200),
        ("conv-linear", "in_channels", 803_610, 30),
        ("heads:width=32", "depth", 5_900, 20),
        ("heads", "width", 5_000, 100),
        ("waves", "level", 555, 300),
        ("waves", "big", 431, 500),
        ("sized", "width", 111, 100),
    ],
)
def test_settings_of_models_give_what_brute_force_over_real_builds_gives(
    spec: str, vary: str, target: int, stop: int
) -> None:
    def total_at(value: int) -> int | None:
        read = parse(spec)
        try:
            model = plan("models", type(read)(read.name, {**read.settings, vary: value})).make()
        except (UsageError, PluginError):
            return None
        return sum(parameter.numel() for parameter in model.parameters())

    assert closest_setting(parse(spec), vary, target) == brute(total_at, target, stop)


def test_of_a_choice_of_integers_every_one_is_tried() -> None:
    assert closest_setting(parse("conv-shrink"), "kernel", 60) == Match(5, 76, 16)
    assert closest_setting(parse("waves:level=0"), "kernel", 145) == Match(7, 149, 4)


def test_what_the_dataset_knows_is_counted() -> None:
    known = {"in_channels": 3, "num_classes": 7, "image_size": None}
    assert total_parameters("varres-net:width=9", known) == 16 * 28 + 4_640 + 9 * 289 + 7 * 10
    found = closest_setting(parse("varres-net"), "width", 20_000, known=known)
    assert found.total == total_parameters(f"varres-net:width={found.value}", known)


def test_a_value_that_stands_in_the_spec_is_replaced() -> None:
    assert closest_setting(parse("varres-net:width=500"), "width", 29_066).value == 81


def test_an_unknown_setting_is_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError, match='no setting "widht"') as caught:
        closest_setting(parse("varres-net"), "widht", 100)
    assert caught.value.hint == 'did you mean "width"?'


@pytest.mark.parametrize(
    ("spec", "vary"),
    [("varres-net", "pooling"), ("heads", "name_of_it"), ("heads", "flag"), ("linear", "image_size")],
)
def test_a_setting_that_is_no_integer_is_refused(spec: str, vary: str) -> None:
    with pytest.raises(UsageError, match="not an integer") as caught:
        closest_setting(parse(spec), vary, 100)
    assert "its integer settings: " in caught.value.hint


def test_a_mistake_elsewhere_in_the_spec_is_reported_at_once() -> None:
    with pytest.raises(ConfigError, match="poling"):
        closest_setting(parse("varres-net:poling=max"), "width", 100)


def test_parameters_without_a_shape_are_an_error_that_names_them() -> None:
    with pytest.raises(PluginError, match=r"linear\.weight"):
        total_parameters("lazy")
    with pytest.raises(PluginError, match=r"linear\.weight"):
        closest_setting(parse("lazy"), "width", 100)


def test_counting_leaves_the_global_generator_as_it_was() -> None:
    before = torch.random.get_rng_state()
    total_parameters("mnist-convnet")
    total_parameters("sized:width=9")
    assert torch.equal(before, torch.random.get_rng_state())
