"""Metrics are NumPy's over all samples, each counted once, whatever the batches.

Row 12 of docs/reliability.md.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import nnkit
from nnkit.api import evaluate, train
from tiny_plugin import Tiny, TinyPlugin


def by_numpy(net: torch.nn.Module, split: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Loss (N,), hit (N,) and size (N, 2) of each image, one image at a time, in float64."""
    losses, hits = [], []
    for index in split.indices:
        with torch.no_grad():
            logits = net(split.images.image(index)[None].float() / 255)[0].double().numpy()
        label = int(split.targets[index])
        shifted = logits - logits.max()
        losses.append(np.log(np.exp(shifted).sum()) - shifted[label])
        hits.append(logits.argmax() == label)
    return np.array(losses), np.array(hits), split.sizes


@pytest.mark.parametrize("batch_size", [1, 16, 44, 1000])
@pytest.mark.parametrize("split", ["val", "test"])
def test_metrics_are_numpys(
    tiny: TinyPlugin, monkeypatch: pytest.MonkeyPatch, batch_size: int, split: str
) -> None:
    monkeypatch.setattr("nnkit.present.figures.draw_training", lambda *parts: [])
    result = train(dataset="tiny:several=true", epochs=1, runs_dir=tiny.runs)
    data = Tiny(several=True).load(None)  # type: ignore[arg-type]
    losses, hits, sizes = by_numpy(nnkit.load(result.run_dir), data.splits[split])
    found = evaluate(result.run_dir, split=split, batch_size=batch_size)
    assert found.images == len(losses)
    assert found.metrics["accuracy"] == hits.mean()
    assert found.metrics["loss"] == pytest.approx(losses.mean(), rel=1e-5)
    for height, width in ((8, 8), (10, 6), (12, 12)):
        here = (sizes == (height, width)).all(axis=1)
        name = f"{height}x{width}"
        assert found.metrics["accuracy_by_resolution"][name] == hits[here].mean()
        assert found.metrics["loss_by_resolution"][name] == pytest.approx(losses[here].mean(), rel=1e-5)
        assert np.sum(found.confusion[name]) == here.sum()
    assert np.trace(found.confusion["all"]) == hits.sum()
