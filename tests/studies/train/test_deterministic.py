"""`--deterministic`: torch's flags for the time of the run, and an operation without such a form by name."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import nnkit
from nnkit.cli import main
from nnkit.errors import UsageError
from nnkit.results.train import TrainResult
from nnkit.runs.directory import RunDirectory
from nnkit.studies.train import resuming
from nnkit.training.determinism import deterministic, refusal
from nnkit.types import EpochResult, StepResult
from tiny_plugin import TinyNet, TinyPlugin

Train = Callable[..., TrainResult]


@pytest.fixture
def train(tiny: TinyPlugin, monkeypatch: pytest.MonkeyPatch) -> Train:
    monkeypatch.setattr("nnkit.present.figures.draw_training", lambda *parts: [])
    base = {"dataset": "tiny", "epochs": 1, "batch_size": 16, "runs_dir": tiny.runs}
    return lambda **options: nnkit.train(**{**base, **options})


def flags() -> dict[str, Any]:
    return {
        "algorithms": torch.are_deterministic_algorithms_enabled(),
        "only warns": torch.is_deterministic_algorithms_warn_only_enabled(),
        "cudnn": (torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark),
        "workspace": os.environ.get("CUBLAS_WORKSPACE_CONFIG"),
    }


ON = {"algorithms": True, "only warns": False, "cudnn": (True, False)}


class Look:
    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []

    def on_step(self, step: StepResult) -> None:
        self.seen.append(flags())

    def on_epoch(self, epoch: EpochResult) -> None:
        self.seen.append(flags())


@pytest.fixture(params=["as torch starts", "as a program chose"])
def before(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    cudnn, chosen = torch.backends.cudnn, request.param == "as a program chose"
    monkeypatch.setattr(cudnn, "benchmark", chosen)
    monkeypatch.setattr(cudnn, "deterministic", False)
    if chosen:
        monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
    else:
        monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    yield flags()
    torch.use_deterministic_algorithms(False)


def test_the_flags_hold_during_the_run_and_are_then_as_before(train: Train, before: dict[str, Any]) -> None:
    look = Look()
    train(deterministic=True, observers=[look])
    expected = {**ON, "workspace": before["workspace"] or ":4096:8"}
    assert look.seen == [expected] * 7
    assert flags() == before


def test_they_are_as_before_after_a_run_that_failed(train: Train, before: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        train(deterministic=True, dataset="tiny:empty_val=true", model="varres-net", loss="mse")
    with pytest.raises(UsageError):
        train(deterministic=True, device="cuda:99")
    assert flags() == before


def test_without_it_nothing_is_set(train: Train, before: dict[str, Any]) -> None:
    look = Look()
    train(observers=[look])
    assert look.seen == [before] * 7


def test_a_workspace_with_which_cublas_does_not_repeat_is_replaced_for_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":0:0")
    with deterministic(True):
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":0:0"


def puts(self: TinyNet, inputs: torch.Tensor) -> torch.Tensor:
    """A forward pass with an operation that torch has in no deterministic form."""
    index = torch.zeros(1, dtype=torch.int64)
    return original(self, inputs) + torch.zeros(1).put_(index, torch.zeros(1))


original = TinyNet.forward


def puts_in_evaluation(self: TinyNet, inputs: torch.Tensor) -> torch.Tensor:
    return original(self, inputs) if self.training else puts(self, inputs)


@pytest.mark.parametrize("forward", [puts, puts_in_evaluation])
@pytest.mark.parametrize("dataset", ["tiny", "tiny:several=true"])
def test_an_operation_without_a_deterministic_form_is_named(
    train: Train, monkeypatch: pytest.MonkeyPatch, forward: Any, dataset: str
) -> None:
    monkeypatch.setattr("tiny_plugin.TinyNet.forward", forward)
    train(dataset=dataset)
    with pytest.raises(UsageError, match=r"^the operation put_ has no deterministic form in torch") as caught:
        train(dataset=dataset, deterministic=True)
    assert "train without --deterministic" in caught.value.hint


def test_it_is_one_message_on_the_command_line_and_leaves_no_folder(
    tiny: TinyPlugin, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tiny_plugin.TinyNet.forward", puts)
    options = ["--dataset", "tiny", "--epochs", "1", "--deterministic", "--quiet"]
    assert main.run(["train", *options, "--runs-dir", str(tiny.runs)]) == 2
    err = capfd.readouterr().err
    assert err.startswith("nnkit: error: the operation put_ has no deterministic form")
    assert len(err.splitlines()) == 2
    assert not tiny.runs.exists()


def test_cuda_that_was_used_before_without_a_workspace_is_told() -> None:
    text = (
        "Deterministic behavior was enabled with either `torch.use_deterministic_algorithms(True)` or "
        "`at::Context::setDeterministicAlgorithms(true)`, but this operation is not deterministic because "
        "it uses CuBLAS and you have CUDA >= 10.2. To enable deterministic behavior in this case, you must "
        "set an environment variable before running your PyTorch application: "
        "CUBLAS_WORKSPACE_CONFIG=:4096:8 or CUBLAS_WORKSPACE_CONFIG=:16:8."
    )
    told = refusal(RuntimeError(text))
    assert told is not None
    assert "set CUBLAS_WORKSPACE_CONFIG=:4096:8 before the process starts" in told.hint
    assert refusal(RuntimeError("something else")) is None


@pytest.mark.parametrize(
    ("device", "wanted", "reason"),
    [
        ("cuda", False, "on cuda some kernels add up in any order"),
        ("cuda", True, None),
        ("mps", True, "on mps some kernels add up in any order"),
        ("cpu", False, None),
    ],
)
def test_with_it_a_resumed_run_on_cuda_is_promised_to_the_bit(
    device: str, wanted: bool, reason: str | None
) -> None:
    config = SimpleNamespace(deterministic=wanted, compile=False)
    x: Any = SimpleNamespace(device=torch.device(device), config=config)
    assert resuming.why_not_exact(x) == reason


def test_a_run_goes_on_as_it_began(train: Train) -> None:
    first = train(deterministic=True)
    look = Look()
    nnkit.train(resume=first.run_dir, epochs=2, observers=[look])
    assert all(seen["algorithms"] for seen in look.seen)
    assert len(look.seen) == 7
    assert "deterministic = true" in (RunDirectory(first.run_dir).config_text() or "")
    plain = train()
    with pytest.raises(UsageError, match="deterministic: the run has no, this asks for yes"):
        nnkit.train(resume=plain.run_dir, epochs=2, deterministic=True)


def test_on_the_cpu_it_changes_no_bit(train: Train) -> None:
    options = {"dataset": "tiny:several=true", "model": "tiny-net:dropout=0.2,norm=true", "augment": "affine"}
    assert train(**options, deterministic=True).best == train(**options).best
