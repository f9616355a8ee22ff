"""`--optimizer` takes what any plugin brings, and says what is wrong with it in one message."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

import nnkit
from checkpoint_files import best_file
from fake_plugins import write_plugin
from nnkit import registry
from nnkit.cli.main import run
from nnkit.errors import ConfigError, PluginError, UsageError
from tiny_plugin import TinyPlugin

MODULE = '''
import torch

class Own(torch.optim.SGD):
    """SGD by another name. `lr` is its rate."""
    def __init__(self, params, *, lr: float = 0.25): super().__init__(params, lr=lr)

class NoRate(torch.optim.Optimizer):
    """Moves by the sign of the gradient."""
    def __init__(self, params): super().__init__(params, {})
    @torch.no_grad()
    def step(self, closure=None):
        for p in self.param_groups[0]["params"]: p.sub_(0.01 * p.grad.sign())

class Search(torch.optim.LBFGS):
    """A line search that no list knows of."""
    def __init__(self, params, *, lr: float = 0.5): super().__init__(params, lr=lr, max_iter=2)

class Lost(Search):
    """A line search that breaks, after it asked once."""
    @torch.no_grad()
    def step(self, closure):
        with torch.enable_grad(): closure()
        raise IndexError("lost the place")

class Needs(torch.optim.SGD):
    """SGD that must be told its rate."""
    def __init__(self, params, *, lr: float): super().__init__(params, lr=lr)

class Raises(torch.optim.SGD):
    """Breaks in its third step."""
    def __init__(self, params, *, lr: float = 0.1, at: int = 3):
        if at == 0: raise RuntimeError("no parameters today")
        super().__init__(params, lr=lr)
        self.at = at
    def step(self, closure=None):
        self.at -= 1
        if self.at == 0: raise IndexError("lost the place")
        return super().step(closure)

class Looks:
    """Has an optimizer's methods and is none."""
    def __init__(self, params, *, lr: float = 0.1): pass
    def step(self): pass
    def zero_grad(self): pass
    def state_dict(self): return {}
    def load_state_dict(self, state_dict): pass
