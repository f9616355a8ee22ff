"""Every check by group and name, and how one is run: the one list that contract classes and commands read.

A check is a function of a `Subject` that raises `AssertionError` with what is wrong, or `Skipped` with why it
does not apply.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from nnkit.errors import NnkitError
from nnkit.testing import (
    augmentations,
    common,
    datasets,
    losses,
    metrics,
    models,
    optimizers,
    poolings,
    schedules,
    stopping_rules,
    trackers,
)
from nnkit.testing.subject import Skipped, Subject

Check = Callable[[Subject], None]
_OF_ALL: tuple[Check, ...] = (common.says_what_it_is, common.defaults_are_valid_and_round_trip)
_CHECKS: Mapping[str, tuple[Check, ...]] = {
    "datasets": (
        datasets.says_its_task_and_default_model,
        datasets.loads_what_it_declares,
        datasets.loads_the_same_twice,
        datasets.says_when_its_files_are_missing,
        datasets.survives_spawn,
    ),
    "models": (
        models.gives_the_declared_shape,
        models.forward_and_backward_are_finite,
        models.an_image_gives_the_same_alone_and_in_a_batch,
        models.is_deterministic_by_seed,
        models.saves_and_loads,
        models.survives_spawn,
        models.leaves_its_input_alone,
        models.fits_by_least_squares,
        models.exports_to_onnx,
    ),
    "poolings": (
        poolings.gives_the_declared_shape,
        poolings.forward_and_backward_are_finite,
        poolings.leaves_out_what_the_mask_does,
        poolings.is_deterministic_by_seed,
        poolings.saves_and_loads,
        poolings.survives_spawn,
        poolings.leaves_its_input_alone,
    ),
    "losses": (
        losses.gives_a_scalar,
        losses.forward_and_backward_are_finite,
        losses.is_the_sum_or_the_mean_that_it_says,
        losses.is_deterministic_by_seed,
        losses.saves_and_loads,
        losses.survives_spawn,
        losses.leaves_its_input_alone,
    ),
    "stopping_rules": (
        stopping_rules.answers_a_reason_or_none,
        stopping_rules.answers_an_epoch_without_its_metric,
        stopping_rules.goes_on_from_its_saved_state,
        stopping_rules.treats_nan_as_documented,
        stopping_rules.is_deterministic,
        stopping_rules.survives_spawn,
    ),
    "optimizers": (
        optimizers.is_an_optimizer_of_its_parameters,
        optimizers.lowers_the_loss,
        optimizers.leaves_alone_what_has_no_gradient,
        optimizers.goes_on_from_its_saved_state,
        optimizers.is_deterministic,
    ),
    "schedules": (
        schedules.is_a_schedule,
        schedules.gives_rates_that_training_can_use,
        schedules.goes_on_from_its_saved_state,
        schedules.is_deterministic,
    ),
    "trackers": (
        trackers.takes_a_whole_run,
        trackers.takes_a_run_that_is_resumed,
        trackers.takes_a_run_that_ends_at_once,
        trackers.leaves_the_record_alone,
        trackers.draws_no_random_number,
    ),
    "augmentations": (
        augmentations.keeps_shape_and_type,
        augmentations.gives_finite_values,
        augmentations.draws_from_torchs_generator,
        augmentations.changes_each_image_by_itself,
        augmentations.sees_no_padding,
        augmentations.survives_spawn,
    ),
    "metrics": (
        metrics.gives_a_number,
        metrics.adds_up_batches,
        metrics.forgets_at_reset,
        metrics.compute_changes_nothing,
        metrics.says_which_direction_is_better,
        metrics.is_deterministic,
        metrics.survives_spawn,
        metrics.leaves_its_input_alone,
    ),
}
CHECKS: Mapping[str, Mapping[str, Check]] = {
    group: {check.__name__: check for check in (*_OF_ALL, *checks)} for group, checks in _CHECKS.items()
}
"""Group to check name to check, in the order in which they are run."""


@dataclass(frozen=True)
class Outcome:
    """What one check found; `message` says what is wrong or why it was skipped."""

    check: str
    status: Literal["passed", "failed", "skipped"]
    message: str = ""


def run_check(check: Check, subject: Subject) -> Outcome:
    """Run one check; whatever the component raises is a failure of the check."""
    name = check.__name__
    try:
        check(subject)
    except Skipped as reason:
        return Outcome(name, "skipped", str(reason))
    except AssertionError as error:
        return Outcome(name, "failed", str(error))
    except NnkitError as error:
        return Outcome(name, "failed", error.message)
    except (Exception, SystemExit) as error:  # a component may raise anything
        return Outcome(name, "failed", f"{type(error).__name__}: {error}")
    return Outcome(name, "passed")
