"""What `nnkit runs verify` prints: what was compared, where it parts, and the likely cause."""

from __future__ import annotations

from nnkit.present.layout import WIDTH, key_values
from nnkit.present.runs import changed
from nnkit.present.text import counted, duration
from nnkit.results.runs_verify import FirstDifference, RunsVerifyResult, Value

_PLACES = {
    "metrics.jsonl": "the metrics in metrics.jsonl",
    "best": "the best weights",
    "last": "the weights of the newest checkpoint",
    "summary.json": "the best and the test metrics in summary.json",
}
_DIFFERENT_BY_ITSELF = "nothing that environment.json tells of: changed images, or code outside of nnkit"


def runs_verify_text(result: RunsVerifyResult, *, width: int = WIDTH) -> str:
    """The verdict, then what it rests on."""
    places = ", ".join(_PLACES[place] for place in result.compared)
    pairs: list[tuple[str, object]] = [
        ("run", result.run_dir),
        ("verdict", "equal to the bit" if result.equal else "it differs"),
        ("trained again", f"{counted(result.epochs, 'epoch')}, in {duration(result.seconds)}"),
        ("compared", f"{places}; no times"),
        ("metrics", _equal(result.metrics_equal)),
        ("weights", _equal(result.weights_equal)),
    ]
    first = result.first_difference
    if first is not None:
        pairs += [
            ("first difference", _where(first)),
            ("in the run", _value(first.stored)),
            ("repeated", _value(first.repeated)),
        ]
    causes = changed(result.environment_changes)
    if first is not None:
        causes += [result.not_exact] if result.not_exact else []
        pairs += [("likely cause", cause) for cause in causes or [_DIFFERENT_BY_ITSELF]]
    else:
        pairs += [("differs all the same", cause) for cause in causes]
    return key_values(pairs, width=width)


def _equal(equal: bool | None) -> str:
    return (
        "not compared: the run has those of more epochs" if equal is None else "equal" if equal else "differ"
    )


def _where(first: FirstDifference) -> str:
    counters = (("epoch", first.epoch), ("step", first.step))
    position = [f"{name} {value:,}" for name, value in counters if value is not None]
    return f"{', '.join([_PLACES[first.place], *position])}: {first.key}"


def _value(value: Value) -> str:
    """With every digit: the last may be the one that differs."""
    return "none" if value is None else repr(value) if isinstance(value, float) else str(value)
