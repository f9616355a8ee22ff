"""How many parameters a model has, without its memory: it is built on torch's meta device."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from nnkit.build import ValidatedSpec, plan
from nnkit.errors import PluginError, UsageError
from nnkit.spec import Spec


def total_parameters(spec: Spec | str, known: Mapping[str, Any] | None = None) -> int:
    """The number of parameters of a model, frozen ones included, tied ones once.

    `known` are the settings that a dataset would fill in. Torch's global generator is left as it was.
    `UsageError` for settings that the model refuses, `PluginError` where it cannot be built or counted.
    """
    return num_values(build_model(plan("models", spec, known=known)))


def num_values(model: nn.Module) -> int:
    """The number of parameters of a module and its submodules, tied ones once."""
    return sum(parameter.numel() for parameter in model.parameters())


def build_model(validated: ValidatedSpec) -> nn.Module:
    """The model on the meta device, or on the CPU where it cannot be built on meta.

    `PluginError` where it breaks on both, is no `nn.Module`, or has parameters without a shape.
    """
    try:
        model = build_on(validated, "meta")
    except UsageError:
        raise
    except PluginError:
        model = build_on(validated, "cpu")
    _check_countable(validated, model)
    return model


def build_on(validated: ValidatedSpec, device: str) -> nn.Module:
    """The model, as new tensors go to `device`. Torch's global generator is left as it was."""
    # Building on meta draws no numbers, but an author's own code may. Layers of no values warn.
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]), torch.device(device):
        warnings.simplefilter("ignore")
        model: nn.Module = validated.make()
    return model


def _check_countable(validated: ValidatedSpec, model: object) -> None:
    entry = validated.component.entry
    who = f'the model "{validated.spec}" of {entry.provider} {entry.version}'
    if not isinstance(model, nn.Module):
        raise PluginError(f"{who} is a {type(model).__name__}, not a torch.nn.Module")
    lazy = [name for name, parameter in model.named_parameters() if is_lazy(parameter)]
    lazy += [name for name, buffer in model.named_buffers() if is_lazy(buffer)]
    if lazy:
        raise PluginError(
            f"{who} cannot be counted: {', '.join(lazy[:5])} has no shape before the first batch",
            hint="lazy layers take their size from data: give the layer its input size in the model",
        )
