"""The configuration of `nnkit train`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from nnkit.bucketing import old_spelling
from nnkit.durations import PATTERN
from nnkit.errors import Mistake
from nnkit.options import (
    Count,
    Jobs,
    Limit,
    Metrics,
    Option,
    PlaceConfig,
    Positive,
    Seed,
    SeedsIfAny,
    Share,
    SharedBatches,
    SpecField,
    metric_mistakes,
    seed_mistakes,
)
from nnkit.runs.directory import RunDirectory
from nnkit.spec import ObjectSpec, Spec
from nnkit.studies.paths import resumed_elsewhere, taken
from nnkit.types import EXACT_SIZES

CheckpointEvery = Annotated[
    str,
    # In a TOML file a number of steps is a number.
    Field(pattern=rf"^([1-9][0-9]{{0,9}}|{PATTERN})$", coerce_numbers_to_str=True, strict=False),
    Option("", takes="a number of steps such as 100, or a time such as 30s, 5min or 1h"),
]
Accumulate = Annotated[int, Field(ge=1, le=65_536)]
Kept = Annotated[int, Field(ge=1, le=10_000)]
NOT_AUGMENTED = (Spec("none"),)
OF_GRADIENTS = (
    "optimizer", "schedule", "augment", "order", "clip", "ema", "compile", "accumulate", "class_weights",
    "sampler",
)  # fmt: skip
"""Options that mean nothing without gradient steps: with least-squares they stay at their defaults."""


class TrainConfig(PlaceConfig):
    """The options of `nnkit train`."""

    component_groups: ClassVar[Mapping[str, str]] = {
        "dataset": "datasets",
        "model": "models",
        "loss": "losses",
        "stop": "stopping_rules",
        "augment": "augmentations",
        "metric": "metrics",
        "tracker": "trackers",
        "optimizer": "optimizers",
        "schedule": "schedules",
    }
    takes_objects: ClassVar[tuple[str, ...]] = (
        "dataset", "model", "loss", "stop", "metric", "augment", "tracker",
    )  # fmt: skip
    settings_of_components: ClassVar[Mapping[str, tuple[str, str]]] = {"lr": ("optimizer", "lr")}
    alternatives: ClassVar[Mapping[str, str]] = {"seed": "seeds"}

    dataset: Annotated[SpecField, Option("Dataset")] = Spec("digits")
    model: Annotated[
        SpecField | None, Option("Model, such as varres-net:width=81", default="the dataset's")
    ] = None
    loss: Annotated[SpecField | None, Option("Loss", default="the task's")] = None
    stop: Annotated[tuple[SpecField, ...], Option("Stopping rule; repeatable, the first to apply stops")] = ()
    metric: Metrics = ()
    optimizer: Annotated[SpecField, Option("Optimizer, such as adamw:weight_decay=0.05")] = Spec("adam")
    lr: Annotated[Positive | None, Option("Learning rate; overrides the optimizer's own")] = None
    schedule: Annotated[SpecField, Option("Schedule of the learning rate, such as linear-warmup-cosine")] = (
        Spec("none")
    )
    batch_size: Annotated[Count, Option("Images per batch")] = 64
    accumulate: Annotated[
        Accumulate,
        Option("Batches that make one step: their gradients add up to those of one large batch"),
    ] = 1
    on_oom: Annotated[
        Literal["stop", "shrink"],
        Option("Out of memory: stop and name a size that fits, or shrink: smaller parts, the same steps"),
    ] = "stop"
    epochs: Annotated[Count, Option("Maximum number of epochs")] = 10
    augment: Annotated[
        tuple[SpecField, ...],
        Option("Augmentation, such as crop:padding=4 or flip; repeatable, applied in order"),
    ] = NOT_AUGMENTED
    bucketing: SharedBatches = EXACT_SIZES
    precision: Annotated[Literal["fp32", "bf16"], Option("{choices}")] = "fp32"
    compile: Annotated[bool, Option("Compile the model", flags=("--compile/--no-compile",))] = False
    monitor: Annotated[
        str | None, Option("Metric that selects the best epoch", default="accuracy or loss")
    ] = None
    class_weights: Annotated[
        Literal["none", "balanced"],
        Option("{choices}: in training, cross-entropy counts the images of rare classes for more"),
    ] = "none"
    sampler: Annotated[
        Literal["shuffle", "balanced"],
        Option("Images of an epoch: {choices}, which shows each class equally often"),
    ] = "shuffle"
    order: Annotated[Literal["interleaved", "by-resolution"], Option("{choices} batches")] = "interleaved"
    solver: Annotated[
        Literal["gradient", "least-squares", "als"],
        Option("gradient, or least-squares (alias als) for models with such a fit"),
    ] = "gradient"
    clip: Annotated[Positive | None, Option("Maximum norm of the gradient")] = None
    label_smoothing: Annotated[Share, Option("Label smoothing of the cross-entropy")] = 0.0
    ema: Annotated[Share, Option("Decay of a moving average of the weights, 0 for none")] = 0.0
    limit: Limit = None
    seed: Seed = 0
    seeds: SeedsIfAny = None
    jobs: Annotated[Jobs | None, Option("Seeds trained in parallel, with --seeds", default="1")] = None
    tracker: Annotated[
        tuple[SpecField, ...], Option("Where the run is also recorded; repeatable, see `nnkit list trackers`")
    ] = ()
    deterministic: Annotated[
        bool,
        Option(
            "Only kernels that give the same bits each time, which on a GPU are slower; an operation that "
            "has none ends the run. On the CPU runs repeat without this, unless a component uses such an "
            "operation",
            flags=("--deterministic",),
        ),
    ] = False
    test: Annotated[bool, Option("Do not evaluate the test split", flags=("--no-test",), sets=False)] = True
    checkpoint_every: Annotated[
        CheckpointEvery | None,
        Option("Save also within an epoch: every so many steps, or every 30s, 5min or 1h", "N|TIME"),
    ] = None
    keep_checkpoints: Annotated[Kept, Option("Number of checkpoints to keep, the newest")] = 2
    resume: Annotated[
        Path | None,
        Option(
            "Continue a run, by folder or name: where it broke off, or to more --epochs (refused with a "
            "schedule that depends on the number of steps, as cosine and one-cycle)",
            "RUN",
        ),
    ] = None
    out: Annotated[
        Path | None,
        Option(
            "The run's folder, new or empty; that of the same --seeds goes on", default="under --runs-dir"
        ),
    ] = None

    @field_validator("augment")
    @classmethod
    def _none_where_empty(cls, augment: tuple[Spec, ...]) -> tuple[Spec, ...]:
        return augment or NOT_AUGMENTED

    def mistakes(self) -> list[Mistake]:
        """Settings of the dataset, what does not go together, and a folder that is taken."""
        found = old_spelling(self.dataset).mistakes()
        if len(self.augment) > 1 and any(spec.name == "none" for spec in self.augment):
            found.append(
                Mistake("augment", "none stands alone: images are then not augmented", "leave it out")
            )
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
        found += metric_mistakes(self.metric)
        found += resumed_elsewhere(self.resume, out=self.out, seeds=self.seeds)
        return found + self._mistakes_of_seeds()

    def _mistakes_of_seeds(self) -> list[Mistake]:
        if self.seeds is None:
            found = taken(self.out)
            if (self.jobs or 1) > 1:
                found.append(Mistake("jobs", "is for several seeds", "give --seeds too, or leave it out"))
            return found
        passed = [key for key in self.takes_objects if _holds_object(getattr(self, key))]
        found = seed_mistakes(self.seeds)
        if isinstance(self.model, ObjectSpec) and not self.model.makes:
            why = "a module that is made already starts every seed with the same weights"
            found.append(Mistake("model", why, "pass its class, or a function that makes it"))
        if passed and (self.jobs or 1) > 1:
            found.append(Mistake("jobs", f"{passed[0]} is an object of this process", "leave jobs out"))
        goes_on = self.out is not None and RunDirectory(self.out).config_path.is_file()
        return found + ([] if goes_on else taken(self.out))


def _holds_object(value: object) -> bool:
    return any(isinstance(each, ObjectSpec) for each in (value if isinstance(value, tuple) else (value,)))