'''
ENTRY_POINTS = """
[nnkit.optimizers]
torch-adamw = torch.optim:AdamW
own = own_optimizers:Own
no-rate = own_optimizers:NoRate
search = own_optimizers:Search
lost = own_optimizers:Lost
needs = own_optimizers:Needs
raises = own_optimizers:Raises
looks = own_optimizers:Looks
layer = torch.nn:Linear
"""
Train = Callable[..., Any]


@pytest.fixture
def train(tiny: TinyPlugin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    site = tmp_path / "optimizers"
    write_plugin(site, "own-optimizers", ENTRY_POINTS, module=MODULE)
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setattr("nnkit.present.figures.draw_training", lambda *parts: [])
    registry.refresh()
    yield lambda **options: nnkit.train(
        **{"dataset": "tiny", "epochs": 1, "batch_size": 30, "runs_dir": tiny.runs, **options}
    )
    registry.refresh()


def same_weights(one: Any, other: Any) -> bool:
    first, second = load_file(best_file(one.run_dir)), load_file(best_file(other.run_dir))
    return first.keys() == second.keys() and all(first[name].equal(second[name]) for name in first)


def config_of(result: Any) -> str:
    return (Path(result.run_dir) / "config.toml").read_text()


def test_torchs_own_class_is_an_optimizer_as_it_stands(train: Train) -> None:
    found = train(optimizer="torch-adamw:lr=0.01,weight_decay=0.5,fused=true")
    assert same_weights(found, train(optimizer="adamw:lr=0.01,weight_decay=0.5"))
    assert "torch-adamw" in config_of(found)


def test_the_rate_of_an_optimizer_is_written_out_and_lr_sets_it(train: Train) -> None:
    assert "lr = 0.25" in config_of(found := train(optimizer="own"))
    assert same_weights(found, train(optimizer="sgd", lr=0.25))
    assert same_weights(train(optimizer="own", lr=0.5), train(optimizer="sgd:lr=0.5"))
    assert same_weights(train(optimizer="needs", lr=0.5), train(optimizer="sgd:lr=0.5"))


def test_an_optimizer_without_a_rate_trains_and_its_rate_is_unknown(train: Train) -> None:
    result = train(optimizer="no-rate", epochs=2)
    assert "lr" not in config_of(result)
    records = [json.loads(line) for line in (Path(result.run_dir) / "metrics.jsonl").read_text().splitlines()]
    assert {record["learning_rate"] for record in records} == {None}
    assert nnkit.train(resume=result.run_dir, epochs=3).epochs == 3


@pytest.mark.parametrize("options", [{"lr": 0.1}, {"lr": 0.1, "optimizer": "no-rate", "epochs": 2}])
def test_lr_for_an_optimizer_without_a_rate_is_a_mistake_of_lr(train: Train, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        train(**{"optimizer": "no-rate", **options})
    (mistake,) = caught.value.mistakes
    assert (mistake.path, mistake.message) == ("lr", 'the optimizer "no-rate" has no learning rate')
    with pytest.raises(ConfigError, match=r"optimizer\.lr: unknown setting"):
        train(optimizer="no-rate:lr=0.1")


def test_all_mistakes_are_told_at_once(train: Train) -> None:
    for options, places in (
        ({"optimizer": "adamm", "lr": 0.1, "schedule": "cosin"}, {"optimizer", "schedule"}),
        ({"optimizer": "no-rate", "lr": 0.1, "schedule": "one-cycle:warmup=3"}, {"lr", "schedule.warmup"}),
        ({"optimizer": "search:lr=no", "clip": 1.0}, {"optimizer.lr", "clip"}),
    ):
        with pytest.raises(ConfigError) as caught:
            train(**options)
        assert {mistake.path for mistake in caught.value.mistakes} == places


def test_a_required_setting_is_asked_for_before_anything_is_written(train: Train, tiny: TinyPlugin) -> None:
    with pytest.raises(ConfigError, match=r"optimizer\.lr: this setting is required"):
        train(optimizer="needs")
    assert not tiny.runs.exists()


def test_a_line_search_of_any_name_is_given_its_closure(train: Train) -> None:
    assert same_weights(train(optimizer="search"), train(optimizer="lbfgs:lr=0.5,max_iter=2")) is False
    assert train(optimizer="search", epochs=2).epochs == 2
    with pytest.raises(ConfigError, match="search searches along its own step"):
        train(optimizer="search", clip=1.0)
    with pytest.raises(ConfigError, match="search has moved the weights"):
        train(optimizer="search", on_oom="shrink")


@pytest.mark.parametrize(
    ("optimizer", "said"),
    [
        (
            "layer",
            r'the optimizer "layer" of own-optimizers 1\.0 cannot be loaded: torch\.nn:Linear has no step',
        ),
        ("looks", r'the optimizer "looks:lr=0\.1" gives a own_optimizers\.Looks, which is no torch\.optim'),
        ("raises:at=0", r"own-optimizers 1\.0 broke when it was made: RuntimeError: no parameters today"),
        ("raises", r"of own-optimizers 1\.0 broke in training: IndexError: lost the place"),
        ("lost", r"of own-optimizers 1\.0 broke in training: IndexError: lost the place"),
        ("raises:at=1", r"of own-optimizers 1\.0 broke in training: IndexError: lost the place"),
    ],
)
def test_what_is_no_optimizer_or_breaks_is_named_with_its_distribution(
    train: Train, optimizer: str, said: str
) -> None:
    with pytest.raises(PluginError, match=said):
        train(optimizer=optimizer)


def test_what_the_loss_raises_within_a_line_search_is_not_the_optimizers(train: Train) -> None:
    with pytest.raises(UsageError, match='the loss "mse-sum" cannot train on "tiny"'):
        train(optimizer="search", loss="mse-sum")


def test_a_run_that_never_began_leaves_no_folder(train: Train, tiny: TinyPlugin) -> None:
    for broken in ("looks", "raises:at=0", "sgd:nesterov=true"):
        with pytest.raises((PluginError, UsageError)):
            train(optimizer=broken)
    assert list(tiny.runs.glob("train/*")) == []


def test_names_are_told_without_torch_and_settings_with_their_range(
    train: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["train", "--optimizer", "adamm"]) == 2
    assert 'no optimizer is named "adamm"' in capsys.readouterr().err
    assert run(["train", "--optimizer", "adam:lr=-1"]) == 2
    assert "expected float above 0" in capsys.readouterr().err
    assert run(["train", "--optimizer", "sgd:momentum=0.5", "--lr", "0.5", "--dry-run", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)["config"]["optimizer"]
    assert shown == "sgd:momentum=0.5,lr=0.5"
