"""Which sizes share a bucket: sizes within a tolerance, or at most K buckets that pad least.

Shapes: D sizes (rows of height × width in pixels), K buckets. A grouping is int64 (D,), the group of each
size; a group's shape is the largest height and the largest width among its members.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

MAX_PAIRED = 1024
"""Sizes whose pairs are compared (8 MB of pairs); where there are more, near ones are first taken as one."""

NEIGHBOURS = 12
"""How many of the next larger and smaller sides a refinement tries for a bucket's height and width."""

ROUNDS = 8


def near_groups(sizes: Ints, tolerance: float) -> Ints:
    """Group sizes (D, 2) so that a group's height and width exceed no member's by more than the tolerance.

    The tolerance is a share of the member's side: 0.1 lets 100 pixels grow to 110. Each side is cut into
    intervals, from the smallest value up; a group is a pair of intervals. 0 keeps every size by itself.
    """
    cells = np.stack([_intervals(sizes[:, side], tolerance) for side in (0, 1)], axis=1)
    return _relabelled(cells[:, 0] * (cells[:, 1].max(initial=0) + 1) + cells[:, 1])


def cheapest_groups(sizes: Ints, num_images: Ints, max_groups: int) -> Ints:
    """Group sizes (D, 2) into at most `max_groups` groups, so that little is padded.

    `num_images` (D,) weighs each size. The two groups whose union pads least are joined until few enough are
    left; then each group's shape in turn is moved to the best one near it, while that helps. The result is
    near the least padding, and need not reach it. Time grows with D × `max_groups`.
    """
    if len(sizes) <= max_groups:
        return np.arange(len(sizes))
    start = _near_at_most(sizes, min(len(sizes), MAX_PAIRED) if max_groups < MAX_PAIRED else max_groups)
    shapes, weights = group_shapes(sizes, start), np.bincount(start, num_images).astype(np.float64)
    if len(shapes) > max_groups:
        joined = _join_cheapest(shapes, weights, max_groups)
        shapes = _refined(shapes, weights, group_shapes(shapes, joined))
    return _relabelled(_smallest_holder(sizes, shapes))


def group_shapes(sizes: Ints, groups: Ints) -> Ints:
    """Height and width of each group, (K, 2): the largest of its members'."""
    shapes = np.zeros((int(groups.max(initial=-1)) + 1, 2), dtype=np.int64)
    np.maximum.at(shapes, groups, sizes)
    return shapes


def _intervals(sides: Ints, tolerance: float) -> Ints:
    values, place = np.unique(sides, return_inverse=True)
    interval_of = np.zeros(len(values), dtype=np.int64)
    first, interval = 0, 0
    while first < len(values):
        # The last term keeps rounding from parting a side from one that is larger by the tolerance exactly.
        limit = values[first] * (1 + tolerance) + 1e-9 * values[first]
        after = int(np.searchsorted(values, limit, side="right"))
        interval_of[first:after] = interval
        first, interval = after, interval + 1
    return interval_of[place]


def _relabelled(groups: Ints) -> Ints:
    return np.unique(groups, return_inverse=True)[1].astype(np.int64)


def _near_at_most(sizes: Ints, max_groups: int) -> Ints:
    """The finest grouping by nearness, to about a thousandth of tolerance, that has at most `max_groups`."""
    groups = near_groups(sizes, 0.0)
    if _num_groups(groups) <= max_groups:
        return groups
    low, high = 0.0, 1e-2
    while _num_groups(near_groups(sizes, high)) > max_groups:
        low, high = high, high * 2
    while high - low > 1e-3 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if _num_groups(near_groups(sizes, middle)) <= max_groups else (middle, high)
    return near_groups(sizes, high)


def _num_groups(groups: Ints) -> int:
    return int(groups.max(initial=-1)) + 1


def _join_cheapest(sizes: Ints, weights: Floats, max_groups: int) -> Ints:
    """Join the two groups whose union pads least, again and again; O(D²) memory and about O(D²) time."""
    height, width = sizes.T.astype(np.float64)
    weights, group_of = weights.copy(), np.arange(len(sizes))
    alive = np.ones(len(sizes), dtype=bool)
    costs = np.stack([_join_costs(i, height, width, weights, alive) for i in range(len(sizes))])
    partner = costs.argmin(axis=1)
    cheapest = costs.min(axis=1)
    for _ in range(len(sizes) - max_groups):
        kept = int(cheapest.argmin())
        gone = int(partner[kept])
        height[kept], width[kept] = max(height[kept], height[gone]), max(width[kept], width[gone])
        weights[kept] += weights[gone]
        group_of[group_of == gone] = kept
        alive[gone] = False
        costs[gone], costs[:, gone], cheapest[gone] = np.inf, np.inf, np.inf
        costs[kept] = costs[:, kept] = _join_costs(kept, height, width, weights, alive)
        stale = np.flatnonzero(alive & ((partner == kept) | (partner == gone)))
        stale = np.append(stale, kept)
        partner[stale] = costs[stale].argmin(axis=1)
        cheapest[stale] = costs[stale, partner[stale]]
        better = costs[kept] < cheapest
        partner[better], cheapest[better] = kept, costs[kept][better]
    return _relabelled(group_of)


