"""Everything that `nnkit train` can be told."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from nnkit.bucketing import old_spelling
from nnkit.errors import Mistake
from nnkit.options import (
    Count,
    Limit,
    Option,
    PlaceConfig,
    Positive,
    Seed,
    Share,
    SharedBatches,
    SpecField,
)
from nnkit.spec import Spec
from nnkit.studies.paths import taken
from nnkit.training.optimizers import optimizer_mistakes
from nnkit.types import EXACT_SIZES

CheckpointEvery = Annotated[
    str,
    Field(pattern=r"^([1-9]\d{0,9}|\d{1,9}(\.\d{1,9})?(s|min|h))$"),
    Option("", takes="a number of steps such as 100, or a time such as 30s, 5min or 1h"),
]
Kept = Annotated[int, Field(ge=1, le=10_000)]
OF_GRADIENTS = ("optimizer", "schedule", "augment", "order", "clip", "ema", "compile")
"""Options that mean nothing without gradient steps: with least-squares they stay at their defaults."""


class TrainConfig(PlaceConfig):
    """The options of `nnkit train`."""

    component_groups: ClassVar[Mapping[str, str]] = {
        "dataset": "datasets",
        "model": "models",
        "loss": "losses",
        "stop": "stopping_rules",
    }
    settings_of_components: ClassVar[Mapping[str, tuple[str, str]]] = {"lr": ("optimizer", "lr")}

    dataset: Annotated[SpecField, Option("Dataset")] = Spec("digits")
    model: Annotated[SpecField | None, Option("Model, as varres-net:width=81", default="the dataset's")] = (
        None
    )
    loss: Annotated[SpecField | None, Option("Loss", default="the task's")] = None
    stop: Annotated[tuple[SpecField, ...], Option("Stopping rule; repeatable, any one stops")] = ()
    optimizer: Annotated[SpecField, Option("sgd, adam, adamw or lbfgs, with settings")] = Spec("adam")
    lr: Annotated[Positive | None, Option("Learning rate, beats the optimizer's own")] = None
    schedule: Annotated[Literal["none", "cosine", "one-cycle"], Option("{choices}")] = "none"
    batch_size: Annotated[Count, Option("Images per step")] = 64
    epochs: Annotated[Count, Option("Epochs at most")] = 10
    augment: Annotated[Literal["none", "affine", "rotate", "report"], Option("{choices}")] = "none"
    bucketing: SharedBatches = EXACT_SIZES
    precision: Annotated[Literal["fp32", "bf16"], Option("{choices}")] = "fp32"
    compile: Annotated[bool, Option("Compile the model", flags=("--compile/--no-compile",))] = False
    monitor: Annotated[
        str | None, Option("Metric that says which epoch is best", default="accuracy or loss")
    ] = None
    order: Annotated[Literal["interleaved", "by-resolution"], Option("{choices} batches")] = "interleaved"
    solver: Annotated[
        Literal["gradient", "least-squares", "als"],
        Option("gradient, or least-squares (als for short) for models with such a fit"),
    ] = "gradient"
    clip: Annotated[Positive | None, Option("Largest norm of the gradient")] = None
    label_smoothing: Annotated[Share, Option("Of the cross-entropy")] = 0.0
    ema: Annotated[Share, Option("Decay of an average of the weights, 0 for none")] = 0.0
    limit: Limit = None
    seed: Seed = 0
    deterministic: Annotated[
        bool,
        Option(
            "Only kernels that give the same bits each time, which on a GPU are slower; an operation that "
            "has none ends the run. On the CPU a run repeats itself without this, unless a component uses "
            "such an operation",
            flags=("--deterministic",),
        ),
    ] = False
    test: Annotated[bool, Option("Leave the test split alone", flags=("--no-test",), sets=False)] = True
    checkpoint_every: Annotated[
        CheckpointEvery | None,
        Option("Save also within an epoch: every so many steps, or 30s, 5min, 1h", "N|TIME"),
    ] = None
    keep_checkpoints: Annotated[Kept, Option("Checkpoints to keep, the newest")] = 2
    resume: Annotated[
        Path | None,
        Option(
            "Go on with a run, by folder or name: to more --epochs (but for cosine and one-cycle, which end "
            "where they were to end), or where it broke off",
            "RUN",
        ),
    ] = None
    out: Annotated[Path | None, Option("The run's folder, new or empty", default="under --runs-dir")] = None

    def mistakes(self) -> list[Mistake]:
        """Settings of dataset and optimizer, what does not go together, and a folder that is taken."""
        found = old_spelling(self.dataset).mistakes() + optimizer_mistakes(self.optimizer)
        if self.clip is not None and self.optimizer.name == "lbfgs":
            why = "lbfgs searches along its own step: it has no gradient to clip"
            found.append(Mistake("clip", why))
        if self.solver != "gradient":
            found += [
                Mistake(
                    key,
                    "solver=least-squares takes no gradient steps",
                    "leave it out, or use --solver gradient",
                )
                for key in OF_GRADIENTS
                if getattr(self, key) != type(self).model_fields[key].default
            ]
        if self.resume is not None and self.out is not None:
            found.append(Mistake("out", "a run that is resumed stays in its folder", "leave --out out"))
        return found + taken(self.out)
