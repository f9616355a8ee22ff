"""The cost of one image: floating-point operations and memory of the outputs, by layer.

The model runs once, in eval mode, on torch's meta device, where tensors have shapes and no values; a model
that cannot run there runs on the CPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from nnkit.build import ValidatedSpec
from nnkit.errors import NnkitError, UsageError
from nnkit.results.count_params import Shape
from nnkit.studies.count_params.parameter_count import build_on

FLOAT32_BYTES = 4


@dataclass(frozen=True)
class LayerCost:
    """One layer's part. `output_shape` is the last call's without the batch, None where none was."""

    flops: int
    activation_bytes: int
    output_shape: tuple[int, ...] | None


@dataclass(frozen=True)
class Cost:
    """The whole model's cost, and each layer's by its name.

    `flops` counts a multiply-add as two, in matrix products, convolutions and attention, as torch's
    `FlopCounterMode` does; biases, activations, poolings and norms are not counted, what a forward computes
    with plain functions is. `activation_bytes` are of all layers' outputs at float32, each memory once (a
    view or a change in place takes none); outputs of plain functions such as `F.relu` are not counted.
    """

    flops: int
    activation_bytes: int
    layers: dict[str, LayerCost]


def layers_of(model: nn.Module) -> dict[str, nn.Module]:
    """The layers by name: leaf modules, and those with parameters or buffers of their own."""
    return {name: module for name, module in model.named_modules() if _is_layer(module)}


def model_cost(validated: ValidatedSpec, model: nn.Module, shape: Shape) -> Cost:
    """The cost of one image of `shape`; `UsageError` where the model cannot take it. Draws no gradient."""
    on_meta = all(tensor.is_meta for tensor in (*model.parameters(), *model.buffers()))
    try:
        if on_meta:
            return _measure(model, torch.zeros(1, *shape, device="meta"))
    except NnkitError:
        raise
    except Exception:
        # Code that looks at values cannot run on meta; a shape that does not fit fails on the CPU as well.
        model = build_on(validated, "cpu")
    try:
        return _measure(model, torch.zeros(1, *shape))
    except NnkitError:
        raise
    except Exception as error:
        size = "x".join(map(str, shape))
        raise UsageError(
            f'the model "{validated.spec}" cannot take an image of {size}: {error}',
            hint="give the input that it is made for: --input CxHxW, such as --input 3x32x32",
        ) from error


def _is_layer(module: nn.Module) -> bool:
    own = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
    return bool(own) or not any(True for _ in module.children())


def _measure(model: nn.Module, image: Tensor) -> Cost:
    layers = layers_of(model.eval())
    outputs = _Outputs(image)
    counter = FlopCounterMode(display=False)
    with ExitStack() as stack:
        for name, layer in layers.items():
            handle = layer.register_forward_hook(outputs.hook(name))
            stack.callback(handle.remove)
        with torch.no_grad(), torch.random.fork_rng(devices=[]), counter:
            model(image)
    flops = _flops_by_module(model, counter)
    costs = {
        name: LayerCost(
            _own_flops(name, layer, flops), outputs.num_bytes.get(name, 0), outputs.shapes.get(name)
        )
        for name, layer in layers.items()
    }
    return Cost(counter.get_total_flops(), sum(outputs.num_bytes.values()), costs)


class _Outputs:
    """Shapes and bytes of layers' outputs, by layer; memory that was counted before is left out."""

    def __init__(self, image: Tensor) -> None:
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.num_bytes: dict[str, int] = {}
        # Tensors are kept, so that no freed memory comes back under the same identity.
        self._kept = [image]
        self._seen = {_memory(image)}

    def hook(self, name: str) -> Any:
        def remember(_: nn.Module, __: Any, output: Any) -> None:
            for tensor in _tensors(output):
                self.shapes[name] = tuple(tensor.shape[1:])
                self.num_bytes[name] = self.num_bytes.get(name, 0) + self._new_bytes(tensor)

        return remember

    def _new_bytes(self, tensor: Tensor) -> int:
        if _memory(tensor) in self._seen:
            return 0
        self._kept.append(tensor)
        self._seen.add(_memory(tensor))
        return tensor.untyped_storage().nbytes() // tensor.element_size() * FLOAT32_BYTES


def _memory(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)  # data_ptr() is 0 on meta


def _tensors(output: Any) -> Iterator[Tensor]:
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, (list, tuple)):
        for part in output:
            yield from _tensors(part)
    elif isinstance(output, dict):
        yield from _tensors(list(output.values()))


def _flops_by_module(model: nn.Module, counter: FlopCounterMode) -> dict[str, int]:
    """Operations in each module that was called, its parts included, by the module's name in the model."""
    root = type(model).__name__
    return {
        name.removeprefix(root).removeprefix("."): sum(operations.values())
        for name, operations in counter.get_flop_counts().items()
        if name == root or name.startswith(f"{root}.")
    }


def _own_flops(name: str, module: nn.Module, flops: dict[str, int]) -> int:
    """Operations of a module without those of its parts."""
    return flops.get(name, 0) - sum(
        _flops_within(_join(name, part), child, flops) for part, child in module.named_children()
    )


def _flops_within(name: str, module: nn.Module, flops: dict[str, int]) -> int:
    if name in flops:
        return flops[name]
    return sum(_flops_within(_join(name, part), child, flops) for part, child in module.named_children())


def _join(name: str, part: str) -> str:
    return f"{name}.{part}" if name else part
