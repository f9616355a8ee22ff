"""A component's page: who brings it, its settings with types and defaults, and a dataset's facts."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiny_plugin
from data.image_files import encoded, write_folder
from nnkit.models.varres_net import VarresNet
from nnkit.present.info import info_text
from nnkit.studies.info.study import info
from nnkit.types import DataPlace, Split
from present.reading import has_table, read_pairs, read_table, shows, squeezed, values

WIDTHS = [40, 80, 120]


@pytest.mark.parametrize("width", WIDTHS)
def test_the_head_says_the_name_group_provider_and_source(width: int) -> None:
    document = info("tiny:several=true")
    text = info_text(document, width=width)
    head = read_pairs(text)[0]
    line = inspect.getsourcelines(tiny_plugin.Tiny)[1]
    assert head == [
        ("name", "tiny"), ("group", "datasets"), ("provider", "tiny-plugin 1.0"),
        ("source", f"{tiny_plugin.__file__}:{line}"),
    ]  # fmt: skip
    assert inspect.cleandoc(tiny_plugin.Tiny.__doc__ or "") in text


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("spec", ["varres-net", "patience", "image-folder", "threshold", "cross-entropy"])
def test_each_setting_has_its_type_its_default_and_its_meaning(spec: str, width: int) -> None:
    document = info(spec)
    text = info_text(document, width=width)
    with_help = any(setting["help"] for setting in document["settings"])
    rows = read_table(
        text, "setting", "type", "default", *(["meaning"] * with_help), may_be_empty=["meaning"]
    )
    for row, setting in zip(rows, document["settings"], strict=True):
        assert row["setting"] == setting["name"]
        assert squeezed(row["type"]) == squeezed(setting["type"])
        assert squeezed(row["default"]) == squeezed(as_default(setting))
        if with_help:
            assert squeezed(row["meaning"]) == squeezed(setting["help"] or "")


def as_default(setting: dict[str, Any]) -> str:
    if setting["required"]:
        return "required"
    default = setting["default"]
    if isinstance(default, bool):
        return str(default).lower()
    return "none" if default is None else str(default)


def test_the_defaults_are_those_of_the_signature() -> None:
    rows = {
        row["setting"]: row
        for row in read_table(info_text(info("varres-net"), width=200), *HEADS, may_be_empty=HEADS[3:])
    }
    signature = inspect.signature(VarresNet).parameters
    for name in ("width", "in_channels", "num_classes"):
        assert rows[name]["default"] == str(signature[name].default)
    assert rows["pooling"]["default"] == "max"
    path = read_table(
        info_text(
            info(
                "image-folder",
            ),
            width=200,
        ),
        *HEADS,
    )[0]
    assert (path["setting"], path["default"]) == ("path", "required")


HEADS = ("setting", "type", "default", "meaning")


def test_a_component_without_settings_says_so() -> None:
    assert "No settings." in info_text(info("avg"))


@pytest.mark.parametrize("width", WIDTHS)
def test_a_dataset_shows_its_facts_and_how_many_images_of_each_size_a_split_has(width: int) -> None:
    text = info_text(info("tiny:several=true", batch_size=16), width=width)
    (facts,) = (dict(block) for block in read_pairs(text) if block[0][0] == "task")
    assert facts["task"] == "classification"
    assert "tiny-net" in facts.values()
    assert facts["images"].startswith("1 channel")
    assert facts["images"].endswith(", several sizes")
    assert facts["classes"] == "3: a, b, c"
    assert "targets" not in facts
    rows = read_table(text, "size", "train", "val", "test")
    assert {tuple(row.values()) for row in rows} == {
        ("8x8", "30", "14", "15"), ("10x6", "30", "14", "15"), ("12x12", "30", "14", "15"),
        ("all", "90", "42", "45"),
    }  # fmt: skip
    assert rows[-1]["size"] == "all"
    targets = {name: split.targets[split.indices] for name, split in tiny_splits().items()}
    counted = read_table(text, "class", "train", "val", "test")
    assert [list(row.values()) for row in counted] == [
        *([kind, *(str(int((of == at).sum())) for of in targets.values())] for at, kind in enumerate("abc")),
        ["all", "90", "42", "45"],
    ]


def tiny_splits() -> Mapping[str, Split]:
    return tiny_plugin.Tiny(several=True).load(DataPlace(Path(), Path())).splits


def test_a_folders_classes_are_counted_by_split_and_one_without_images_is_noted(tmp_path: Path) -> None:
    counts = {"train": {"ant": 5, "bee": 3, "cow": 2}, "val": {"ant": 2, "bee": 1}, "test": {"bee": 4}}
    path = images_of(tmp_path / "farm", counts)
    document = info(f"image-folder:path={path}")
    full = {split: {kind: of.get(kind, 0) for kind in ("ant", "bee", "cow")} for split, of in counts.items()}
    assert document.document()["facts"]["class_counts"] == full
    text = info_text(document, width=120)
    assert [list(row.values()) for row in read_table(text, "class", "train", "val", "test")] == [
        ["ant", "5", "2", "0"], ["bee", "3", "1", "4"], ["cow", "2", "0", "0"], ["all", "10", "3", "4"],
    ]  # fmt: skip
    note = "classes without images: val has none of cow; test has none of ant, cow"
    assert note in document.document()["facts"]["notes"]
    assert note in text


def test_of_many_classes_the_first_twenty_are_counted_and_the_rest_summed(tmp_path: Path) -> None:
    kinds = {f"{'long name ' * 4}{at:02}": at % 3 + 1 for at in range(23)}
    path = images_of(tmp_path / "many", {"train": kinds, "val": kinds})
    rows = read_table(
        info_text(info(f"image-folder:path={path}"), width=120), "class", "train", "val", "test"
    )
    assert [row["train"] for row in rows[:20]] == [str(num) for num in kinds.values()][:20]
    assert rows[19]["class"].endswith("19")
    rest = str(sum(list(kinds.values())[20:]))
    assert list(rows[20].values()) == ["3 more classes", rest, rest, "0"]
    assert rows[21]["train"] == str(sum(kinds.values()))
    assert len(rows) == 22


def images_of(folder: Path, counts: Mapping[str, Mapping[str, int]]) -> Path:
    """So many images of each class in each split's folder."""
    pixels = encoded(np.zeros((8, 8), np.uint8))
    files = {
        f"{split}/{kind}/{at}.png": pixels
        for split, of in counts.items()
        for kind, num in of.items()
        for at in range(num)
    }
    return write_folder(folder, files)


