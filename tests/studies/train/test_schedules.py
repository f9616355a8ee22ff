"""`--schedule` takes what any plugin brings, steps it after each step, and resumes it to the bit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

import nnkit
from checkpoint_files import best_file
from fake_plugins import write_plugin
from nnkit import registry
from nnkit.config import dumps, read_toml, resolve
from nnkit.errors import ConfigError, NnkitError, PluginError, UsageError
from nnkit.studies.train.config import TrainConfig
from nnkit.types import EpochResult, StepResult
from tiny_plugin import TinyPlugin

MODULE = '''
import torch
from torch.optim.lr_scheduler import LRScheduler

class Halving(LRScheduler):
    """Halves the rate at each step."""
    def get_lr(self): return [rate / 2 ** self.last_epoch for rate in self.base_lrs]

class OfSteps(LRScheduler):
    """Falls to 0 in a straight line, as it is told over how many steps."""
    def __init__(self, optimizer, *, T_max: int):
        self.T_max = T_max
        super().__init__(optimizer)
    def get_lr(self): return [rate * (1 - self.last_epoch / self.T_max) for rate in self.base_lrs]

class Holds(Halving):
    """Remembers what no file holds."""
    def __init__(self, optimizer):
        self.extra = {1, 2}
        super().__init__(optimizer)

class Raises(Halving):
    """Breaks when it is stepped for the third time."""
    def step(self, epoch=None):
        super().step()
        if self.last_epoch == 3: raise KeyError("third")

class Looks:
    """Has a schedule's methods and is none."""
    def __init__(self, optimizer): pass
    def step(self): pass
    def state_dict(self): return {}
    def load_state_dict(self, state_dict): pass

class NoRate(torch.optim.Optimizer):
    """An optimizer without a learning rate."""
    def __init__(self, params): super().__init__(params, {})
    @torch.no_grad()
    def step(self, closure=None):
        for p in self.param_groups[0]["params"]: p.sub_(0.01 * p.grad.sign())
