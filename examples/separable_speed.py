"""Implementations of out = A · (w · x) · Bᵀ on a CPU, timed in the same interleaved rounds.

10,000 random images of 3×32×32, float32 in and out; the pipeline is the reference one. Each form is
also timed as a multiple of the floor: reading the input once and writing the output once. Two of them are
what nnkit uses (`nnkit.surrogates.separable_map`); the others were slower. Run it with nothing else on
the machine:

    python examples/separable_speed.py --batch-size 1000
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from nnkit.present.layout import table
from nnkit.studies.bench.timing import interleave, paired_ratio
from nnkit.surrogates.pipelines import parse_pipeline
from nnkit.surrogates.pipelines.analysis import analyse
from nnkit.surrogates.separable_map import MAX_TAPS, narrowed, separable_map

IMAGES = 10_000
Form = Callable[[Tensor], Tensor]


def make_forms() -> dict[str, Form]:
    """Each a function of float images (B, 3, 32, 32)."""
    found = analyse(parse_pipeline("reference"), (3, 32, 32))
    assert found.rows is not None
    assert found.cols is not None
    assert found.channels is not None
    a, b, w = found.rows.float(), found.cols.float(), found.channels.float()
    values, columns = narrowed(a, MAX_TAPS)
    assert columns is not None
    kernel = b[:, :, None, None].contiguous(memory_format=torch.channels_last)

    def product_mix(x: Tensor) -> Tensor:
        return torch.bmm(w.expand(len(x), -1, -1), x.flatten(2)).view(-1, 32, 32)

    def sum_mix(x: Tensor) -> Tensor:
        return x[:, 0] * w[0, 0] + x[:, 1] * w[0, 1] + x[:, 2] * w[0, 2]

    def taps(m: Tensor) -> Tensor:
        parts = [m[:, columns[:, k]] * values[:, k, None] for k in range(values.shape[1])]
        return sum(parts[1:], parts[0])

    def convolve(left: Tensor) -> Tensor:
        return F.conv2d(left[:, :, None].permute(0, 3, 1, 2), kernel).permute(0, 2, 3, 1)

    compiled = torch.compile(separable_map, dynamic=False)
    return {
        "einsum": lambda x: torch.einsum("oc,ph,qw,bchw->bopq", w, a, b, x),
        "products": lambda x: a @ (product_mix(x) @ b.T),
        "products, B as a convolution (eager)": lambda x: separable_map(x, w, a, b),
        "A and B as convolutions": lambda x: convolve(
            F.conv2d(product_mix(x)[:, :, None], a[:, :, None, None])[:, :, 0]
        ),
        "taps of A, not compiled": lambda x: taps(sum_mix(x)) @ b.T,
        "compiled products": torch.compile(lambda x: a @ (sum_mix(x) @ b.T), dynamic=False),
        "compiled taps, B as a product": torch.compile(lambda x: taps(sum_mix(x)) @ b.T, dynamic=False),
        "compiled taps, B as a convolution in the graph": torch.compile(
            lambda x: convolve(taps(sum_mix(x))), dynamic=False
        ),
        "compiled taps, B as a convolution outside (compiled)": lambda x: compiled(
            x, w, values, b, row_columns=columns
        ),
    }


def main() -> None:
    """Print each form's time, its multiple of the floor, and how far it is from the first."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--batch-size", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    images = torch.rand(IMAGES, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    batches, words = images.split(options.batch_size), images.flatten().view(torch.int64)
    output = torch.empty(IMAGES, 28 * 28)
    forms = make_forms()

    def floor() -> Tensor:
        output.fill_(0)
        return words.sum()

    def arm(form: Form) -> Callable[[], object]:
        return lambda: [form(batch) for batch in batches][-1]

    with torch.inference_mode():
        first = forms["einsum"](batches[0]).flatten()
        errors = {name: (form(batches[0]).flatten() - first).abs().max() for name, form in forms.items()}
        arms = {"floor": floor, **{name: arm(form) for name, form in forms.items()}}
        timings = interleave(arms, rounds=options.rounds, warm_up=2)
    rows = []
    for name, timing in timings.items():
        ratio = paired_ratio(timing, timings["floor"])
        error = f"{errors[name]:.1e}" if name in errors else ""
        spread = f"{ratio.value:.2f} [{ratio.low:.2f}, {ratio.high:.2f}]"
        rows.append([name, f"{1e3 * timing.median_s:.2f} ms", spread, error])
    heads = ["form", "median", "× floor", "from einsum"]
    print(f"batches of {options.batch_size}, {torch.get_num_threads()} threads, {options.rounds} rounds\n")
    print(table(rows, heads, align="nrnr", width=110))


if __name__ == "__main__":
    main()
