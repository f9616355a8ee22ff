"""The whole state of a training in one safetensors file: what it takes to go on to the bit.

Weights, buffers (also those that `state_dict` leaves out), average, optimizer, schedule, the sums of the
epoch under way, and what stands beside the loop. The order of the images and every random number follow from
the seed, the epoch and the step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from nnkit import files
from nnkit.data import tensor_files
from nnkit.errors import CheckpointError, quote
from nnkit.runs.lines import LogMark
from nnkit.runs.plain_state import pack, unpack
from nnkit.runs.weights import MAX_BYTES
from nnkit.training.loop import EpochProgress, TrainState

FORMAT = 2


@dataclass(frozen=True)
class RunProgress:
    """How far a run is, beyond the state of its loop: rules, best epoch, log, time.

    `log_bytes` is the length of metrics.jsonl at that moment, `log_crc32` the checksum of so much of it;
    `settings` are those that the run may not change; `seconds` is the time that the run had taken;
    `stopped_by` says why training had ended, None where it had not; `epochs` is how many were asked for.
    `augment` has the state of each augmentation, None for one without.
    """

    rules: list[dict[str, Any]]
    best: dict[str, Any]
    log_bytes: int
    seconds: float
    stopped_by: str | None = None
    log_crc32: int | None = None
    settings: dict[str, Any] | None = None
    epochs: int | None = None
    augment: list[Any] | None = None

    @property
    def log_mark(self) -> LogMark:
        """How far the log was written."""
        return LogMark(self.log_bytes, self.log_crc32)


@dataclass(frozen=True)
class SavedState:
    """A checkpoint that was read: `restore` puts it into a run's objects.

    `best_weights` are those of the best epoch until then; empty where there was none.
    """

    path: Path
    parts: Mapping[str, Any]
    run: RunProgress
    best_weights: Mapping[str, Tensor] = field(default_factory=dict)

    def restore(self, state: TrainState, loss: nn.Module) -> None:
        """Bring `state` and the buffers of `loss` to what they were; `CheckpointError` where one differs."""
        try:
            self._restore(state, loss)
        except (RuntimeError, ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
            why = f"{type(error).__name__}: {error}".splitlines()[0]
            raise CheckpointError(
                f"{self.path} does not fit the model, optimizer or schedule of its own configuration: {why}",
                hint="were they changed since? Train again, or resume with the version that wrote it",
            ) from error

    def _restore(self, state: TrainState, loss: nn.Module) -> None:
        parts = self.parts
        state.model.load_state_dict(parts["model"])
        _load_buffers(state.model, parts["buffers"])
        _load_buffers(loss, parts["loss_buffers"])
        state.optimizer.load_state_dict(parts["optimizer"])
        if state.schedule is not None:
            state.schedule.load_state_dict(parts["schedule"])
        if state.average is not None:
            state.average.load_state_dict(parts["average"])
        state.epoch, state.step = int(parts["epoch"]), int(parts["step"])
        state.parts.number, state.eval_parts.number = int(parts["parts"]), int(parts["eval_parts"])
        progress = parts["progress"]
        if progress is not None:
            device = next(state.model.parameters()).device
            sums = {name: progress[name].to(device) for name in ("loss", "correct")}
            state.progress = EpochProgress(**{**progress, **sums})


def save(path: Path, state: TrainState, loss: nn.Module, run: RunProgress) -> None:
    """Write a checkpoint. `CheckpointError` for a state of a third party that it cannot hold: it is named."""
    progress = state.progress
    parts = {
        "model": dict(state.model.state_dict()),
        "buffers": _left_out(state.model),
        "loss_buffers": dict(loss.named_buffers()),
        "optimizer": state.optimizer.state_dict(),
        "schedule": state.schedule.state_dict() if state.schedule is not None else None,
        "average": dict(state.average.state_dict()) if state.average is not None else None,
        "epoch": state.epoch,
        "step": state.step,
        "parts": state.parts.number,
        "eval_parts": state.eval_parts.number,
        "progress": _plain_progress(progress) if progress is not None else None,
        "run": vars(run),
    }
    packed, tensors = pack(parts, "state")
    tensor_files.save(path, tensors, {"format": FORMAT, "state": packed})


def _plain_progress(progress: EpochProgress) -> dict[str, Any]:
    values = {**vars(progress), "seconds": progress.elapsed_s}
    del values["started"]
    return values


def _left_out(module: nn.Module) -> dict[str, Tensor]:
    """The buffers that are not persistent: a model may change them in training all the same."""
    persistent = module.state_dict().keys()
    return {name: buffer for name, buffer in module.named_buffers() if name not in persistent}


def _load_buffers(module: nn.Module, saved: Mapping[str, Tensor]) -> None:
    buffers = dict(module.named_buffers())
    for name, value in saved.items():
        buffers[name].copy_(value)


def read(path: Path) -> SavedState:
    """Read a checkpoint; `CheckpointError` where it is damaged or no checkpoint of nnkit's.

    `OSError` where the system refuses what may be whole: too many open files, missing permissions.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError("it is larger than 8 GiB")
        tensors, header = tensor_files.read(path)
        if header.get("format") != FORMAT:
            raise ValueError(f"format {quote(header.get('format'))}")
        parts = unpack(header["state"], tensors)
        run = RunProgress(**parts.pop("run"))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OSError) as error:
        if isinstance(error, OSError) and not files.is_damage(error):
            raise
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{path} is damaged: {why}", hint="an older checkpoint may be whole") from None
    return SavedState(path, parts, run)
