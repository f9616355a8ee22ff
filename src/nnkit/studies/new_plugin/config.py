"""The configuration of `nnkit new-plugin`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from nnkit.options import CommandConfig, Option

Kind = Literal[
    "dataset",
    "model",
    "pooling",
    "loss",
    "stopping-rule",
    "optimizer",
    "schedule",
    "augmentation",
    "metric",
    "tracker",
]


class NewPluginConfig(CommandConfig):
    """The options of `nnkit new-plugin`."""

    name: Annotated[str, Option("The distribution's name, such as nnkit-gem", argument=True)]
    kind: Annotated[Kind, Option("{choices}", "KIND")]
    out: Annotated[Path | None, Option("Where the new folder goes", default="here")] = None
