"""A pipeline as `nnkit info` describes it: its steps, and what it is as a linear map."""

from __future__ import annotations

from math import prod

from nnkit.present.text import count, number
from nnkit.results.info import PipelineInfo


def pipeline_pairs(facts: PipelineInfo) -> list[tuple[str, object]]:
    """Rows of key and value: the steps and how they are computed, then what was found of them."""
    how = "on PIL images" if facts.backend == "pil" else f"on {facts.dtype} tensors"
    how += "" if facts.antialias else ", without antialiasing"
    pairs: list[tuple[str, object]] = [("pipeline", f"{', '.join(facts.steps)}; {how}")]
    if facts.not_examined:
        return [*pairs, ("as a map", f"not examined: {facts.not_examined}")]
    if not facts.affine:
        return [*pairs, ("as a map", f"not linear: off by {number(facts.max_error)} from any matrix")]
    kind = "linear" if facts.linear else "affine (linear, and an offset)"
    apart = "separable" if facts.separable else "not separable"
    rank = f"rank {count(facts.rank)} of {count(prod(facts.output_shape or ()))}"
    exact = f"{count(facts.parameters)} parameters, off by {number(facts.max_error)}"
    return [*pairs, ("as a map", f"{kind}, {apart}, {rank}"), ("exact operator", exact)]
