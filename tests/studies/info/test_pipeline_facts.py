from __future__ import annotations

from pathlib import Path

import pytest

from data.image_files import random_png, write_folder
from nnkit.options import PlaceConfig
from nnkit.present.info import info_text
from nnkit.present.pipeline import pipeline_pairs
from nnkit.results.info import MissingFacts, PipelineInfo
from nnkit.studies.info.study import info


def facts(settings: str, root: Path) -> dict[str, object]:
    """What `nnkit info` says of the pipeline where no image is: the analysis needs a shape alone."""
    found = info(f"cifar-transform{settings}", config=PlaceConfig(data_root=root)).facts
    assert isinstance(found, MissingFacts)
    assert found.pipeline is not None
    return dict(found.pipeline)


def test_the_usual_pipeline_is_linear_separable_and_of_full_rank_also_without_images(tmp_path: Path) -> None:
    found = facts("", tmp_path)
    assert found["steps"] == ("resize(28)", "grayscale", "hflip", "vflip")
    assert (found["affine"], found["linear"], found["separable"], found["rank"]) == (True, True, True, 784)
    assert found["parameters"] == 1_795
    assert found["max_error"] < 1e-6  # type: ignore[operator]
    assert (found["input_shape"], found["output_shape"]) == ((3, 32, 32), (1, 28, 28))


def test_an_offset_makes_it_affine_and_a_clamp_none_of_it(tmp_path: Path) -> None:
    affine = facts(":pipeline='resize(4),normalize(0.5,0.5)'", tmp_path)
    assert (affine["affine"], affine["linear"]) == (True, False)
    clamped = facts(":pipeline='resize(4),brightness(1.5)'", tmp_path)
    assert (clamped["affine"], clamped["separable"], clamped["rank"], clamped["parameters"]) == (
        False,
        False,
        None,
        None,
    )
    assert clamped["max_error"] > 0.1  # type: ignore[operator]


def test_the_images_own_shape_is_examined_where_they_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NNKIT_CACHE", str(tmp_path / "cache"))
    files = {
        f"{split}/a/{n}.png": random_png(n, 6, 9, colour=True)
        for split in ("train", "test")
        for n in range(5)
    }
    source = write_folder(tmp_path / "images", files)
    document = info(f"cifar-transform:source={source},pipeline='resize(4),grayscale'")
    assert document["facts"]["pipeline"]["input_shape"] == (3, 6, 9)
    assert document["facts"]["pipeline"]["rank"] == 16
    assert "linear, separable, rank 16 of 16" in info_text(document, width=120)


def test_what_cannot_be_examined_says_why(tmp_path: Path) -> None:
    unknown = facts(":source=nowhere.zip", tmp_path)
    assert "not there" in str(unknown["not_examined"])
    assert "not examined" in info_text(info("cifar-transform:source=nowhere.zip"))


def test_a_large_operator_is_examined_too(tmp_path: Path) -> None:
    large = facts(":pipeline='resize(200)'", tmp_path)
    assert (large["linear"], large["separable"], large["rank"]) == (True, True, 3 * 32 * 32)


def test_a_dataset_without_a_pipeline_says_nothing_of_one() -> None:
    document = info("digits")
    assert document["facts"]["pipeline"] is None
    assert "as a map" not in info_text(document)


def test_the_text_names_what_was_found() -> None:
    found = PipelineInfo(
        steps=("resize(28)", "hflip"),
        dtype="float",
        backend="tensor",
        antialias=False,
        input_shape=(3, 32, 32),
        not_examined=None,
        output_shape=(3, 28, 28),
        affine=True,
        linear=False,
        separable=False,
        rank=2352,
        parameters=7000,
        max_error=0.0,
    )
    assert pipeline_pairs(found) == [
        ("pipeline", "resize(28), hflip; on float tensors, without antialiasing"),
        ("as a map", "affine (linear, and an offset), not separable, rank 2,352 of 2,352"),
        ("exact operator", "7,000 parameters, off by 0"),
    ]
    assert pipeline_pairs(found.model_copy(update={"affine": False, "max_error": 0.25}))[1] == (
        "as a map",
        "not linear: off by 0.2500 from any matrix",
    )
