"""Checks for stopping rules: a reason or None after each epoch, a restored state, NaN as documented."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from nnkit.testing.subject import Subject
from nnkit.testing.worker import call_in_worker
from nnkit.types import EpochResult, StoppingRule

NAN, INF = float("nan"), float("inf")
LOSSES = (NAN, 0.9, INF, 0.5, 0.6, NAN, 0.4, 0.41, 0.405, 0.408, -INF, 0.404, 0.404, 0.404, 0.404, 0.05)
NUM_NAN_EPOCHS = 200


def epochs_of(losses: Iterable[float]) -> list[EpochResult]:
    """Epochs of half a second with these losses, and metrics of both tasks that follow them."""
    return [_epoch(number, loss) for number, loss in enumerate(losses, 1)]


def _epoch(number: int, loss: float) -> EpochResult:
    metrics = {"train_loss": loss, "val_loss": loss, "val_accuracy": 1 - loss, "val_mse": loss}
    metrics |= {"val_mae_sum": 10 * loss, "val_max_abs_error": loss, "val_psnr": -loss}
    return EpochResult(epoch=number, step=10 * number, metrics=metrics, seconds=0.5, train_s=0.4)


def _made(subject: Subject) -> StoppingRule:
    rule = subject.make()
    assert isinstance(rule, StoppingRule), (
        f"{type(rule).__name__} lacks one of the methods update, state_dict, load_state_dict"
    )
    return rule


def _answer(rule: StoppingRule, epoch: EpochResult) -> str | None:
    answer = rule.update(epoch)
    assert answer is None or (isinstance(answer, str) and answer.strip()), (
        f"update gives {answer!r} after epoch {epoch.epoch}, neither a reason nor None"
    )
    return answer


def _answers(rule: StoppingRule, losses: Iterable[float]) -> list[str | None]:
    return [_answer(rule, epoch) for epoch in epochs_of(losses)]


def answers_a_reason_or_none(subject: Subject) -> None:
    """Whatever the values: numbers, NaN and infinities, better and worse."""
    _answers(_made(subject), LOSSES)


def answers_an_epoch_without_its_metric(subject: Subject) -> None:
    """A metric that is not there is answered, not raised about: a rule never raises."""
    _answer(_made(subject), EpochResult(epoch=1, step=1, metrics={}))


def goes_on_from_its_saved_state(subject: Subject) -> None:
    """Saved as strict JSON after any epoch and restored in a new rule, it answers as if never interrupted."""
    epochs = epochs_of(LOSSES)
    expected = _answers(_made(subject), LOSSES)
    for cut in range(len(epochs)):
        before, after = _made(subject), _made(subject)
        answers = [before.update(epoch) for epoch in epochs[:cut]]
        after.load_state_dict(json.loads(_as_json(before)))
        answers += [after.update(epoch) for epoch in epochs[cut:]]
        assert answers == expected, f"saved and restored after {cut} epochs it gives other results"


def _as_json(rule: StoppingRule) -> str:
    state = rule.state_dict()
    try:
        return json.dumps(state, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise AssertionError(f"state_dict() is no strict JSON ({error}): {state!r}") from error


def treats_nan_as_documented(subject: Subject) -> None:
    """The docstring says what NaN does; where `stops_on_nan` is True or False, 200 epochs of NaN agree."""
    said_in_words = re.search(r"\bNaN\b|not[- ]a[- ]number", subject.cls.__doc__ or "")
    assert said_in_words, "its docstring does not say what it does about NaN"
    answers = _answers(_made(subject), [NAN] * NUM_NAN_EPOCHS)
    said = subject.says("stops_on_nan")
    if said is None:
        return
    stopped = any(answer is not None for answer in answers)
    assert stopped == said, f"stops_on_nan is {said}, but {NUM_NAN_EPOCHS} epochs of NaN say {stopped}"


def is_deterministic(subject: Subject) -> None:
    """Two rules of the same settings give the same answers."""
    assert _answers(_made(subject), LOSSES) == _answers(_made(subject), LOSSES), (
        "two rules give different results"
    )


def survives_spawn(subject: Subject) -> None:
    """It pickles to a worker process, with what it remembers."""
    rule, here = _made(subject), _made(subject)
    half = len(LOSSES) // 2
    for epoch in epochs_of(LOSSES)[:half]:
        rule.update(epoch)
        here.update(epoch)
    answers = call_in_worker(_update_all, rule, epochs_of(LOSSES)[half:])
    assert answers == [here.update(epoch) for epoch in epochs_of(LOSSES)[half:]], (
        "it gives other results there"
    )


def _update_all(rule: StoppingRule, epochs: list[EpochResult]) -> list[str | None]:
    return [rule.update(epoch) for epoch in epochs]
