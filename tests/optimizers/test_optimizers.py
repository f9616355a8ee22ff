"""The built-in optimizers are torch's, to the bit, with fused steps and with ranges of their own."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn, optim

from nnkit.build import build, plan
from nnkit.errors import ConfigError, UsageError

CASES: list[tuple[str, type[optim.Optimizer], dict[str, Any]]] = [
    ("sgd", optim.SGD, {"lr": 1e-3, "fused": True}),
    (
        "sgd:lr=0.1,momentum=0.9,weight_decay=0.01,nesterov=true",
        optim.SGD,
        {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01, "nesterov": True, "fused": True},
    ),
    ("adam", optim.Adam, {"lr": 1e-3, "fused": True}),
    (
        "adam:lr=0.1,betas=[0.5,0.9],eps=0.1,weight_decay=0.2",
        optim.Adam,
        {"lr": 0.1, "betas": (0.5, 0.9), "eps": 0.1, "weight_decay": 0.2, "fused": True},
    ),
    ("adamw", optim.AdamW, {"lr": 1e-3, "weight_decay": 0.01, "fused": True}),
    (
        "adamw:lr=0.1,betas=[0.5,0.9],eps=0.1,weight_decay=0.2",
        optim.AdamW,
        {"lr": 0.1, "betas": (0.5, 0.9), "eps": 0.1, "weight_decay": 0.2, "fused": True},
    ),
    ("lbfgs", optim.LBFGS, {"lr": 1.0, "history_size": 10, "line_search_fn": "strong_wolfe"}),
    (
        "lbfgs:lr=0.5,max_iter=3,history_size=2",
        optim.LBFGS,
        {"lr": 0.5, "max_iter": 3, "history_size": 2, "line_search_fn": "strong_wolfe"},
    ),
    ("rmsprop:lr=0.1,alpha=0.5", optim.RMSprop, {"lr": 0.1, "alpha": 0.5}),
    ("nadam", optim.NAdam, {}),
    ("radam", optim.RAdam, {}),
    ("adagrad:lr=0.5", optim.Adagrad, {"lr": 0.5}),
]


def weights(make: Any, num_steps: int = 5) -> torch.Tensor:
    torch.manual_seed(0)
    net, inputs = nn.Linear(4, 3), torch.randn(8, 4)
    optimizer = make(list(net.parameters()))

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        value: torch.Tensor = (net(inputs) ** 2).mean()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    for _ in range(num_steps):
        optimizer.step(closure)
    return torch.cat([parameter.detach().flatten() for parameter in net.parameters()])


@pytest.mark.parametrize(("spec", "cls", "settings"), CASES, ids=lambda part: str(part)[:60])
def test_a_built_in_optimizer_is_torchs_with_these_settings(
    spec: str, cls: type[optim.Optimizer], settings: dict[str, Any]
) -> None:
    found = weights(lambda params: build("optimizers", spec, params))
    assert torch.equal(found, weights(lambda params: cls(params, **settings)))


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_steps_are_fused_where_all_parameters_can_be(name: str) -> None:
    def fused(*params: nn.Parameter) -> bool:
        return bool(build("optimizers", name, params).defaults["fused"])

    real, other = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2, dtype=torch.complex64))
    assert fused(real)
    assert not fused(real, other)
    assert not fused(nn.Parameter(torch.ones(2, device="meta")))


@pytest.mark.parametrize(
    ("spec", "place"),
    [
        *[
            (f"{name}:lr={lr}", "lr")
            for name in ("sgd", "adam", "adamw", "lbfgs", "muon")
            for lr in (0.0, -1, "inf")
        ],
        *[(f"{name}:weight_decay=-0.1", "weight_decay") for name in ("sgd", "adam", "adamw", "muon")],
        *[(f"{name}:betas=[0.9,1.0]", "betas") for name in ("adam", "adamw", "muon")],
        *[(f"{name}:eps=-1e-8", "eps") for name in ("adam", "adamw")],
        ("sgd:momentum=-1", "momentum"),
        ("muon:momentum=1", "momentum"),
        ("muon:adam_lr=0", "adam_lr"),
        ("lbfgs:max_iter=0", "max_iter"),
        ("lbfgs:history_size=0", "history_size"),
        ("adam:params=[1]", "params"),
        ("rmsprop:lr=fast", "lr"),
    ],
)
def test_a_setting_out_of_its_range_is_a_mistake_of_its_own_place(spec: str, place: str) -> None:
    with pytest.raises(ConfigError) as caught:
        plan("optimizers", spec)
    assert [mistake.path for mistake in caught.value.mistakes] == [f"optimizer.{place}"]


def test_nesterov_without_momentum_is_refused() -> None:
    with pytest.raises(UsageError, match="momentum, which is 0"):
        build("optimizers", "sgd:nesterov=true", [nn.Parameter(torch.ones(1))])
