"""`nnkit count-params`: parameters and cost of models, and the setting that matches another's count."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from nnkit import registry, schema
from nnkit.build import ValidatedSpec, plan
from nnkit.errors import GateError, UsageError, quote
from nnkit.results.count_params import CountResult, LayerCount, MatchCount, ModelCount, Shape
from nnkit.spec import Spec, parse
from nnkit.studies.count_params.cost import Cost, layers_of, model_cost
from nnkit.studies.count_params.match import closest_setting
from nnkit.studies.count_params.parameter_count import build_model
from nnkit.studies.percent import read_share

ROOT = "(model)"
"""The name of a layer that is the whole model: parameters that belong to none of its parts."""
_DEFAULT_SIZE = {1: (28, 28)}
_OTHER_SIZE = (32, 32)


def count_params(
    specs: Sequence[Spec | str],
    *,
    input: str | None = None,
    match: Spec | str | None = None,
    vary: str | None = None,
    tolerance: str | None = None,
) -> CountResult:
    """Count models; with `match`, find the value of the setting `vary` that comes closest to its count.

    `input` is "CxHxW"; left out, what the model's own settings and defaults say, else 28x28 for one channel
    and 32x32 for more. `match` is a spec or a number of parameters, `tolerance` "1%" (the default) or "0.01".
    The result of a match outside the tolerance comes back all the same: see `check_tolerance`.
    """
    read = [parse(spec) if isinstance(spec, str) else spec for spec in specs]
    shape = None if input is None else read_input(input)
    if match is None:
        if vary is not None or tolerance is not None:
            option = "--vary" if vary is not None else "--tolerance"
            raise UsageError(f"{option} is for a match", hint="say what to match: --match mnist-convnet")
        return CountResult(models=tuple(count_model(spec, shape=shape) for spec in read))
    if len(read) != 1 or vary is None:
        wrong = f"{len(read)} models are given" if vary else "no setting to vary is given"
        raise UsageError(
            f"a match varies one setting of one model, but {wrong}",
            hint="nnkit count-params varres-net --match mnist-convnet --vary width",
        )
    return _match(read[0], match, vary, shape=shape, tolerance=read_share(tolerance or "1%", "--tolerance"))


def check_tolerance(result: CountResult) -> None:
    """`GateError` where a match was asked for and the closest value lies outside the tolerance."""
    match = result.match
    if match is not None and not match.within_tolerance:
        off, allowed = 100 * abs(match.difference) / match.target_total, 100 * match.tolerance
        raise GateError(
            f"no {match.parameter} matches {match.target_total:,} parameters within {allowed:.4g} %: "
            f"the closest, {match.value}, has {match.total:,}, which is off by {_percent(off)} %",
            hint="allow more with --tolerance, or vary another setting",
        )


def _percent(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def count_model(spec: Spec, *, shape: Shape | None = None) -> ModelCount:
    """Count one model for images of `shape`, or of its own default shape. Tied parameters count once."""
    known = _known(spec, shape)
    validated = plan("models", spec, known=known)
    model = build_model(validated)
    image = shape or _own_shape(validated, model)
    cost = model_cost(validated, model, image)
    layers = _count_layers(model, cost)
    trainable = sum(layer.trainable for layer in layers)
    frozen = sum(layer.frozen for layer in layers)
    return ModelCount(
        spec=str(spec), total=trainable + frozen, trainable=trainable, frozen=frozen,
        buffers=sum(layer.buffers for layer in layers), flops=cost.flops,
        activation_bytes=cost.activation_bytes, input=image, layers=layers,
    )  # fmt: skip


def read_input(text: str) -> Shape:
    """ "1x28x28" or "1×28×28" as channels, height and width, each at least 1."""
    found = re.fullmatch(r"\s*([1-9]\d{0,6})[x×X]([1-9]\d{0,6})[x×X]([1-9]\d{0,6})\s*", text)
    if found is None:
        raise UsageError(f"--input {quote(text)} is not of the form CxHxW", hint="write --input 1x28x28")
    channels, height, width = map(int, found.groups())
    return channels, height, width


def _match(spec: Spec, match: Spec | str, vary: str, *, shape: Shape | None, tolerance: float) -> CountResult:
    if vary == "in_channels" and shape is not None:
        raise UsageError("--input fixes in_channels, so it cannot be varied", hint="leave --input out")
    number = _as_number(match)
    target = None if number is not None else count_model(_as_spec(match), shape=shape)
    total = target.total if target else number or 0
    if total < 1:
        raise UsageError(f"{quote(str(match))} has no parameters to match", hint="give a larger target")
    found = closest_setting(spec, vary, total, known=_known(spec, shape))
    chosen = Spec(spec.name, {**spec.settings, vary: found.value})
    models = [count_model(chosen, shape=shape), *([target] if target else [])]
    return CountResult(
        models=tuple(models),
        match=MatchCount(
            target=str(match), target_total=total, parameter=vary, value=found.value, total=found.total,
            difference=found.difference, tolerance=tolerance,
            within_tolerance=abs(found.difference) <= tolerance * total,
        ),
    )  # fmt: skip


def _as_number(match: Spec | str) -> int | None:
    digits = match.replace(",", "").replace("_", "") if isinstance(match, str) else ""
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 19 else None


def _as_spec(match: Spec | str) -> Spec:
    return parse(match) if isinstance(match, str) else match


def _known(spec: Spec, shape: Shape | None) -> Mapping[str, Any]:
    """What `shape` fills in; without one, what a model needs and has no default for."""
    settings = schema.settings_of(registry.load(registry.find("models", spec.name)).cls)
    if shape is not None:
        known: dict[str, Any] = {"in_channels": shape[0], "image_size": shape[1:]}
        _check_agreement(spec, settings, known, shape)
        return known
    defaults = {"in_channels": 1, "image_size": _DEFAULT_SIZE[1]}
    return {
        name: value
        for name, value in defaults.items()
        if name in settings and settings[name].required and name not in spec.settings
    }


def _check_agreement(
    spec: Spec, settings: Mapping[str, schema.Setting], known: Mapping[str, Any], shape: Shape
) -> None:
    given, _ = schema.check(settings, spec.settings, "model")
    for name, value in known.items():
        if name in given and given[name] is not None and given[name] != value:
            raise UsageError(
                f'"{spec}" says {name}={_show(given[name])}, but --input {_show(shape)} says {_show(value)}',
                hint="leave one of them out",
            )


def _show(value: object) -> str:
    return "x".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _own_shape(validated: ValidatedSpec, model: nn.Module) -> Shape:
    """The image that the model is made for: by its settings and defaults, else by its first convolution."""
    settings = schema.settings_of(validated.component.cls)
    values = {name: setting.default for name, setting in settings.items() if not setting.required}
    values |= validated.settings
    channels = values.get("in_channels")
    if not isinstance(channels, int):
        channels = next((m.in_channels for m in model.modules() if isinstance(m, nn.Conv2d)), 1)
    height, width = values.get("image_size") or _DEFAULT_SIZE.get(channels, _OTHER_SIZE)
    return channels, height, width


def _count_layers(model: nn.Module, cost: Cost) -> tuple[LayerCount, ...]:
    seen: set[int] = set()
    return tuple(_count_layer(name, layer, cost, seen) for name, layer in layers_of(model).items())


def _count_layer(name: str, layer: nn.Module, cost: Cost, seen: set[int]) -> LayerCount:
    parameters = _unseen(layer.parameters(recurse=False), seen)
    buffers = _unseen(layer.buffers(recurse=False), seen)
    trainable = sum(p.numel() for p in parameters if p.requires_grad)
    total = sum(p.numel() for p in parameters)
    part = cost.layers[name]
    return LayerCount(
        name=name or ROOT, type=type(layer).__name__, parameters=total, trainable=trainable,
        frozen=total - trainable, buffers=sum(b.numel() for b in buffers), flops=part.flops,
        activation_bytes=part.activation_bytes, output_shape=part.output_shape,
    )  # fmt: skip


def _unseen(tensors: Any, seen: set[int]) -> list[Tensor]:
    new = [tensor for tensor in tensors if id(tensor) not in seen]
    seen.update(map(id, new))
    return new
