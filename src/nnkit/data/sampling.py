"""Which images an epoch shows, where classes are to be shown equally often."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from nnkit.data.bucketing.clustering import Ints
from nnkit.data.bucketing.sizes import smallest_dtype


def balanced_draw(labels: ArrayLike, buckets: ArrayLike, *, seed: int, epoch: int) -> Ints:
    """N images, int64 (N,), of the N with these `labels` (N,): each class that occurs equally often.

    Where N is no multiple of the classes, the first have one image more. The images of a class are shown
    equally often, to within one; which ones are shown once more is drawn anew in each epoch. How many are
    drawn from each class in each bucket, `buckets` (N,), is the same in each epoch, and so then is the number
    of batches.
    """
    labels, buckets = np.asarray(labels, dtype=np.int64), np.asarray(buckets, dtype=np.int64)
    if not len(labels):
        return np.empty(0, dtype=np.int64)
    num_buckets = int(buckets.max()) + 1
    pairs, group, sizes = np.unique(labels * num_buckets + buckets, return_inverse=True, return_counts=True)
    shares = _shares(pairs // num_buckets, sizes, len(labels))
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(epoch, 1)))
    shuffled = rng.permutation(len(labels))
    # numpy sorts 16 bits by radix, several times faster than wider ones.
    order = shuffled[np.argsort(group.astype(smallest_dtype(len(pairs)))[shuffled], kind="stable")]
    rank = np.empty_like(order)
    rank[order] = np.arange(len(labels)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    whole, rest = np.divmod(shares, sizes)
    drawn: Ints = np.repeat(np.arange(len(labels)), whole[group] + (rank < rest[group]))
    return drawn


def _shares(class_of: Ints, sizes: Ints, num_images: int) -> Ints:
    """How many images are drawn from each group: a class's, divided among its groups by their sizes."""
    classes, of = np.unique(class_of, return_inverse=True)
    each, more = divmod(num_images, len(classes))
    quota = each + (np.arange(len(classes)) < more)
    images = np.bincount(of, sizes).astype(np.int64)
    shares, left = np.divmod(quota[of] * sizes, images[of])
    # The largest remainders of a class are rounded up until its quota is reached.
    missing = quota - np.bincount(of, shares, len(classes)).astype(np.int64)
    order = np.lexsort((-left, of))
    firsts = np.cumsum(np.bincount(of)) - np.bincount(of)
    place = np.empty_like(order)
    place[order] = np.arange(len(order)) - np.repeat(firsts, np.bincount(of))
    found: Ints = shares + (place < missing[of])
    return found
