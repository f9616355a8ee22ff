"""`--augment`: several in order, by name or as objects; old configurations; resumed to the bit; bad input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import kornia.augmentation as K
import pytest
import torch
from torch import Tensor, nn

import nnkit
from checkpoint_files import last_file
from nnkit.cli import main
from nnkit.config import resolve
from nnkit.data import tensor_files
from nnkit.errors import CheckpointError, ConfigError, NnkitError, PluginError, UsageError
from nnkit.studies.train.config import TrainConfig
from nnkit.studies.train.resuming import fixed_settings
from nnkit.types import EpochResult, StepResult
from tiny_plugin import TinyPlugin

SEVERAL = {
    "dataset": "digits-varres",
    "limit": 80,
    "bucketing": "max_buckets=1",
    "model": "varres-net:width=4",
}


@pytest.fixture
def train(tiny: TinyPlugin, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr("nnkit.present.figures.draw_training", lambda *parts: [])

    def run(**options: Any) -> Any:
        base = {"dataset": "tiny", "epochs": 1, "batch_size": 16, "threads": 1, "device": "cpu"}
        return nnkit.train(**{**base, "runs_dir": tiny.runs, **options})

    return run


def losses(result: Any) -> list[float]:
    lines = (result.run_dir / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line).get("loss", json.loads(line).get("train_loss")) for line in lines]


class Brighter(nn.Module):
    """Adds a tenth more with each batch that it has seen, kept in a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, images: Tensor) -> Tensor:
        self.seen += 1
        return images + self.seen / 10


def test_several_are_applied_in_the_order_of_the_options(train: Any) -> None:
    one, other = train(augment=["crop:padding=2", "rotate"]), train(augment=["rotate", "crop:padding=2"])
    assert losses(one) != losses(other)
    assert losses(train(augment=["crop:padding=2", "rotate"])) == losses(one)
    assert losses(train(augment="crop:padding=2")) != losses(one)


@pytest.mark.parametrize("given", [{}, {"augment": "none"}, {"augment": []}, {"augment": ["none"]}])
def test_none_alone_means_none(train: Any, given: dict[str, Any]) -> None:
    result = train(**given)
    assert 'augment = [\n    "none",\n]' in (result.run_dir / "config.toml").read_text()
    assert losses(result) == losses(train())


def test_none_among_others_is_a_mistake_and_takes_the_place_of_a_files(tmp_path: Path) -> None:
    with pytest.raises(NnkitError, match="augment: none stands alone"):
        nnkit.train(augment=["none", "flip"], out=tmp_path / "run")
    file = tmp_path / "c.toml"
    file.write_text('augment = ["flip"]\n')
    assert [str(spec) for spec in resolve(TrainConfig, {}, files=[file]).config.augment] == ["flip"]
    config = resolve(TrainConfig, {"augment": "none"}, files=[file]).config
    assert config == resolve(TrainConfig, {}).config


@pytest.mark.parametrize("more", [{}, SEVERAL])
def test_kornias_modules_are_augmentations_as_they_stand(train: Any, more: dict[str, Any]) -> None:
    flip = K.RandomHorizontalFlip(p=1.0)
    passed = train(augment=[flip, "crop:padding=2"], **more)
    assert losses(passed) == losses(train(augment=[flip, "crop:padding=2"], **more))
    assert losses(passed) != losses(train(augment="crop:padding=2", **more))
    if not more:
        assert losses(train(augment=[flip])) == losses(train(augment="flip:p=1.0"))
    else:  # each size apart draws in another order, but every image is mirrored
        assert losses(train(augment=flip, **more)) == pytest.approx(
            losses(train(augment="flip:p=1.0", **more))
        )
    text = (passed.run_dir / "config.toml").read_text()
    assert "RandomHorizontalFlip" in text
    with pytest.raises(UsageError, match=r"the augmentation was a Python object.*augment=\.\.\."):
        nnkit.train(config=passed.run_dir / "config.toml")


def test_a_module_that_was_passed_is_left_as_it_is(train: Any) -> None:
    module = Brighter()
    first = train(augment=[module])
    assert float(module.seen) == 0
    assert losses(train(augment=[module])) == losses(first)
    with pytest.raises(ConfigError, match="jobs: augment is an object of this process"):
        train(augment=[module], seeds="0-1", jobs=2)


