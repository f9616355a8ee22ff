"""The configuration of `nnkit info`."""

from __future__ import annotations

from typing import Annotated

from nnkit.options import Count, DataConfig, Option, SharedBatches
from nnkit.types import EXACT_SIZES


class InfoConfig(DataConfig):
    """The options of `nnkit info`."""

    spec: Annotated[str, Option("A component, such as varres-net or mnist-varres:seed=1", argument=True)]
    group: Annotated[str | None, Option("The group, where two share the name", "GROUP")] = None
    batch_size: Annotated[Count, Option("Images per batch in a dataset's forecast")] = 64
    bucketing: SharedBatches = EXACT_SIZES
