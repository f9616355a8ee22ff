"""What `bench ops` times: the arms, their ratios on a clock that counts bytes, and what is refused."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from fake_clock import NANOSECOND, FakeClock, Memory
from fake_clock import clock as clock
from nnkit.errors import UsageError
from nnkit.results.bench_ops import BenchOpsResult
from nnkit.studies.bench.ops import bench_ops

WAYS = ("forward", "backward")


@pytest.fixture(scope="module")
def result() -> Iterator[BenchOpsResult]:
    threads = torch.get_num_threads()
    yield bench_ops(sizes=(4, 40), batch=2, repeats=1, threads=1, device="cpu", in_channels=1, out_channels=4)
    torch.set_num_threads(threads)


def test_each_size_holds_unfold_and_torch_both_ways_and_the_loops_forward_where_they_end(
    result: BenchOpsResult,
) -> None:
    cells = {(cell["name"], cell["size"], cell["direction"]) for cell in result.cells}
    expected = {(name, size, way) for name in ("unfold", "torch") for size in (4, 40) for way in WAYS}
    expected.add(("naive", 4, "forward"))
    assert cells == expected
    assert len(result.cells) == len(expected)


def test_the_loops_run_up_to_32_rows() -> None:
    found = bench_ops(
        sizes=(32, 33), batch=1, in_channels=1, out_channels=1, kernel=1, repeats=1, device="cpu"
    )
    assert [cell["size"] for cell in found.cells if cell["name"] == "naive"] == [32]


def test_unfold_takes_more_memory_than_torch(result: BenchOpsResult) -> None:
    at = {(c["name"], c["size"], c["direction"]): c for c in result.cells}
    output = 4 * 2 * 4 * 40 * 40
    assert at["torch", 40, "forward"]["peak_bytes"] == output
    # The nine values under the kernel of each of 40 × 40 places, and the output.
    assert at["unfold", 40, "forward"]["peak_bytes"] >= output + 4 * 2 * 9 * 40 * 40


def moved_bytes(monkeypatch: pytest.MonkeyPatch, clock: FakeClock, **options: Any) -> BenchOpsResult:
    """The benchmark on a machine that takes a nanosecond for each byte that its tensors move."""
    with Memory(clock):
        return bench_ops(**{"batch": 1, "threads": 1, "device": "cpu", **options})


def test_medians_and_ratios_are_of_the_time_over_torchs_in_the_same_direction(
    monkeypatch: pytest.MonkeyPatch, clock: FakeClock
) -> None:
    result = moved_bytes(monkeypatch, clock, sizes=(4,), repeats=5, in_channels=2, out_channels=4)
    at = {(cell["name"], cell["direction"]): cell for cell in result.cells}
    # torch reads the images, 2 × 4 × 4, and the kernels, 4 × 2 × 3 × 3, and writes 4 × 4 × 4.
    torchs = NANOSECOND * 4 * (32 + 72 + 64)
    assert at["torch", "forward"]["median_s"] == pytest.approx(torchs, rel=1e-4)
    for (name, way), cell in at.items():
        ratio = cell["median_s"] / at["torch", way]["median_s"]
        assert cell["ratio"] == pytest.approx(ratio, rel=1e-3)
        assert cell["ci95"] == pytest.approx([ratio, ratio], rel=1e-3)
        assert cell["iqr_s"] == pytest.approx(0, abs=1e-11)
        assert cell["noisy"] is False
        assert cell["n"] == (3 if name == "naive" else 5)
        assert cell["size"] == 4
    # The backward pass reads and writes at least the gradients of images and kernels beside the forward.
    for name in ("torch", "unfold"):
        more = at[name, "backward"]["median_s"] - at[name, "forward"]["median_s"]
        assert more > NANOSECOND * 4 * (32 + 72)
    assert at["unfold", "forward"]["ratio"] > 1.5
    assert at["naive", "forward"]["ratio"] > 10


def test_the_same_seed_times_the_same_values(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[torch.Tensor] = []
    plain = torch.randn

    def randn(*size: int, **known: Any) -> torch.Tensor:
        seen.append(plain(*size, **known))
        return seen[-1]

    monkeypatch.setattr(torch, "randn", randn)
    options = {"sizes": (4,), "batch": 3, "in_channels": 2, "out_channels": 5, "kernel": 2, "repeats": 1}
    before = torch.get_rng_state()
    for seed in (0, 0, 1):
        bench_ops(**options, seed=seed, device="cpu")
    assert torch.equal(torch.get_rng_state(), before)
    first, again, other = seen[:2], seen[2:4], seen[4:]
    assert [tuple(values.shape) for values in first] == [(3, 2, 4, 4), (5, 2, 2, 2)]
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])


def test_the_document_says_what_was_timed() -> None:
    threads = torch.get_num_threads()
    with contextlib.ExitStack() as stack:
        stack.callback(torch.set_num_threads, threads)
        found = bench_ops(
            sizes=(4,), batch=3, in_channels=2, out_channels=5, kernel=2, repeats=1, threads=1, device="cpu"
        )
    assert (found.batch, found.in_channels, found.out_channels, found.kernel) == (3, 2, 5, 2)
    assert (found.device, found.threads) == ("cpu", 1)
    assert all(cell["n"] == 1 for cell in found.cells)


@pytest.mark.parametrize(
    "wrong",
    [
        {"sizes": (8, 2)},
        {"sizes": (4,), "kernel": 5},
        {"sizes": ()},
        {"batch": 0},
        {"in_channels": 0},
        {"out_channels": -1},
        {"kernel": 0},
        {"repeats": 0},
    ],
)
def test_sizes_and_counts_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"{list(wrong)[-1] if wrong.get('kernel') != 5 else 'sizes'}="):
        bench_ops(**wrong)


@pytest.mark.gpu
def test_on_a_gpu_each_sample_waits_for_the_device_before_and_after(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[object] = []
    plain = torch.cuda.synchronize

    def synchronise(device: torch.device) -> None:
        waits.append(device)
        plain(device)

    monkeypatch.setattr(torch.cuda, "synchronize", synchronise)
    bench_ops(sizes=(64,), batch=1, repeats=3, device="cuda")
    # Two arms in two directions, warmed up once, then three rounds.
    assert len(waits) == 2 * 4 * (1 + 3)
