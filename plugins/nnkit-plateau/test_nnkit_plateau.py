"""nnkit's contract tests of the plateau rule, its statistics against known ones, and when it stops."""

import random
from typing import ClassVar

import pytest
from nnkit_plateau import Plateau, confidence_above, fit_slope

from nnkit.testing import StoppingRuleContract
from nnkit.types import EpochResult


class TestPlateau(StoppingRuleContract):
    component = Plateau


class TestShortPlateau(StoppingRuleContract):
    component = Plateau
    settings: ClassVar = {"epochs": 4, "min_slope": 0.01, "metric": "val_accuracy"}


def first_stop(rule: Plateau, losses: list[float]) -> int | None:
    for number, loss in enumerate(losses, 1):
        if rule.update(EpochResult(epoch=number, step=number, metrics={"val_loss": loss})):
            return number
    return None


@pytest.mark.parametrize(
    ("t", "degrees", "share"),
    [
        (1.886, 2, 0.9),
        (2.920, 2, 0.95),
        (1.638, 3, 0.9),
        (1.440, 6, 0.9),
        (1.812, 10, 0.95),
        (3.747, 4, 0.99),
    ],
)
def test_confidence_is_that_of_students_t_table(t: float, degrees: int, share: float) -> None:
    assert confidence_above(t, 1.0, degrees) == pytest.approx(share, abs=0.01)
    assert confidence_above(-t, 1.0, degrees) == pytest.approx(1 - share, abs=0.01)


def test_slope_and_error_are_least_squares() -> None:
    # By hand: times -1.5 … 1.5, slope 4.5 / 5, residual sum of squares 0.7 over 2 degrees of freedom.
    slope, error = fit_slope([0.0, 2.0, 2.0, 3.0])
    assert slope == pytest.approx(0.9)
    assert error == pytest.approx((0.7 / 2 / 5) ** 0.5)


def test_a_steady_fall_never_stops() -> None:
    assert first_stop(Plateau(epochs=5), [1 - 0.01 * at for at in range(60)]) is None


def test_equal_values_stop_as_soon_as_the_window_is_full() -> None:
    assert first_stop(Plateau(epochs=5), [0.25] * 20) == 5


def test_noise_around_a_level_stops_and_noise_around_a_fall_does_not() -> None:
    rng = random.Random(0)
    noise = [rng.gauss(0, 0.01) for _ in range(40)]
    assert first_stop(Plateau(), [0.3 + n for n in noise]) is not None
    assert first_stop(Plateau(), [2 - 0.04 * at + n for at, n in enumerate(noise)]) is None


def test_a_fall_slower_than_min_slope_stops() -> None:
    assert first_stop(Plateau(epochs=5, min_slope=0.02), [1 - 0.01 * at for at in range(20)]) == 5


@pytest.mark.parametrize("settings", [{"epochs": 3}, {"min_slope": -1.0}, {"confidence": 1.0}])
def test_settings_out_of_range_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="it must be"):
        Plateau(**settings)  # type: ignore[arg-type]
