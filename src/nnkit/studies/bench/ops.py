"""`nnkit bench ops`: a convolution by nested loops, by unfold and by torch, as the image grows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from nnkit import ops
from nnkit.errors import UsageError
from nnkit.results.bench_ops import BenchOpsResult, Direction, OpCell
from nnkit.results.environment import Environment
from nnkit.runs.environment import environment
from nnkit.studies.bench.live_memory import peak_bytes
from nnkit.studies.bench.timing import Timing, interleave, paired_ratio
from nnkit.training.devices import choose_device, set_threads

SIZES = (8, 16, 32, 64, 128)
LARGEST_NAIVE = 32
"""Past this many rows, and for a backward pass, the nested loops take many seconds: they are left out."""

_CONVOLUTIONS: Mapping[str, Callable[..., Tensor]] = {
    "naive": ops.naive_conv2d,
    "unfold": ops.conv2d,
    "torch": F.conv2d,
}


def bench_ops(
    *,
    sizes: Sequence[int] = SIZES,
    batch: int = 16,
    in_channels: int = 3,
    out_channels: int = 16,
    kernel: int = 3,
    repeats: int = 20,
    seed: int = 0,
    device: str = "auto",
    threads: int | None = None,
) -> BenchOpsResult:
    """Time the three convolutions on square images of each size; "backward" is forward and backward.

    Each size is one interleaved run of all its arms. `UsageError` for sizes smaller than the kernel.
    """
    numbers = {
        "batch": batch,
        "in_channels": in_channels,
        "out_channels": out_channels,
        "kernel": kernel,
        "repeats": repeats,
    }
    for name, value in numbers.items():
        if value < 1:
            raise UsageError(f"{name}={value}: expected at least 1")
    if not sizes or min(sizes) < kernel:
        raise UsageError(f"sizes={list(sizes)}: expected sides of at least the kernel's {kernel}")
    set_threads(threads)
    where = choose_device(device)
    cells: list[OpCell] = []
    for size in sizes:
        generator = torch.Generator().manual_seed(seed)
        inputs = torch.randn(batch, in_channels, size, size, generator=generator).to(where)
        weight = torch.randn(out_channels, in_channels, kernel, kernel, generator=generator).to(where)
        cells += _cells(inputs, weight, repeats, seed)
    return BenchOpsResult(
        environment=Environment(**environment()),
        batch=batch,
        in_channels=in_channels,
        out_channels=out_channels,
        kernel=kernel,
        device=str(where),
        threads=torch.get_num_threads(),
        cells=tuple(cells),
    )


def _cells(inputs: Tensor, weight: Tensor, repeats: int, seed: int) -> list[OpCell]:
    """All arms at one size, in one interleaved run."""
    size = inputs.shape[-1]
    arms: dict[tuple[str, Direction], Callable[[], object]] = {}
    for name, convolution in _CONVOLUTIONS.items():
        if name == "naive" and size > LARGEST_NAIVE:
            continue
        arms[name, "forward"] = _forward(convolution, inputs, weight)
        if name != "naive":
            arms[name, "backward"] = _both(convolution, inputs, weight)
    quick = {key: arm for key, arm in arms.items() if key[0] != "naive"}
    slow = {key: arm for key, arm in arms.items() if key[0] == "naive"}
    # Nested loops run in few rounds beside torch again: their ratio is in the thousands, not in doubt.
    few = {**slow, **{key: arm for key, arm in quick.items() if key[0] == "torch"}} if slow else {}
    timings = _time(quick, repeats, seed, inputs.device)
    loops = _time(few, min(3, repeats), seed, inputs.device)
    rows = [_row(key, size, timings, arm) for key, arm in quick.items()]
    return rows + [_row(key, size, loops, arm) for key, arm in slow.items()]


def _time(
    arms: Mapping[tuple[str, Direction], Callable[[], object]], repeats: int, seed: int, device: torch.device
) -> dict[str, Timing]:
    named = {"/".join(key): arm for key, arm in arms.items()}
    return interleave(named, rounds=repeats, seed=seed, device=device) if named else {}


def _row(
    key: tuple[str, Direction], size: int, timings: Mapping[str, Timing], arm: Callable[[], object]
) -> OpCell:
    name, direction = key
    timing = timings[f"{name}/{direction}"]
    ratio = paired_ratio(timing, timings[f"torch/{direction}"])
    return OpCell(
        name=name,
        direction=direction,
        size=size,
        n=len(timing.samples),
        median_s=timing.median_s,
        iqr_s=timing.iqr_s,
        noisy=timing.noisy,
        peak_bytes=peak_bytes(arm),
        ratio=ratio.value,
        ci95=(ratio.low, ratio.high),
    )


def _forward(convolution: Callable[..., Tensor], inputs: Tensor, weight: Tensor) -> Callable[[], object]:
    def arm() -> Tensor:
        with torch.no_grad():
            return convolution(inputs, weight, padding=1)

    return arm


def _both(convolution: Callable[..., Tensor], inputs: Tensor, weight: Tensor) -> Callable[[], object]:
    own_inputs, own_weight = inputs.clone().requires_grad_(), weight.clone().requires_grad_()

    def arm() -> object:
        output = convolution(own_inputs, own_weight, padding=1)
        return torch.autograd.grad(output.sum(), (own_inputs, own_weight))

    return arm