def _join_costs(i: int, height: Floats, width: Floats, weights: Floats, alive: NDArray[np.bool_]) -> Floats:
    """Pixels padded more when group i joins each other one; infinite for itself and for those gone."""
    joined = np.maximum(height, height[i]) * np.maximum(width, width[i]) * (weights + weights[i])
    apart = height * width * weights + height[i] * width[i] * weights[i]
    costs: Floats = np.where(alive, joined - apart, np.inf)
    costs[i] = np.inf
    return costs


def _refined(sizes: Ints, weights: Floats, shapes: Ints) -> Ints:
    """Move one bucket's shape at a time to the best one near it, given the others, until little is won."""
    shapes = _tightened(sizes, shapes)
    pixels = _pixels(sizes, weights, shapes)
    for _ in range(ROUNDS):
        for k in range(len(shapes)):
            shapes[k] = _best_shape(sizes, weights, np.delete(shapes, k, axis=0), shapes[k])
        shapes = _tightened(sizes, shapes)
        before, pixels = pixels, _pixels(sizes, weights, shapes)
        if pixels > before * (1 - 1e-3):
            break
    return shapes


def _best_shape(sizes: Ints, weights: Floats, others: Ints, shape: Ints) -> Ints:
    """The shape near `shape` that saves most pixels over the others, and holds what only it can hold."""
    elsewhere = _holding_areas(sizes, others).min(axis=1, initial=np.inf)
    only_here = sizes[np.isinf(elsewhere)].max(axis=0, initial=1)
    heights = _nearby(sizes[:, 0], shape[0], only_here[0])
    widths = _nearby(sizes[:, 1], shape[1], only_here[1])
    # Sizes that only this bucket holds are held by every candidate: any finite price keeps the sums finite.
    price = np.where(np.isinf(elsewhere), 2.0 * heights[-1] * widths[-1], elsewhere)
    near = (sizes[:, 0] <= heights[-1]) & (sizes[:, 1] <= widths[-1]) & (price > heights[0] * widths[0])
    sizes, weights, price = sizes[near], weights[near], price[near]
    areas = np.multiply.outer(heights, widths).astype(np.float64)
    saved = np.zeros_like(areas)
    for row, height in enumerate(heights):
        low = sizes[:, 0] <= height
        gains = np.maximum(price[low, None] - areas[row], 0) * (sizes[low, 1, None] <= widths)
        saved[row] = weights[low] @ gains
    best_row, best_column = divmod(int(saved.argmax()), len(widths))
    return np.array([heights[best_row], widths[best_column]])


def _nearby(sides: Ints, side: int, at_least: int) -> Ints:
    values = np.unique(sides)
    place = int(np.searchsorted(values, side))
    nearby = values[max(0, place - NEIGHBOURS) : place + NEIGHBOURS + 1]
    return nearby[nearby >= at_least]


def _tightened(sizes: Ints, shapes: Ints) -> Ints:
    """Each size goes to the smallest bucket that holds it; each bucket shrinks to its members."""
    return group_shapes(sizes, _relabelled(_smallest_holder(sizes, shapes)))


def _pixels(sizes: Ints, weights: Floats, shapes: Ints) -> float:
    return float(weights @ shapes.prod(axis=1)[_smallest_holder(sizes, shapes)])


def _smallest_holder(sizes: Ints, shapes: Ints) -> Ints:
    """Per size, the bucket of least area that holds it; in blocks, so that memory stays at some 30 MB."""
    block = max(1, 2**20 // max(1, len(shapes)))
    parts = [_holding_areas(sizes[i : i + block], shapes).argmin(axis=1) for i in range(0, len(sizes), block)]
    return np.concatenate(parts)


def _holding_areas(sizes: Ints, shapes: Ints) -> Floats:
    """Area of each shape where it holds the size, infinite where it does not: (D, K)."""
    holds = (sizes[:, None, 0] <= shapes[:, 0]) & (sizes[:, None, 1] <= shapes[:, 1])
    areas: Floats = np.where(holds, shapes.prod(axis=1).astype(np.float64), np.inf)
    return areas
