"""Photographs noted as lying on their side or mirrored are turned upright, on every way into a dataset."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from data.image_files import write_folder, write_tgz, write_zip
from nnkit.api import train
from nnkit.data.loaders import EvalLoader
from nnkit.datasets.cifar_transform import CifarTransform
from nnkit.datasets.image_folder import ImageFolder
from nnkit.surrogates.pipelines import parse_pipeline
from nnkit.types import Data, DataPlace

ORIENTATIONS = range(1, 9)
ORIENTATION_TAG = 0x0112
STORED = (10, 16)
CPU = torch.device("cpu")


def photograph(orientation: int, kind: str, seed: int = 0) -> bytes:
    """A colour photograph of 10×16 stored pixels, no two corners alike, with the orientation in EXIF."""
    height, width = STORED
    pixels = np.random.default_rng(seed).integers(0, 60, (height, width, 3)).astype(np.uint8)
    pixels[: height // 2, : width // 2] += 190
    pixels[: height // 2, width // 2 :] += 90
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = orientation
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind, exif=exif)
    return stream.getvalue()


def as_viewed(file: bytes) -> np.ndarray:
    """(C, H, W) as Pillow turns it."""
    with Image.open(io.BytesIO(file)) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB")).transpose(2, 0, 1)


def every(data: Data) -> list[np.ndarray]:
    """All the images as evaluation sees them, (C, H, W), 0 to 255, in the order of the source."""
    data_as_it_is = {"mean": (0.0,) * data.in_channels, "std": (1.0,) * data.in_channels}
    plain = Data(**{**vars(data), **data_as_it_is})
    found: dict[int, np.ndarray] = {}
    for split in plain.splits.values():
        for batch in EvalLoader(plain, split, batch_size=3, device=CPU):
            pixels = (batch.inputs * 255).round().numpy()
            found.update(zip(split.indices[batch.indices].tolist(), pixels, strict=True))
    return [found[at] for at in sorted(found)]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
@pytest.mark.parametrize("store", ["folder", "tgz", "zip", "files", "files and workers"])
def test_a_folders_images_are_upright_whatever_holds_them_also_from_the_cache(
    tmp_path: Path, store: str, kind: str
) -> None:
    files = {
        f"{folder}/{label}/{orientation}.{kind.lower()}": photograph(orientation, kind, seed)
        for seed, (folder, label) in enumerate(
            [(f, k) for f in ("train", "val", "test") for k in ("cat", "dog")]
        )
        for orientation in ORIENTATIONS
    }
    settings: dict[str, Any] = {}
    if store == "tgz":
        path = write_tgz(tmp_path / "x.tgz", files)
    elif store == "zip":
        path = write_zip(tmp_path / "x.zip", files)
    else:
        path = write_folder(tmp_path / "x", files)
    if store.startswith("files"):
        settings = {"in_memory": False, "num_workers": int("workers" in store)}
    place = DataPlace(tmp_path, tmp_path / "cache")
    expected = [as_viewed(files[name]) for name in sorted(files)]
    assert {image.shape for image in expected} == {(3, 10, 16), (3, 16, 10)}
    for _ in ("decoded", "cached"):
        data = ImageFolder(path=path, **settings).load(place)
        images = data.splits["train"].images
        assert images.sizes.tolist() == [list(image.shape[1:]) for image in expected]
        for found, wanted in zip(every(data), expected, strict=True):
            assert np.array_equal(found, wanted)
        for at, wanted in enumerate(expected):
            assert np.array_equal(images.image(at).numpy(), wanted)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_transforms_images_and_targets_are_upright_also_from_the_cache(
    tmp_path: Path, orientation: int
) -> None:
    files = {f"{at:02}.png": photograph(orientation, "PNG", at) for at in range(20)}
    path = write_folder(tmp_path / "x", files)
    expected = np.stack([as_viewed(files[name]) for name in sorted(files)])
    text = "resize_shortest(5),hflip"
    for _ in ("decoded", "cached"):
        data = CifarTransform(source=str(path), pipeline=text).load(DataPlace(tmp_path, tmp_path / "cache"))
        assert np.array_equal(np.stack(every(data)), expected)
        targets = parse_pipeline(text).apply(torch.from_numpy(expected))
        assert torch.equal(data.splits["train"].targets, targets)


@pytest.mark.parametrize("in_memory", ["true", "false"])
def test_photographs_on_their_side_train_as_the_same_ones_stored_upright(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_memory: str
) -> None:
    monkeypatch.setattr("nnkit.present.figures.draw_training", lambda *parts: [])
    monkeypatch.setenv("NNKIT_CACHE", str(tmp_path / "cache"))
    noted = {
        f"{label}/{at:02}.png": photograph(at % 8 + 1, "PNG", at)
        for label in ("cat", "dog")
        for at in range(16)
    }
    upright = {}
    for name, file in noted.items():
        stream = io.BytesIO()
        Image.fromarray(as_viewed(file).transpose(1, 2, 0)).save(stream, "PNG")
        upright[name] = stream.getvalue()
    results = [
        train(
            dataset=f"image-folder:path={write_folder(tmp_path / name, files)},in_memory={in_memory}",
            model="varres-net:width=4",
            epochs=1,
            threads=1,
            device="cpu",
            runs_dir=tmp_path / "runs",
        )
        for name, files in (("noted", noted), ("upright", upright))
    ]
    assert results[0].test == results[1].test
    assert results[0].best.metrics == results[1].best.metrics
