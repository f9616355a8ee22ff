"""Small convolutions, drawn at random, batches of none among them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from hypothesis import strategies as st
from torch import Tensor

Pair = tuple[int, int]


@dataclass(frozen=True)
class ConvCase:
    batch: int
    in_channels: int
    out_channels: int
    size: Pair
    kernel_size: Pair
    stride: Pair
    padding: Pair
    dilation: Pair
    seed: int

    @property
    def where(self) -> dict[str, Pair]:
        return {"stride": self.stride, "padding": self.padding, "dilation": self.dilation}

    def draw(self, *shape: int) -> Tensor:
        generator = torch.Generator().manual_seed(self.seed + len(shape))
        return torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)

    def inputs(self) -> Tensor:
        return self.draw(self.batch, self.in_channels, *self.size)

    def kernel(self) -> Tensor:
        return (
            self.draw(self.out_channels, self.in_channels, *self.kernel_size)
            .detach()
            .mul(0.5)
            .requires_grad_()
        )


@st.composite
def conv_cases(
    draw: st.DrawFn, *, max_channels: int = 2, max_kernel: int = 3, max_extra: int = 3
) -> ConvCase:
    def pair(low: int, high: int) -> Pair:
        return draw(st.tuples(st.integers(low, high), st.integers(low, high)))

    kernel_size, stride, padding, dilation = pair(1, max_kernel), pair(1, 3), pair(0, 2), pair(1, 2)
    spans = [step * (kernel - 1) + 1 for step, kernel in zip(dilation, kernel_size, strict=True)]
    smallest = [max(1, span - 2 * border) for span, border in zip(spans, padding, strict=True)]
    extra = pair(0, max_extra)
    return ConvCase(
        batch=draw(st.integers(0, 2)),
        in_channels=draw(st.integers(1, max_channels)),
        out_channels=draw(st.integers(1, max_channels)),
        size=(smallest[0] + extra[0], smallest[1] + extra[1]),
        kernel_size=kernel_size,
        stride=stride,
        padding=padding,
        dilation=dilation,
        seed=draw(st.integers(0, 1000)),
    )