'''
ENTRY_POINTS = """
[nnkit.schedules]
torch-cosine = torch.optim.lr_scheduler:CosineAnnealingLR
torch-one-cycle = torch.optim.lr_scheduler:OneCycleLR
halving = own_schedules:Halving
of-steps = own_schedules:OfSteps
watching = torch.optim.lr_scheduler:ReduceLROnPlateau
holds = own_schedules:Holds
raises = own_schedules:Raises
looks = own_schedules:Looks
sgd = torch.optim:SGD
layer = torch.nn:Linear
[nnkit.optimizers]
no-rate = own_schedules:NoRate
"""
Train = Callable[..., Any]
STEPS = 3
"""Of an epoch: 90 images in batches of 30."""


class Rates:
    """The rate of each step, and each epoch's metrics."""

    def __init__(self) -> None:
        self.rates: list[float] = []
        self.epochs: list[EpochResult] = []

    def on_step(self, step: StepResult) -> None:
        self.rates.append(step.learning_rate)

    def on_epoch(self, epoch: EpochResult) -> None:
        self.epochs.append(epoch)


@pytest.fixture
def train(tiny: TinyPlugin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Train]:
    site = tmp_path / "schedules"
    write_plugin(site, "own-schedules", ENTRY_POINTS, module=MODULE)
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setattr("nnkit.present.figures.draw_training", lambda *parts: [])
    registry.refresh()
    yield lambda **options: nnkit.train(
        **{"dataset": "tiny", "epochs": 3, "batch_size": 30, "lr": 0.1, "runs_dir": tiny.runs, **options}
    )
    registry.refresh()


def rates(train: Train, schedule: str, **options: Any) -> list[float]:
    seen = Rates()
    train(schedule=schedule, observers=[seen], **options)
    return seen.rates


def test_a_schedule_is_stepped_once_after_each_step(train: Train) -> None:
    assert rates(train, "none") == [0.1] * 9
    assert rates(train, "halving") == [0.1 / 2**step for step in range(9)]
    assert rates(train, "step:step_size=4,gamma=0.5") == [0.1] * 4 + [0.05] * 4 + [0.025]


def test_the_run_fills_in_how_long_it_is(train: Train) -> None:
    assert rates(train, "torch-cosine") == rates(train, "cosine")
    assert rates(train, "torch-one-cycle:cycle_momentum=false") == rates(train, "one-cycle")
    assert rates(train, "of-steps") == pytest.approx([0.1 * (1 - step / 9) for step in range(9)])
    assert rates(train, "of-steps:T_max=10")[-1] == pytest.approx(0.02)


def test_accumulated_batches_are_one_step_of_the_schedule(train: Train) -> None:
    assert rates(train, "halving", accumulate=3) == [0.1, 0.05, 0.025]


def test_a_schedule_that_waits_for_a_metric_is_refused_with_all_other_mistakes(
    train: Train, tiny: TinyPlugin
) -> None:
    with pytest.raises(ConfigError) as caught:
        train(schedule="watching:patience=3", optimizer="no-rate")
    assert [mistake.path for mistake in caught.value.mistakes] == ["lr", "schedule"]
    said = caught.value.mistakes[1]
    assert said.message.startswith('"watching" cannot be used: its step needs a metric after each epoch')
    assert "cosine" in str(said.hint)
    assert "--stop patience" in str(said.hint)
    assert not tiny.runs.exists()


RESUMED = ["step:step_size=2,gamma=0.5", "multi-step:milestones=[1,4]", "cosine", "halving",
           "linear-warmup-cosine:warmup=0.3,final=0.1", "one-cycle:warmup=0.5", "cosine-restarts:T_0=2",
           "polynomial", "linear-rate", "exponential:gamma=0.5", "constant", "none"]  # fmt: skip


@pytest.mark.parametrize("schedule", RESUMED)
@pytest.mark.parametrize("stop_at", [3, 4, 6])
def test_a_run_that_broke_off_goes_on_to_the_bit(train: Train, schedule: str, stop_at: int) -> None:
    class Stop(Exception):
        pass

    class Stopping(Rates):
        def on_step(self, step: StepResult) -> None:
            super().on_step(step)
            if step.step == stop_at + 1:
                raise Stop

    options = {"schedule": schedule, "epochs": 4, "monitor": "loss", "keep_checkpoints": 99}
    whole, before, after = Rates(), Stopping(), Rates()
    first = train(**options, observers=[whole])
    with pytest.raises(Stop):
        train(**options, checkpoint_every="1", observers=[before])
    broken = max((Path(first.run_dir).parent).iterdir(), key=lambda path: path.stat().st_mtime_ns)
    again = nnkit.train(resume=broken, observers=[after])
    assert before.rates[:stop_at] + after.rates == whole.rates
    one, other = load_file(best_file(first.run_dir)), load_file(best_file(again.run_dir))
    assert all(one[name].equal(other[name]) for name in one)


@pytest.mark.parametrize("schedule", ["cosine", "linear-warmup-cosine", "one-cycle:warmup=0.1", "of-steps"])
def test_a_schedule_that_was_told_the_length_takes_no_more_epochs(train: Train, schedule: str) -> None:
    first = train(schedule=schedule)
    with pytest.raises(UsageError, match=f"the schedule {schedule} ends with epoch 3"):
        nnkit.train(resume=first.run_dir, epochs=4)


@pytest.mark.parametrize("schedule", ["halving", "step:step_size=5", "cosine:T_max=9", "of-steps:T_max=15"])
def test_any_other_schedule_goes_on_with_more_epochs(train: Train, schedule: str) -> None:
    first = train(schedule=schedule)
    assert nnkit.train(resume=first.run_dir, epochs=4).epochs == 4


def test_configurations_of_earlier_versions_name_the_same_schedule(tmp_path: Path) -> None:
    for name in ("none", "cosine", "one-cycle"):
        path = tmp_path / "config.toml"
        path.write_text(f'schedule = "{name}"\n')
        config = resolve(TrainConfig, {}, files=[path]).config
        path.write_text(dumps(config))
        assert read_toml(path)["schedule"] == name


@pytest.mark.parametrize(
    ("schedule", "error", "said"),
    [
        ("cosin", ConfigError, 'no schedule is named "cosin"'),
        ("step", ConfigError, r"schedule\.step_size: this setting is required"),
        ("linear-warmup-cosine:warmup=2", ConfigError, r"schedule\.warmup: (?s:.*)float from 0 to 1"),
        ("layer", PluginError, r'own-schedules 1\.0 cannot be loaded: torch\.nn:Linear has no step'),
        ("looks", PluginError, r'"looks" gives a own_schedules\.Looks, which is no torch\.optim\.lr_sched'),
        ("sgd", PluginError, r'the schedule "sgd" of own-schedules 1\.0 broke when it was made'),
        ("exponential:gamma=0.5,last_epoch=3", PluginError, r"broke when it was made: KeyError"),
    ],
)  # fmt: skip
def test_what_is_no_schedule_is_named_before_anything_is_written(
    train: Train, tiny: TinyPlugin, schedule: str, error: type[NnkitError], said: str
) -> None:
    with pytest.raises(error, match=said):
        train(schedule=schedule)
    assert list(tiny.runs.glob("train/*")) == []


def test_a_schedule_that_breaks_in_training_is_named(train: Train) -> None:
    with pytest.raises(PluginError, match=r"of own-schedules 1\.0 broke in training: KeyError: 'third'"):
        train(schedule="raises")


def test_a_schedule_that_was_told_too_few_steps_says_so(train: Train) -> None:
    with pytest.raises(UsageError, match=r'the schedule "one-cycle:.*" cannot go on: Tried to step 5 times'):
        train(schedule="one-cycle:total_steps=4")


def test_a_state_that_no_checkpoint_holds_is_refused_by_name(train: Train) -> None:
    with pytest.raises(NnkitError, match=r"state\.schedule\.extra is of type builtins\.set"):
        train(schedule="holds")


def test_a_schedule_needs_a_learning_rate(train: Train) -> None:
    with pytest.raises(UsageError, match='schedule: the optimizer "no-rate" has no learning rate to change'):
        train(optimizer="no-rate", lr=None, schedule="cosine")
    assert train(optimizer="no-rate", lr=None).epochs == 3


def test_without_gradient_steps_there_is_no_schedule(train: Train) -> None:
    with pytest.raises(ConfigError, match="schedule: solver=least-squares takes no gradient steps"):
        train(solver="least-squares", schedule="cosine", lr=None, model="linear")
