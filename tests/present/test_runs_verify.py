"""What `runs verify` says: the verdict, what was compared, where it parts and the likely cause."""

from __future__ import annotations

from typing import Any

import pytest

from nnkit.errors import GateError
from nnkit.present.runs_verify import runs_verify_text
from nnkit.results.environment import EnvironmentChange
from nnkit.results.runs_verify import FirstDifference, RunsVerifyResult
from nnkit.studies.runs_verify.study import check_equal
from present.reading import read_pairs

EQUAL = RunsVerifyResult(
    run_dir="runs/train/x", equal=True, weights_equal=True, metrics_equal=True, first_difference=None,
    epochs=3, compared=("metrics.jsonl", "best", "last", "summary.json"), environment_changes=(), seconds=4.2,
)  # fmt: skip
FIRST = FirstDifference(
    place="metrics.jsonl",
    epoch=2,
    step=1200,
    key="metrics.val_loss",
    stored=0.1,
    repeated=0.30000000000000004,
)
DIFFERS = EQUAL.model_copy(update={"equal": False, "metrics_equal": False, "first_difference": FIRST})


def pairs(result: RunsVerifyResult) -> list[tuple[str, str]]:
    return read_pairs(runs_verify_text(result, width=300))[0]


def with_(result: RunsVerifyResult, **values: Any) -> RunsVerifyResult:
    return result.model_copy(update=values)


def test_an_equal_run_says_what_was_compared() -> None:
    assert pairs(EQUAL) == [
        ("run", "runs/train/x"),
        ("verdict", "equal to the bit"),
        ("trained again", "3 epochs, in 4.2 s"),
        (
            "compared",
            "the metrics in metrics.jsonl, the best weights, the weights of the newest checkpoint, "
            "the best and the test metrics in summary.json; no times",
        ),
        ("metrics", "equal"),
        ("weights", "equal"),
    ]


def test_a_difference_is_told_with_its_place_and_every_digit() -> None:
    told = dict(pairs(DIFFERS))
    assert told["verdict"] == "it differs"
    assert (told["metrics"], told["weights"]) == ("differ", "equal")
    assert told["first difference"] == "the metrics in metrics.jsonl, epoch 2, step 1,200: metrics.val_loss"
    assert (told["in the run"], told["repeated"]) == ("0.1", "0.30000000000000004")
    assert told["likely cause"].startswith("nothing that environment.json tells of")


@pytest.mark.parametrize("value", [None, 3, "float32 (2, 3)"])
def test_values_that_are_no_floats_are_told(value: Any) -> None:
    told = dict(pairs(with_(DIFFERS, first_difference=FIRST.model_copy(update={"stored": value}))))
    assert told["in the run"] == ("none" if value is None else str(value))


def test_what_differs_of_the_environment_is_the_likely_cause() -> None:
    changes = (
        EnvironmentChange(name="library torch", before="2.8.0", after="2.9.0"),
        EnvironmentChange(name="threads", before="2", after=None),
    )
    differs = with_(
        DIFFERS, environment_changes=changes, not_exact="on cuda some kernels add up in any order"
    )
    assert [value for key, value in pairs(differs) if key == "likely cause"] == [
        "library torch: 2.8.0, then 2.9.0",
        "threads: 2, then none",
        "on cuda some kernels add up in any order",
    ]
    equal = pairs(with_(EQUAL, environment_changes=changes[:1]))
    assert ("differs all the same", "library torch: 2.8.0, then 2.9.0") in equal
    with pytest.raises(GateError) as caught:
        check_equal(differs)
    assert caught.value.hint == "what differs here: library torch, threads"


def test_many_causes_are_counted_after_the_first_dozen() -> None:
    changes = tuple(EnvironmentChange(name=f"library {at}", before="1", after="2") for at in range(40))
    causes = [
        value for key, value in pairs(with_(DIFFERS, environment_changes=changes)) if key == "likely cause"
    ]
    assert len(causes) == 13
    assert causes[-1] == "and 28 other things"


def test_weights_that_were_not_compared_are_said_so() -> None:
    told = dict(pairs(with_(EQUAL, weights_equal=None, compared=("metrics.jsonl",))))
    assert told["weights"] == "not compared: the run has those of more epochs"
    assert told["compared"] == "the metrics in metrics.jsonl; no times"
