"""The configuration of `nnkit count-params`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import Field

from nnkit.options import CommandConfig, Option, SpecField


class CountParamsConfig(CommandConfig):
    """The options of `nnkit count-params`."""

    component_groups: ClassVar[Mapping[str, str]] = {"specs": "models"}

    specs: Annotated[
        tuple[SpecField, ...],
        Field(min_length=1),
        Option("Models, such as mnist-convnet or varres-net:width=81", "SPEC...", argument=True),
    ]
    input: Annotated[
        str | None,
        Option("Shape of the image, such as 1x28x28", "CxHxW", default="what each model is made for"),
    ] = None
    match: Annotated[str | None, Option("A model, or a number of parameters, to match", "SPEC")] = None
    vary: Annotated[str | None, Option("The integer setting to choose for --match", "SETTING")] = None
    tolerance: Annotated[
        str | None, Option("Largest relative difference of a match; else exit 4", "SHARE", default="1%")
    ] = None
