"""How buckets are cut into steps, against lists in plain loops: unshuffled, each size a bucket by itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnkit.data.bucketing import plan_batches

Shape = tuple[int, int]
Rows = list[tuple[list[int], int, int]]

# Few sizes, so that a bucket fills several steps; prime areas part the limits on pixels.
SHAPES = [(1, 1), (1, 3), (3, 1), (2, 3), (5, 7), (7, 5), (7, 11)]
SIZES = st.lists(st.sampled_from(SHAPES), max_size=50)
CUTS = st.fixed_dictionaries(
    {
        "batch_size": st.integers(1, 6),
        "world": st.integers(1, 5),
        "max_pixels": st.sampled_from([None, 1, 6, 35, 77, 100, 231]),
        "leftovers": st.sampled_from(["keep", "drop", "merge"]),
    }
)


def loops(
    sizes: list[Shape], *, batch_size: int, world: int, max_pixels: int | None, leftovers: str
) -> tuple[list[Rows], list[int], int]:
    """The batches of each rank, the dropped images and the number of merged ones, by the documented rules."""
    shapes = sorted(set(sizes), key=lambda shape: (shape[0] * shape[1], *shape))
    queue = {shape: [i for i, size in enumerate(sizes) if size == shape] for shape in shapes}
    slots = {
        shape: max(1, min(batch_size, (max_pixels or 10**9) // (shape[0] * shape[1]))) for shape in shapes
    }
    if leftovers == "merge":
        for shape in shapes:
            larger = [other for other in shapes if other != shape and min(np.subtract(other, shape)) >= 0]
            if larger:
                stay = len(queue[shape]) - len(queue[shape]) % (world * slots[shape])
                queue[shape], moved = queue[shape][:stay], queue[shape][stay:]
                queue[larger[0]] = moved + queue[larger[0]]
    merged = sum(sizes[i] != shape for shape in shapes for i in queue[shape])
    ranks: list[Rows] = [[] for _ in range(world)]
    singles: list[tuple[list[int], Shape]] = []
    dropped: list[int] = []
    for shape in shapes:
        full = world * slots[shape]
        steps = [queue[shape][start : start + full] for start in range(0, len(queue[shape]), full)]
        last = steps[-1] if steps and len(steps[-1]) < full else []
        if leftovers == "drop" and last:
            dropped += steps.pop()
        elif last and len(last) < world:
            steps.pop()
            if steps and slots[shape] > 1:
                together = steps.pop() + last
                steps += [together[:-world], together[-world:]]
            else:
                cuts = range(0, len(last), slots[shape])
                singles += [(last[start : start + slots[shape]], shape) for start in cuts]
        for step in steps:
            for rank, part in enumerate(np.array_split(np.array(step), world)):
                ranks[rank].append((part.tolist(), *shape))
    num_steps = -(-len(singles) // world)
    if num_steps * world > sum(len(images) for images, _ in singles):
        kept = sorted(
            sorted(range(len(singles)), key=lambda i: -len(singles[i][0]))[: (num_steps - 1) * world]
        )
        dropped += [image for i, single in enumerate(singles) if i not in kept for image in single[0]]
        singles = [singles[i] for i in kept]
    while len(singles) % world:
        longest = max(range(len(singles)), key=lambda i: len(singles[i][0]))
        images, shape = singles[longest]
        half = len(images) // 2
        singles[longest : longest + 1] = [(images[:half], shape), (images[half:], shape)]
    for place, (images, shape) in enumerate(singles):
        ranks[place % world].append((images, *shape))
    return ranks, sorted(dropped), merged


@settings(max_examples=200, deadline=None)
@given(sizes=SIZES, options=CUTS)
def test_steps_are_cut_and_shared_out_as_the_rules_say(sizes: list[Shape], options: dict[str, Any]) -> None:
    check(sizes, options)


@pytest.mark.parametrize("leftovers", ["keep", "drop", "merge"])
@pytest.mark.parametrize("world", [1, 2, 5])
def test_many_steps_are_cut_and_shared_out_as_the_rules_say(leftovers: str, world: int) -> None:
    for seed in range(12):
        rng = np.random.default_rng(seed)
        sizes = [SHAPES[int(rng.integers(7) * rng.random())] for _ in range(int(rng.integers(150)))]
        limits = {"batch_size": int(rng.integers(1, 9)), "max_pixels": [None, 60, 200][seed % 3]}
        check(sizes, {"leftovers": leftovers, "world": world, **limits})


@pytest.mark.parametrize("counts", [[4, 4], [4, 3, 4], [4, 4, 4, 4], [1, 4, 1, 4, 1, 4], [3, 3, 3]])
@pytest.mark.parametrize("batch_size", [1, 2, 3, 4])
def test_buckets_with_fewer_images_than_ranks_share_steps(counts: list[int], batch_size: int) -> None:
    sizes = [shape for shape, count in zip(SHAPES, counts, strict=False) for _ in range(count)]
    check(sizes, {"batch_size": batch_size, "world": 5, "max_pixels": None, "leftovers": "keep"})


def check(sizes: list[Shape], options: dict[str, Any]) -> None:
    ranks, dropped, merged = loops(sizes, **options)
    for rank, expected in enumerate(ranks):
        plan = plan_batches(sizes, rank=rank, shuffle=False, **options)
        assert [(batch.indices.tolist(), batch.height, batch.width) for batch in plan] == expected
        assert len(plan) == len(expected)
        assert plan.dropped.tolist() == dropped
        assert plan.dropped.dtype == np.int64
        assert plan.forecast.num_merged == merged


@settings(max_examples=60, deadline=None)
@given(sizes=SIZES, options=CUTS, pad_to=st.sampled_from(["bucket", "batch"]), seed=st.integers(0, 99))
def test_shuffling_changes_which_images_a_batch_holds_and_not_how_many(
    sizes: list[Shape], options: dict[str, Any], pad_to: Any, seed: int
) -> None:
    def counts(shuffle: bool) -> list[int]:
        plan = plan_batches(
            sizes, shuffle=shuffle, seed=seed, order="by-resolution", pad_to=pad_to, max_buckets=3, **options
        )
        return [len(batch) for batch in plan]

    assert counts(True) == counts(False)


@pytest.mark.parametrize("world", [1, 3])
@pytest.mark.parametrize("pad_to", ["bucket", "batch"])
def test_interleaving_moves_whole_steps_alike_on_every_rank(world: int, pad_to: Any) -> None:
    sizes = [SHAPES[i % 7] for i in range(200)]
    moves = set()
    for rank in range(world):
        sorted_, mixed = (
            [
                (batch.indices.tolist(), batch.height, batch.width)
                for batch in plan_batches(
                    sizes, batch_size=4, world=world, rank=rank, order=order, pad_to=pad_to, max_buckets=3
                )
            ]
            for order in ("by-resolution", "interleaved")
        )
        assert sorted(mixed) == sorted(sorted_)
        moves.add(tuple(sorted_.index(batch) for batch in mixed))
    assert len(moves) == 1
