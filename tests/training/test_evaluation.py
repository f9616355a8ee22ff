"""A pass over a split leaves the model as it was and asks before each batch whether to go on."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from nnkit.data.loaders import EvalLoader
from nnkit.training.evaluation import evaluate
from nnkit.training.metrics import make_metrics
from tiny_plugin import Tiny, TinyNet

CPU = torch.device("cpu")


class Modes(TinyNet):
    """Notes the mode of each call, and whether gradients were kept."""

    def __init__(self) -> None:
        super().__init__(num_classes=3, dropout=0.5, norm=True)
        self.seen: set[tuple[bool, bool]] = set()

    def forward(self, inputs: Tensor) -> Tensor:
        self.seen.add((self.training, torch.is_grad_enabled()))
        return super().forward(inputs)


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_in_eval_mode_meanwhile_and_in_its_own_mode_afterwards(training: bool) -> None:
    data = Tiny().load(None)  # type: ignore[arg-type]
    model = Modes().train(training)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    batches = EvalLoader(data, data.splits["val"], batch_size=20, device=CPU)
    asked: list[None] = []
    evaluate(
        model, batches, nn.CrossEntropyLoss(), make_metrics(data, CPU), between=lambda: asked.append(None)
    )
    assert model.seen == {(False, False)}
    assert all(module.training == training for module in model.modules())
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert len(asked) == 3
