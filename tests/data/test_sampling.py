"""Balanced epochs: each class equally often, the same number of images and of batches in each."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nnkit.data.loaders import TrainLoader
from nnkit.data.sampling import balanced_draw
from nnkit.types import Bucketing, Data
from tiny_plugin import Tiny


@settings(deadline=None, max_examples=100)
@given(
    counts=st.lists(st.integers(0, 40), min_size=1, max_size=6).filter(any),
    num_buckets=st.integers(1, 4),
    seed=st.integers(0, 99),
)
def test_each_class_and_each_of_its_images_is_drawn_equally_often(
    counts: list[int], num_buckets: int, seed: int
) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    buckets = np.random.default_rng(seed).integers(0, num_buckets, len(labels))
    epochs = [balanced_draw(labels, buckets, seed=seed, epoch=epoch) for epoch in (1, 2)]
    present = [label for label, count in enumerate(counts) if count]
    for drawn in epochs:
        assert len(drawn) == len(labels)
        of_class = np.bincount(labels[drawn], minlength=len(counts))[present]
        assert of_class.max() - of_class.min() <= 1
        times = np.bincount(drawn, minlength=len(labels))
        if num_buckets == 1:
            assert all(np.ptp(times[labels == label]) <= 1 for label in present)
    pairs = [np.unique(np.stack([labels, buckets])[:, d], axis=1, return_counts=True)[1] for d in epochs]
    assert pairs[0].tolist() == pairs[1].tolist()
    again = balanced_draw(labels, buckets, seed=seed, epoch=1)
    assert again.tolist() == epochs[0].tolist()


def test_epochs_and_seeds_draw_other_images() -> None:
    labels = np.repeat([0, 1], [90, 10])
    drawn = {
        tuple(balanced_draw(labels, 0 * labels, seed=seed, epoch=epoch))
        for seed in (0, 1)
        for epoch in (1, 2)
    }
    assert len(drawn) == 4


def test_nothing_is_drawn_of_nothing() -> None:
    assert len(balanced_draw([], [], seed=0, epoch=1)) == 0


def uneven(several: bool) -> Data:
    """The tiny data with few images of class 2."""
    data = Tiny(several=several).load(None)  # type: ignore[arg-type]
    split = data.splits["train"]
    rare = split.indices[split.targets[split.indices].numpy() == 2][3:]
    kept = split.indices[~np.isin(split.indices, rare)]
    return replace(data, splits={**data.splits, "train": replace(split, indices=kept)})


@pytest.mark.parametrize("order", ["interleaved", "by-resolution"])
@pytest.mark.parametrize(
    "bucketing",
    [
        Bucketing(),
        Bucketing(max_buckets=2),
        Bucketing(max_buckets=1, pad_to="batch"),
        Bucketing(max_buckets=2, leftovers="merge"),
        Bucketing(max_buckets=2, leftovers="drop"),
    ],
)
def test_a_loader_shows_each_class_equally_often_whatever_the_buckets(
    bucketing: Bucketing, order: str
) -> None:
    data = uneven(several=True)
    split = data.splits["train"]
    loader = TrainLoader(data, split, batch_size=8, device=torch.device("cpu"), bucketing=bucketing)
    loader.sampler = "balanced"
    num_batches = set()
    for epoch in (1, 2, 3):
        plan = loader.plan(epoch=epoch, seed=4, order=order)  # type: ignore[arg-type]
        num_batches.add(len(plan))
        shown = list(loader.load(plan))
        places = np.concatenate([batch.indices for batch in shown])
        labels = split.targets[torch.from_numpy(split.indices[places])]
        assert torch.equal(labels, torch.cat([batch.targets for batch in shown]))
        assert len(places) + plan.forecast.num_dropped == len(split)
        assert plan.forecast.num_images == len(places)
        if bucketing.leftovers != "drop":
            counts = np.bincount(labels.numpy())
            assert counts.max() - counts.min() <= 1
    assert num_batches == {len(loader)}