@pytest.mark.parametrize("width", WIDTHS)
def test_a_transform_shows_its_targets_and_what_its_pipeline_is_as_a_map(
    photographs: Path, width: int
) -> None:
    document = info(f"cifar-transform:source={photographs},pipeline='resize(8),grayscale,hflip'")
    text = info_text(document, width=width)
    (block,) = (block for block in read_pairs(text) if block[0][0] == "task")
    facts, pipeline = dict(block), document["facts"]["pipeline"]
    assert facts["images"].startswith("3 channel")
    assert facts["images"].endswith(", 12×10 px")
    assert facts["targets"].startswith("1 channel")
    assert facts["targets"].endswith(", 8×8 px")
    assert facts["pipeline"] == "resize(8), grayscale, hflip; on float tensors"
    assert facts["as a map"] == "linear, separable, rank 64 of 64"
    parameters, _, error = facts["exact operator"].partition(" off by ")
    assert shows(parameters.split()[0], pipeline["parameters"])
    assert pipeline["parameters"] == 3 + 12 * 8 + 10 * 8
    assert shows(error, pipeline["max_error"])
    assert values(block, "note") == list(document["facts"]["notes"])
    assert read_table(text, "size", "train", "val", "test") == [
        {"size": "12x10", "train": "24", "val": "3", "test": "3"}
    ]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("pipeline='resize(8),hflip',antialias=false", "on float tensors, without antialiasing"),
        ("pipeline='resize(8),hflip',backend=pil", "on PIL images"),
        ("pipeline='resize(8),hflip',dtype=uint8", "on uint8 tensors"),
    ],
)
def test_the_pipeline_says_how_it_is_computed(photographs: Path, settings: str, said: str) -> None:
    text = info_text(info(f"cifar-transform:source={photographs},{settings}"), width=200)
    (facts,) = (dict(block) for block in read_pairs(text) if block[0][0] == "task")
    assert facts["pipeline"] == f"resize(8), hflip; {said}"


@pytest.mark.parametrize(
    ("pipeline", "said"),
    [
        ("resize(8),brightness(1.5)", "not linear: off by "),
        ("normalize(0.5,0.5)", "affine (linear, and an offset), "),
    ],
)
def test_what_a_pipeline_is_as_a_map_is_told_apart(photographs: Path, pipeline: str, said: str) -> None:
    text = info_text(info(f"cifar-transform:source={photographs},pipeline='{pipeline}'"), width=200)
    (facts,) = (dict(block) for block in read_pairs(text) if block[0][0] == "task")
    assert facts["as a map"].startswith(said)
    assert ("exact operator" in facts) == (not said.startswith("not"))