def test_a_class_that_makes_one_is_called(train: Any) -> None:
    assert losses(train(augment=K.RandomHorizontalFlip)) == losses(train(augment=[K.RandomHorizontalFlip()]))


BAD: list[tuple[Any, str]] = [
    (K.RandomCrop((5, 5)), r'the augmentation "python:type=\S*RandomCrop": it was given a batch of float32'),
    (3, "expected an augmentation, but builtins.int has no __call__"),
    ("crop:padding=-1", "expected padding to be from 0 to 512"),
    ("crop:pading=1", 'did you mean "padding"'),
    ("flips", 'did you mean "flip"'),
    (lambda x: x, "needs x, which the dataset does not know"),
]


@pytest.mark.parametrize(("augment", "said"), BAD)
def test_bad_input_is_one_message_and_leaves_no_run(
    train: Any, tiny: TinyPlugin, augment: Any, said: str
) -> None:
    with pytest.raises((UsageError, PluginError, ConfigError), match=said):
        train(augment=[augment])
    assert not tiny.runs.exists() or list(tiny.runs.iterdir()) == []


def test_values_that_are_not_finite_are_told_of_the_augmentation(train: Any) -> None:
    class Late(Brighter):
        def forward(self, images: Tensor) -> Tensor:
            self.seen += 1
            return images / (self.seen != 9)

    with pytest.raises(UsageError, match=r'the augmentation "python:type=.*Late" gave values that are not f'):
        train(augment=[Late()], epochs=3)


def test_names_are_checked_before_torch_and_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["train", "--augment", "flp", "--augment", "flip", "--dry-run"]) == 2
    assert 'augment[0]: no augmentation is named "flp" (did you mean "flip"?' in capsys.readouterr().err
    assert main.run(["info", "crop", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["group"] == "augmentations"
    assert [setting["name"] for setting in shown["settings"]] == ["padding", "fill"]


class Killed(BaseException):
    """Ends a run like a kill."""


class KillAt:
    """Ends the run after a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step(self, step: StepResult) -> None:
        if step.step == self.step:
            raise Killed

    def on_epoch(self, epoch: EpochResult) -> None: ...


def state_of(run: Path) -> dict[str, Tensor]:
    return tensor_files.read(last_file(run))[0]


@pytest.mark.parametrize("more", [{}, SEVERAL])
def test_a_run_resumes_to_the_bit_also_with_a_state(train: Any, tmp_path: Path, more: dict[str, Any]) -> None:
    def options() -> dict[str, Any]:
        augment = ["color-jitter", Brighter(), "cutout:size=2", "crop:padding=2,fill=reflect", "flip"]
        return {"epochs": 3, "augment": augment, "checkpoint_every": 3, **more}

    whole = train(out=tmp_path / "whole", **options())
    with pytest.raises(Killed):
        train(out=tmp_path / "broken", observers=[KillAt(10)], **options())
    resumed = train(resume=tmp_path / "broken", **options())
    expected, found = state_of(whole.run_dir), state_of(resumed.run_dir)
    assert expected.keys() == found.keys()
    assert any("augment" in name for name in found)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert losses(resumed) == losses(whole)


def test_a_run_of_an_older_version_goes_on(train: Any) -> None:
    """Its config.toml and its checkpoint hold one name as a text, and lack what came since."""

    def as_it_was(config: TrainConfig) -> dict[str, Any]:
        settings = {**fixed_settings(config), "augment": "affine"}
        del settings["on_oom"]
        return settings

    with pytest.MonkeyPatch.context() as older:
        older.setattr("nnkit.studies.train.saving.fixed_settings", as_it_was)
        run = train(augment="affine", epochs=2).run_dir
    config = run / "config.toml"
    text = config.read_text().replace('augment = [\n    "affine",\n]', 'augment = "affine"')
    assert 'augment = "affine"' in text
    config.write_text(text.replace('on_oom = "stop"\n', ""))
    resumed = train(resume=run, epochs=3, augment="affine")
    assert losses(resumed) == losses(train(augment="affine", epochs=3))
    config.write_text(config.read_text().replace('"affine"', '"rotate"'))
    with pytest.raises(CheckpointError, match="augment: trained with"):
        train(resume=run, epochs=4, augment="rotate")
