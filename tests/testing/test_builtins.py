"""Every built-in component passes the checks asked of a plugin: a new one is tested by existing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nnkit import registry
from nnkit.spec import parse
from nnkit.testing import CHECKS, Skipped, Subject
from nnkit.testing.models import an_image_gives_the_same_alone_and_in_a_batch, gives_the_declared_shape
from nnkit.types import GROUPS, DataPlace

SPECS = {
    "conv-shrink": ["conv-shrink", "conv-shrink:kernel=5"],
    "separable": ["separable", "separable:band=3"],
    "mnist-convnet": ["mnist-convnet", "mnist-convnet:conv=unfold"],
    "varres-net": ["varres-net", "varres-net:pooling=avg"],
    "varres-plus": ["varres-plus", "varres-plus:pools=2,pool_every=2,crop=16"],
    "perceptual": ["perceptual:weights=random,resize=16"],
    "threshold": ["threshold:below=0.1", "threshold:metric=val_accuracy,above=0.9"],
    "patience": ["patience", "patience:metric=val_accuracy,patience=3,min_delta=0.01"],
    "window": ["window:epochs=3,min_delta=0.01", "window:epochs=3,min_delta=0.01,variant=lag"],
    "time-limit": ["time-limit:minutes=0.1"],
    "cosine": ["cosine", "cosine:T_max=3"],
    "muon": ["muon", "muon:momentum=0.5,weight_decay=0,adam_lr=0.1,betas=[0.5,0.9]"],
    "linear-warmup-cosine": ["linear-warmup-cosine", "linear-warmup-cosine:warmup=0.25,final=0.1"],
    "one-cycle": ["one-cycle", "one-cycle:warmup=0.1"],
    "step": ["step:step_size=2"],
    "multi-step": ["multi-step:milestones=[2,4]"],
    "exponential": ["exponential:gamma=0.9"],
    "cosine-restarts": ["cosine-restarts:T_0=2"],
    "cifar-transform": ["cifar-transform:source=synthetic"],
    "image-folder": ["image-folder:path={folder}"],
    "flip": ["flip", "flip:vertical=true,p=1.0"],
    "crop": ["crop", "crop:padding=40,fill=reflect"],
    "cutout": ["cutout", "cutout:share=0.4"],
    "color-jitter": ["color-jitter:hue=0.5"],
}
"""What a component is checked as, where its bare name asks for a setting or shows too little."""

STOPS_ON_NAN = {"threshold": False, "half-level": False, "patience": True, "window": True}
ODD = {"in_channels": 2, "image_size": (18, 13)}
ODD_WORLDS: dict[str, dict[str, Any]] = {
    "classification": ODD | {"num_classes": 7},
    "transform": ODD | {"target_channels": 3, "target_size": (14, 9)},
}
"""Sizes that are not square, channels that are neither grey nor colour."""


def built_in_specs(group: str) -> Iterator[str]:
    for entry in registry.entries():
        if entry.group == group and entry.provider == registry.BUILT_IN:
            yield from SPECS.get(entry.name, [entry.name])


CASES = [
    pytest.param(group, spec, check, id=f"{group}-{spec}-{check}")
    for group in GROUPS
    for spec in built_in_specs(group)
    for check in CHECKS[group]
]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("classes")
    rng = np.random.default_rng(0)
    for name in ("cats", "dogs"):
        (root / name).mkdir()
        for number in range(10):
            pixels = rng.integers(0, 256, (12, 12 + number % 2), np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    return root


def subject_of(group: str, spec: str, folder: Path, cache: Path) -> Subject:
    parsed = parse(spec.format(folder=folder))
    cls = registry.load(registry.find(group, parsed.name)).cls
    place = DataPlace(root=Path(os.environ.get("NNKIT_DATA") or folder), cache=cache)
    claims: dict[str, Any] = {"exports_to_onnx": True} if group == "models" else {}
    if parsed.name in STOPS_ON_NAN:
        claims["stops_on_nan"] = STOPS_ON_NAN[parsed.name]
    return Subject(group, cls, parsed.settings, claims=claims, place=place)


@pytest.mark.parametrize(("group", "spec", "check"), CASES)
def test_a_built_in_component_passes(
    group: str, spec: str, check: str, folder: Path, cache_dir: Path
) -> None:
    CHECKS[group][check](subject_of(group, spec, folder, cache_dir))


@pytest.mark.parametrize("spec", list(built_in_specs("models")))
def test_a_built_in_model_takes_images_of_any_shape(spec: str, folder: Path, cache_dir: Path) -> None:
    usual = subject_of("models", spec, folder, cache_dir)
    odd = Subject("models", usual.cls, usual.settings, known=ODD_WORLDS[usual.task])
    gives_the_declared_shape(odd)
    an_image_gives_the_same_alone_and_in_a_batch(odd)


def test_no_built_in_component_is_left_out() -> None:
    names = {parse(param.values[1]).name for param in CASES}  # type: ignore[arg-type]
    assert names == {entry.name for entry in registry.entries() if entry.provider == registry.BUILT_IN}


def test_a_check_that_does_not_apply_says_why() -> None:
    with pytest.raises(Skipped, match="exports_to_onnx is not True"):
        CHECKS["models"]["exports_to_onnx"](
            Subject("models", registry.load(registry.find("models", "linear")).cls)
        )