def test_a_dataset_that_is_not_there_says_why_and_what_its_pipeline_would_be() -> None:
    document = info("cifar-transform:source=nowhere.tgz,pipeline=hflip")
    text = info_text(document, width=200)
    assert document["facts"]["error"] in text
    assert document["facts"]["hint"] in text
    assert ("pipeline", "hflip; on float tensors") in read_pairs(text)[-1]
    assert not has_table(text, "size", "train", "val", "test")


@pytest.fixture(scope="module")
def sixteen_sizes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes; side 9 + k has 3 + k training images of each, for k from 0 to 15."""
    rng = np.random.default_rng(0)
    images = {}
    for kind in ("a", "b"):
        for k in range(16):
            for split, number in (("train", 3 + k), ("val", 1), ("test", 2)):
                for at in range(number):
                    pixels = rng.integers(0, 256, (9 + k, 9 + k)).astype(np.uint8)
                    images[f"{split}/{kind}/{k:02}-{at}.png"] = encoded(pixels)
    return write_folder(tmp_path_factory.mktemp("sizes") / "sixteen", images)


@pytest.mark.parametrize("width", WIDTHS)
def test_of_many_sizes_the_twelve_most_frequent_are_shown_and_the_rest_summed(
    sixteen_sizes: Path, width: int
) -> None:
    text = info_text(info(f"image-folder:path={sixteen_sizes}"), width=width)
    rows = read_table(text, "size", "train", "val", "test")
    sides = [24 - k for k in range(12)]
    assert [list(row.values()) for row in rows[:12]] == [
        [f"{side}x{side}", str(2 * (side - 6)), "2", "4"] for side in sides
    ]
    rest = sum(2 * (3 + k) for k in range(4))
    assert list(rows[12].values()) == [
        "4 more sizes" if "4 more sizes" in text else "4moresizes",
        str(rest),
        "8",
        "16",
    ]
    assert list(rows[13].values()) == ["all", str(sum(2 * (3 + k) for k in range(16))), "32", "64"]
    assert len(rows) == 14


@pytest.mark.parametrize("width", WIDTHS)
def test_the_forecast_counts_buckets_batches_fill_and_padding(sixteen_sizes: Path, width: int) -> None:
    document = info(f"image-folder:path={sixteen_sizes}", bucketing="max_buckets=14", batch_size=10)
    text, forecast = info_text(document, width=width), document["facts"]["forecast"]
    title, _, rest = text.partition("Forecast of an epoch of training\n")
    assert title
    facts = dict(read_pairs(rest)[0])
    assert shows(facts["buckets"], forecast["num_buckets"])
    assert facts["batches"] == f"{forecast['num_batches']} of up to 10 images"
    fill, _, of = facts["fill"].partition("%")
    assert float(fill) == pytest.approx(100 * forecast["fill"], abs=0.051)
    assert of == " of the batch slots"
    share, _, pixels = facts["padded pixels"].partition("% ")
    assert float(share) == pytest.approx(100 * forecast["padded_share"], abs=0.051)
    assert 0 < forecast["padded_share"] < 1
    assert pixels == f"({forecast['padded_pixels']:,})"
    assert facts["dropped images"] == f"{forecast['num_dropped']:,} per epoch"

    rows = read_table(text, "bucket", "images", "batches", "fill", may_be_empty=["fill"])
    ordered = sorted(forecast["buckets"], key=lambda bucket: -bucket["num_images"])
    for row, bucket in zip(rows[:12], ordered[:12], strict=True):
        assert row["bucket"] == f"{bucket['height']}x{bucket['width']}"
        assert (row["images"], row["batches"]) == (str(bucket["num_images"]), str(bucket["num_batches"]))
        assert float(row["fill"].removesuffix("%")) == pytest.approx(100 * bucket["fill"], abs=0.51)
    assert squeezed(rows[12]["bucket"]) == "2morebuckets"
    assert int(rows[12]["images"]) == sum(bucket["num_images"] for bucket in ordered[12:])
    assert int(rows[12]["batches"]) == sum(bucket["num_batches"] for bucket in ordered[12:])
    assert len(rows) == 13


def test_images_that_went_into_a_larger_bucket_are_told_of(sixteen_sizes: Path) -> None:
    document = info(f"image-folder:path={sixteen_sizes}", bucketing="leftovers=merge", batch_size=10)
    merged = document["facts"]["forecast"]["num_merged"]
    assert merged > 0
    assert f"merged images   {merged} in a larger bucket" in info_text(document, width=120)
