from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nnkit.build import build
from nnkit.data.images import Images
from nnkit.data.loaders import TrainLoader
from nnkit.data.resize_policy import with_policy
from nnkit.data.splits import classification_data
from nnkit.errors import UsageError
from nnkit.models.varres_net import VarresNet
from nnkit.training.masks import check_takes_mask, check_takes_sizes, output_of
from nnkit.types import Batch, Bucketing
from tiny_plugin import Tiny, TinyNet

CPU = torch.device("cpu")


class Mean(nn.Module):
    """A pooling that takes no mask."""

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs.mean((2, 3))


def batches(**settings: object) -> TrainLoader:
    data = Tiny(several=True).load(None)  # type: ignore[arg-type]
    bucketing = Bucketing(**settings)  # type: ignore[arg-type]
    return TrainLoader(data, data.splits["train"], batch_size=16, device=CPU, bucketing=bucketing)


def test_a_model_is_given_the_mask_of_a_padded_batch_alone() -> None:
    given = []

    class Looks(nn.Module):
        def forward(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
            given.append(mask)
            return inputs

    inputs, mask = torch.zeros(1, 1, 4, 4), torch.ones(1, 1, 4, 4, dtype=torch.bool)
    plain = Batch(inputs, torch.zeros(1), torch.zeros(1).numpy())
    output_of(Looks(), plain)
    output_of(Looks(), replace(plain, mask=mask))
    assert given[0] is None
    assert given[1] is mask
    assert output_of(nn.Identity(), plain) is inputs


def test_a_model_without_a_mask_is_refused_where_the_plan_pads() -> None:
    model = TinyNet(num_classes=3)
    check_takes_mask(model, "tiny-net", batches())
    with pytest.raises(UsageError, match=r"tiny-net.*mask") as caught:
        check_takes_mask(model, "tiny-net", batches(max_buckets=1))
    assert "resize_policy=resize" in caught.value.hint


def test_so_is_a_model_whose_pooling_takes_none() -> None:
    takes_none = VarresNet(pooling=Mean(), num_classes=3)
    with pytest.raises(UsageError, match="Mean takes no mask"):
        check_takes_mask(takes_none, "varres-net", batches(max_buckets=1))


def test_the_trial_leaves_the_model_as_it_was() -> None:
    model = build("models", "varres-net", known={"num_classes": 3, "in_channels": 1})
    before = [value.clone() for value in model.state_dict().values()]
    state = torch.get_rng_state()
    check_takes_mask(model.train(), "varres-net", batches(max_buckets=1))
    assert model.training
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(before, model.state_dict().values(), strict=True))


class Watched(nn.Module):
    """Takes a mask, has statistics and dropout, and remembers in which mode it was called with what."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.dropout = nn.BatchNorm2d(1), nn.Dropout(0.5)
        self.seen: list[tuple[bool, bool, bool, Tensor, Tensor]] = []

    def forward(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        assert mask is not None
        modes = (self.training, self.norm.training, torch.is_grad_enabled())
        self.seen.append((*modes, inputs.clone(), mask.clone()))
        return self.dropout(self.norm(inputs))


@pytest.mark.parametrize("training", [True, False])
def test_the_trial_is_one_blank_image_in_eval_mode_without_gradients(training: bool) -> None:
    model = Watched().train(training)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    padded = batches(max_buckets=1)
    check_takes_mask(model, "watched", padded)
    ((*modes, inputs, mask),) = model.seen
    assert modes == [False, False, False]
    assert inputs.shape == mask.shape == (1, 1, 12, 12)
    assert not inputs.any()
    assert mask.dtype == torch.bool
    assert mask.all()
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert [module.training for module in model.modules()] == [training] * 3


def test_whatever_else_breaks_in_the_trial_is_left_to_the_first_step() -> None:
    for error in (RuntimeError, ValueError, TypeError, IndexError):

        class Breaks(nn.Module):
            def forward(self, inputs: Tensor, mask: Tensor | None = None, error: type = error) -> Tensor:
                raise error("sick")

        model = Breaks().train()
        check_takes_mask(model, "breaks", batches(max_buckets=1))
        assert model.training


def test_where_nothing_is_padded_the_model_is_not_tried() -> None:
    model = Watched()
    check_takes_mask(model, "watched", batches())
    assert model.seen == []


@pytest.mark.parametrize(("small", "said"), [((5, 20), "5×20"), ((20, 7), "20×7")])
@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_an_image_too_small_for_the_model_is_refused_before_the_run(
    small: tuple[int, int], said: str, split: str
) -> None:
    arrays = [np.zeros((16, 20), np.uint8)] * 5 + [np.zeros(small, np.uint8)]
    parts = {name: np.array([k]) for k, name in enumerate(("train", "val", "test"))}
    parts[split] = np.append(parts[split], 5)
    data = classification_data(Images.from_arrays(arrays), torch.zeros(6, dtype=torch.int64), parts, "ab")
    model = build("models", "varres-net:width=4", known=data.known_settings()).train()
    with pytest.raises(UsageError, match=f"varres-net.*{said}.* {split} ") as caught:
        check_takes_sizes(model, "varres-net", data, CPU)
    assert "resize_policy=resize" in caught.value.hint
    assert model.training
    large, _ = with_policy(data, Bucketing("resize", (16, 16)))
    check_takes_sizes(model, "varres-net", large, CPU)
    check_takes_sizes(nn.Linear(3, 2), "takes nothing at all", data, CPU)
