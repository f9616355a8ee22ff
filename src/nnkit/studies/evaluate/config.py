"""The configuration of `nnkit evaluate`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from nnkit.errors import Mistake
from nnkit.options import Count, Metrics, Option, PlaceConfig, SpecField, metric_mistakes
from nnkit.spec import ObjectSpec
from nnkit.studies.paths import no_run


class EvaluateConfig(PlaceConfig):
    """The options of `nnkit evaluate`."""

    component_groups: ClassVar[Mapping[str, str]] = {
        "dataset": "datasets",
        "model": "models",
        "loss": "losses",
        "metric": "metrics",
    }
    takes_objects: ClassVar[tuple[str, ...]] = ("dataset", "model", "loss", "metric")

    run: Annotated[Path, Option("A run directory, or a .safetensors file of weights", argument=True)] = Path()
    split: Annotated[Literal["train", "val", "test"], Option("{choices}")] = "test"
    dataset: Annotated[SpecField | None, Option("Another dataset than the run's own")] = None
    # From Python alone, for a run whose model or loss was an object.
    model: Annotated[SpecField | None, Option("The run's own model", shown=False)] = None
    loss: Annotated[SpecField | None, Option("The run's own loss", shown=False)] = None
    metric: Metrics = ()
    batch_size: Annotated[Count, Option("Images per batch")] = 256
    limit: Annotated[Count | None, Option("Maximum number of images of the split")] = None
    # A file for several commands may set it, and NNKIT_RUNS does: a run may be named by its name alone.
    runs_dir: Annotated[Path | None, Option("Where runs are kept", shown=False)] = None

    def mistakes(self) -> list[Mistake]:
        """A run that is not there; a model or a loss that is named, where the run's own is evaluated."""
        named = [
            Mistake(name, "a run is evaluated with its own, which is not named again", "leave it out")
            for name in ("model", "loss")
            if (spec := getattr(self, name)) is not None and not isinstance(spec, ObjectSpec)
        ]
        named += metric_mistakes(self.metric)
        return named + ([] if self.run.exists() else no_run(self.run, self.runs_dir))
