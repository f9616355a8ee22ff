"""The weights of a run's best epoch: a safetensors file whose header says how to build the model.

`load` makes the model from the registry alone; nothing in the file needs unpickling.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nnkit import files
from nnkit.build import build
from nnkit.data import tensor_files
from nnkit.data.loaders import normalises
from nnkit.errors import CheckpointError, NnkitError, UsageError, quote
from nnkit.runs.directory import RunDirectory
from nnkit.spec import PYTHON, from_toml
from nnkit.types import Data

FORMAT = 1
MAX_BYTES = 8 << 30
_SIZES = ("image_size", "target_size")


class Normalize(nn.Module):
    """(input - mean) / std per channel, for inputs in [0, 1], float (B, C, H, W)."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1))

    def forward(self, inputs: Tensor) -> Tensor:
        """Normalise each channel."""
        return (inputs - self.mean) / self.std


@dataclass(frozen=True)
class ModelCard:
    """What a file of weights says of itself: how to build its model and what it was trained on."""

    model: Any
    known: Mapping[str, Any]
    task: str
    class_names: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    epoch: int = 0
    monitor: str = ""
    metrics: Mapping[str, Any] = field(default_factory=dict)


def describe(data: Data, model: Any, *, epoch: int, monitor: str, metrics: Mapping[str, Any]) -> ModelCard:
    """The card of a model trained on `data`; `model` is its spec as a config file has it."""
    return ModelCard(
        model=model,
        known=data.known_settings(),
        task=data.task,
        class_names=data.class_names,
        mean=data.mean,
        std=data.std,
        epoch=epoch,
        monitor=monitor,
        metrics=dict(metrics),
    )


def save(path: Path, model: nn.Module, card: ModelCard) -> None:
    """Write the weights and buffers of a model, with its card."""
    # clone: safetensors refuses tensors that share memory, as tied weights do
    tensors = {key: value.detach().cpu().contiguous().clone() for key, value in model.state_dict().items()}
    tensor_files.save(path, tensors, {"format": FORMAT, **vars(card)})


def read_card(run: Path) -> ModelCard:
    """The card of a run's best weights; `CheckpointError` where the file is not ours or damaged."""
    path = best_path(run)
    header, _ = _read(path, tensors=False)
    try:
        known = {k: tuple(v) if k in _SIZES and v else v for k, v in dict(header["known"]).items()}
        card = ModelCard(
            model=header["model"],
            known=known,
            task=str(header["task"]),
            class_names=tuple(map(str, header["class_names"])),
            mean=tuple(map(float, header["mean"])),
            std=tuple(map(float, header["std"])),
            epoch=int(header["epoch"]),
            monitor=str(header["monitor"]),
            metrics=dict(header["metrics"]),
        )
        return _checked(card, path)
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(path, f"its header lacks {error}") from None


def _checked(card: ModelCard, path: Path) -> ModelCard:
    """The card, unless its statistics cannot be those of its images."""
    channels = (card.known.get("in_channels"),) if card.mean else (0,)
    if not (len(card.mean),) == (len(card.std),) == channels or 0 in card.std:
        raise _damaged(path, "its mean and standard deviation do not fit its channels")
    return card


def best_path(run: Path) -> Path:
    """The file of weights of a run directory, or the file itself where one is given."""
    if run.is_file():
        if run.suffix != ".safetensors":
            raise UsageError(
                f"{run} is no run directory and no .safetensors file",
                hint="only safetensors weights are read: pickled files such as .pt can run code when opened",
            )
        return run
    if not run.is_dir():
        raise UsageError(f"there is no run at {run}", hint="`nnkit runs list` shows the runs")
    directory = RunDirectory(run)
    path = directory.checkpoints.best()
    if path is None or not path.is_file():
        if cells := directory.cells():
            raise UsageError(f"{run} holds several runs", hint=f"name one of them, as {cells[0].path}")
        raise CheckpointError(
            f"{run} holds no weights", hint="the run ended before its first epoch did, or is no run"
        )
    directory.checkpoints.check(path)
    return path


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The weights and buffers in a file; `CheckpointError` where it is damaged."""
    return _read(path, tensors=True)[1]


def load_bare(run: Path, model: nn.Module | None = None) -> tuple[nn.Module, ModelCard]:
    """The model of a run without its normalisation, in eval mode, and its card.

    `model`, of the run's own class, gets the weights of a run whose model was passed as an object.
    """
    path = best_path(run)
    card = read_card(run)
    _, tensors = _read(path, tensors=True)
    try:
        spec = from_toml(card.model, "model")
        if model is None and spec.name == PYTHON:
            raise UsageError(
                f"the model was a Python object, {spec.settings.get('type')}",
                hint="from Python, pass one of its class, as in nnkit.load(run, model=...)",
            )
        found: nn.Module = build("models", spec, known=card.known) if model is None else model
    except NnkitError as error:
        error.message = f"{path}: {error.message}"
        raise
    try:
        found.load_state_dict(tensors)
    except RuntimeError as error:
        if model is not None:
            raise UsageError(
                f"model: the weights in {path} are of another model: {str(error).splitlines()[-1].strip()}",
                hint=f"pass one like that which was trained, {spec.settings.get('type', spec)}",
            ) from None
        raise _damaged(path, str(error).splitlines()[0]) from None
    return found.eval(), card


def load(run: Path | str, model: nn.Module | None = None) -> nn.Module:
    """The best model of a run, in eval mode: float (B, C, H, W) in [0, 1] in, normalisation inside.

    `run` is a run directory or a weights file. The model's class comes from the registry alone; `model` gets
    the weights where it was passed as an object.
    """
    found, card = load_bare(Path(run), model)
    if not normalises(card.mean, card.std):
        return found
    return nn.Sequential(Normalize(card.mean, card.std), found).eval()


def _read(path: Path, *, tensors: bool) -> tuple[dict[str, Any], dict[str, Tensor]]:
    if path.stat().st_size > MAX_BYTES:
        raise _damaged(path, "it is larger than 8 GiB")
    try:
        read, header = tensor_files.read(path) if tensors else ({}, tensor_files.read_header(path))
    except (ValueError, RecursionError, OSError) as error:
        if isinstance(error, OSError) and not files.is_damage(error):
            raise
        raise _damaged(path, str(error).splitlines()[0] if str(error) else type(error).__name__) from None
    if header.get("format") != FORMAT:
        raise _damaged(path, f"format {quote(header.get('format'))}")
    return header, read


def _damaged(path: Path, why: str) -> CheckpointError:
    return CheckpointError(
        f"{path} is no checkpoint of nnkit, or damaged: {why}", hint="train again, or use another run"
    )
