"""Parameter counts as tables: one model by its layers, several side by side, and what matches best."""

from __future__ import annotations

from collections.abc import Sequence

from nnkit.present.layout import WIDTH, joined, key_values, table
from nnkit.present.text import count
from nnkit.results.count_params import CountResult, MatchCount, ModelCount


def count_params_text(result: CountResult, *, width: int = WIDTH) -> str:
    """The match, if one was asked for; then one model's layers, or several models, a row each."""
    models, found = result.models, result.match
    parts = [_match(found, width)] if found else []
    parts.append(_comparison(models, width) if found or len(models) > 1 else _layers(models[0], width))
    return joined(*parts)


def num_bytes(amount: int) -> str:
    """Memory in powers of ten: "800 B", "12.3 kB", "1.23 GB"."""
    value = float(amount)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 999.5:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:,.3g} TB" if value < 999.5 else f"{value:,.0f} TB"


def _match(match: MatchCount, width: int) -> str:
    share = match.difference / match.target_total
    verdict = "within" if match.within_tolerance else "outside"
    pairs = [
        ("target", f"{match.target}: {count(match.target_total)} parameters"),
        ("closest", f"{match.parameter}={match.value}: {count(match.total)} parameters"),
        ("difference", f"{match.difference:+,} ({100 * share:+.2f} %)"),
        ("tolerance", f"{100 * match.tolerance:.4g} %: {verdict}"),
    ]
    if match.target.replace(",", "").replace("_", "").isdigit():
        pairs[0] = ("target", f"{count(match.target_total)} parameters")
    return key_values(pairs, width=width)


def _comparison(models: Sequence[ModelCount], width: int) -> str:
    """A row per model; frozen parameters and buffers have columns where any model has some."""
    all_trainable = not any(model.frozen or model.buffers for model in models)
    rows = [
        [
            model.spec,
            _shape(model.input),
            *([count(model.total)] if all_trainable else _sums(model).values()),
            count(model.flops),
            num_bytes(model.activation_bytes),
        ]
        for model in models
    ]
    heads = ["parameters"] if all_trainable else ["total", "trainable", "frozen", "buffers"]
    heads = ["model", "input", *heads, "FLOPs", "activations"]
    return table(rows, heads, align="ln" + "r" * (len(heads) - 2), width=width)


def _layers(model: ModelCount, width: int) -> str:
    heads = ["layer", "type", "output", "parameters", "FLOPs", "activations"]
    rows = [
        [
            layer.name,
            layer.type,
            _shape(layer.output_shape),
            count(layer.parameters),
            count(layer.flops),
            num_bytes(layer.activation_bytes),
        ]
        for layer in model.layers
    ]
    sums: list[tuple[str, object]] = [("model", model.spec), ("input", _shape(model.input))]
    sums += _sums(model).items()
    sums += [
        ("FLOPs per image", count(model.flops)),
        ("activations per image", f"{num_bytes(model.activation_bytes)} at float32"),
    ]
    return joined(table(rows, heads, align="llnrrr", width=width), key_values(sums, width=width))


def _sums(model: ModelCount) -> dict[str, str]:
    return {
        "total": count(model.total),
        "trainable": count(model.trainable),
        "frozen": count(model.frozen),
        "buffers": count(model.buffers),
    }


def _shape(shape: Sequence[int] | None) -> str | None:
    return None if shape is None else "x".join(map(str, shape))
