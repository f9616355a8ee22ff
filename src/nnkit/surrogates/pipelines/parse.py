"""Pipelines read from text: a name, or steps between commas."""

from __future__ import annotations

import re
from collections.abc import Mapping

from nnkit.errors import ConfigError, Mistake, UsageError, did_you_mean, quote
from nnkit.surrogates.pipelines.pipeline import Backend, DType, Pipeline, place_of
from nnkit.surrogates.pipelines.steps import STEPS, Step, WrongStep, split

PIPELINES: Mapping[str, str] = {"reference": "resize(28),grayscale,hflip,vflip"}


def parse_pipeline(
    text: str, *, dtype: DType | None = None, antialias: bool = True, backend: Backend = "tensor"
) -> Pipeline:
    """Read a pipeline: a name of `PIPELINES`, or steps between commas.

    `dtype` None is what the backend computes in: float for tensors, uint8 for PIL. Raises `UsageError` that
    names each wrong step and its position; several mistakes are reported at once.
    """
    steps: list[Step] = []
    mistakes: list[Mistake] = []
    pieces = _pieces(PIPELINES.get(text.strip(), text))
    for position, piece in enumerate(pieces):
        try:
            steps.append(_read_step(piece, alone=len(pieces) == 1))
        except WrongStep as wrong:
            mistakes.append(Mistake(place_of(position, len(pieces), piece), wrong.message, wrong.hint))
    if len(mistakes) == 1:
        raise UsageError(f"{mistakes[0].path}: {mistakes[0].message}", hint=mistakes[0].hint)
    if mistakes:
        raise ConfigError(mistakes)
    default: DType = "uint8" if backend == "pil" else "float"
    return Pipeline(tuple(steps), dtype=dtype or default, antialias=antialias, backend=backend)


def _pieces(text: str) -> list[str]:
    if not text.strip():
        raise UsageError(
            "the pipeline is empty", hint=f"write reference, or steps such as {PIPELINES['reference']}"
        )
    try:
        return split(text)
    except WrongStep as wrong:
        raise UsageError(f"pipeline {quote(text)}: {wrong.message}", hint=wrong.hint) from None


def _read_step(text: str, *, alone: bool) -> Step:
    match = re.fullmatch(r"([^()\[\]\s]+)\s*(?:\((.*)\))?", text, re.DOTALL)
    if match is None:
        raise WrongStep("is no step" if text else "is empty", "known: " + ", ".join(STEPS))
    name, inside = match[1], (match[2] or "").strip()
    _refuse_chance(name, inside)
    if name in PIPELINES and not alone:
        raise WrongStep(
            "is a whole pipeline and cannot be combined with steps", f"write its steps: {PIPELINES[name]}"
        )
    if name not in STEPS:
        raise WrongStep("is unknown", did_you_mean(name, [*STEPS, *(PIPELINES if alone else ())]))
    kind = STEPS[name]
    arguments = split(inside) if inside else []
    if len(arguments) not in kind.arity:
        plural = "" if len(arguments) == 1 else "s"
        raise WrongStep(f"has {len(arguments)} argument{plural}", f"write {kind.usage}")
    try:
        return Step(name, kind.read(arguments))
    except WrongStep as wrong:
        raise WrongStep(wrong.message, wrong.hint or f"write {kind.usage}") from None


_CHANCE = re.compile(
    r"rand.*|.*jitter|(auto|trivial)augment.*|augmix|mixup|cutmix|elastic.*|.*noise|.*dropout|erasing"
)


def _refuse_chance(name: str, inside: str) -> None:
    if _CHANCE.fullmatch(re.sub(r"[-_]", "", name).lower()):
        raise WrongStep(
            "is random, so its target is no function of its input",
            "every step of a pipeline must be deterministic: " + ", ".join(STEPS),
        )
    if re.match(r"p\s*=", inside):
        raise WrongStep(
            "is applied by chance, so its target is no function of its input",
            f"a step is always applied: write {name} without p",
        )
