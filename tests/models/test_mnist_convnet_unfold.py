"""`mnist-convnet:conv=unfold` trains as `conv=torch` does, from the same seed and batches.

In float64 the two curves are one. In float32 rounding grows from step to step: torch's own kernels for two
memory formats part by as much, and that is the yardstick.
"""

import pytest
import torch
from torch import nn

from nnkit.build import build
from nnkit.data.loaders import EvalLoader, TrainLoader
from nnkit.training.loop import Recipe, TrainState, fit
from nnkit.types import DataPlace, StepResult

NUM_STEPS = 100


class InFloat64(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model.double()

    def forward(self, inputs):
        return self.model(inputs.double())


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    return build("datasets", "digits").load(DataPlace(folder, folder))


def losses(data, conv, *, double, channels_last=False, batch_size=64):
    torch.manual_seed(0)
    model = build("models", f"mnist-convnet:conv={conv}", known=data.known_settings())
    model = InFloat64(model) if double else model
    if channels_last:
        model = model.to(memory_format=torch.channels_last)
    state = TrainState(model, torch.optim.Adam(model.parameters(), lr=1e-3))
    device = torch.device("cpu")
    train = TrainLoader(
        data, data.splits["train"], batch_size=batch_size, device=device, channels_last=channels_last
    )
    val = EvalLoader(data, data.splits["val"], batch_size=256, device=device)
    values = []
    for event in fit(state, model, nn.CrossEntropyLoss(), data, train, val, Recipe(epochs=1)):
        assert isinstance(event, StepResult)
        values.append(float(event.loss))
        if len(values) == NUM_STEPS:
            return torch.tensor(values)
    raise AssertionError("the data ended too soon")


@pytest.mark.slow
def test_a_hundred_steps_in_float64_give_the_same_losses_to_a_ten_thousandth_and_far_beyond(data):
    ours = losses(data, "unfold", double=True, batch_size=16)
    torchs = losses(data, "torch", double=True, batch_size=16)
    assert torchs[-1] < torchs[0] / 2
    assert (ours - torchs).abs().max() < 1e-6


@pytest.mark.slow
def test_in_float32_the_curves_part_by_the_order_of_those_of_two_memory_formats_of_torch(data):
    torchs = losses(data, "torch", double=False)
    ours = (losses(data, "unfold", double=False) - torchs).abs().max()
    other_format = (losses(data, "torch", double=False, channels_last=True) - torchs).abs().max()
    assert ours < max(5 * other_format, 2e-3)
