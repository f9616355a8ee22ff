"""What a check is given: a component's class, its settings, and the settings that a dataset fills in."""

from __future__ import annotations

import unittest
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nnkit import schema
from nnkit.build import fit_settings, make_nested
from nnkit.errors import ConfigError, DataError, UsageError
from nnkit.spec import Spec
from nnkit.types import DataPlace, Task

GREY_DIGITS: Mapping[str, Any] = {"in_channels": 1, "image_size": (28, 28), "num_classes": 10}
COLOUR_TO_GREY: Mapping[str, Any] = {
    "in_channels": 3,
    "image_size": (32, 32),
    "target_channels": 1,
    "target_size": (28, 28),
}
"""The settings that the default datasets of the two tasks fill in."""

_HOW_TO_GIVE = "settings are given with --spec of check-plugin, or `settings` of the contract class"


class Skipped(unittest.SkipTest):
    """A check that does not apply here, with the reason. pytest and unittest report it as skipped."""


@dataclass(frozen=True)
class Subject:
    """One component as it is checked.

    `settings` are given beside the defaults, as in a spec. `known` is what the dataset fills in (default:
    28×28 one-channel digits, or 32×32 three-channel images to 28×28 one-channel ones for a class with target
    settings). `claims` are what the author says of it (`exports_to_onnx`, `stops_on_nan`); a claim that is
    not here is read from the class's attribute of that name. For a dataset, `make_files` writes a few files
    of its kind into the folder that it is given, and `place` is where to look when there is no `make_files`.
    """

    group: str
    cls: type[Any]
    settings: Mapping[str, Any] = field(default_factory=dict)
    known: Mapping[str, Any] | None = None
    claims: Mapping[str, Any] = field(default_factory=dict)
    make_files: Callable[[Path], None] | None = None
    place: DataPlace | None = None

    @property
    def task(self) -> Task:
        """The task of a model or rule, from its settings."""
        known = schema.settings_of(self.cls, self.group) if self.known is None else self.known
        return "transform" if {"target_size", "target_channels"} & set(known) else "classification"

    @property
    def world(self) -> Mapping[str, Any]:
        """What the dataset fills in."""
        if self.known is not None:
            return self.known
        if self.group == "metrics":
            return {**GREY_DIGITS, "task": "multiclass"}
        return COLOUR_TO_GREY if self.task == "transform" else GREY_DIGITS

    def says(self, claim: str) -> Any:
        """What the author claims, None where nothing is said."""
        return self.claims.get(claim, getattr(self.cls, claim, None))

    def make(self, *first: Any, offered: Mapping[str, Any] | None = None, seed: int = 0) -> Any:
        """A new object, as a command would build it; random weights, nested ones too, from `seed`.

        `first` is the object with which components of the group are made (`nnkit.types.MADE_WITH`), `offered`
        what a run fills in where the settings leave it out. `AssertionError` where the settings do not fit
        the class. `Skipped` where none are given and it requires some, or where files that it reads are not
        here.
        """
        try:
            spec = Spec(self.cls.__name__, self.settings)
            settings = fit_settings(self.cls, spec, known=self.world, offered=offered, group=self.group)
        except ConfigError as error:
            only_missing = len(error.mistakes) == len(self._missing(offered or {}))
            failure = Skipped if only_missing and not self.settings else AssertionError
            raise failure(f"{error.message}; {_HOW_TO_GIVE}") from error
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            try:
                return self.cls(*first, **make_nested(settings))
            except DataError as error:
                raise Skipped(f"its files are not here: {error.message}") from error
            except UsageError as error:
                if self.settings:
                    raise
                raise Skipped(f"{error.message}; {_HOW_TO_GIVE}") from error

    def _missing(self, offered: Mapping[str, Any]) -> list[str]:
        """The settings that the class requires and nobody gave."""
        given = self.settings.keys() | self.world.keys() | offered.keys()
        settings = schema.settings_of(self.cls, self.group)
        return [name for name, setting in settings.items() if setting.required and name not in given]


def images(num_images: int, world: Mapping[str, Any]) -> Tensor:
    """Float (N, C, H, W) in [0, 1], the same each time, of the world's channels and size (28×28 if any)."""
    size = world.get("image_size") or (28, 28)
    generator = torch.Generator().manual_seed(num_images)
    return torch.rand(num_images, world["in_channels"], *size, generator=generator)


def assert_finite(tensor: Tensor, what: str) -> None:
    """`AssertionError` with the share of values that are not finite."""
    bad = int((~tensor.isfinite()).sum())
    assert bad == 0, f"{what}: {bad} of {tensor.numel()} values are not finite"


def assert_close(actual: Tensor, expected: Tensor, what: str) -> None:
    """`AssertionError` where two tensors differ by more than rounding in float32."""
    assert actual.shape == expected.shape, f"{what}: {tuple(actual.shape)} is not {tuple(expected.shape)}"
    close = torch.isclose(actual, expected, rtol=1e-4, atol=1e-5, equal_nan=True)
    if not bool(close.all()):
        largest = float((actual - expected).abs().max())
        raise AssertionError(f"{what}: the largest difference is {largest:.3g}")
