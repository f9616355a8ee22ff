"""Bucketing as text, tables and objects; and the old spelling, in which datasets had these settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nnkit.bucketing import as_text, make_bucketing, old_spelling, read_settings, settings_of
from nnkit.config import dump, dumps, resolve
from nnkit.errors import ConfigError, UsageError
from nnkit.spec import parse
from nnkit.studies.train.config import TrainConfig
from nnkit.types import Bucketing

WHOLE = Bucketing("resize", (28, 30), max_pixels=9000, leftovers="drop")


@pytest.mark.parametrize(
    "value",
    [
        "resize_policy=resize,size=28x30,max_pixels=9000,leftovers=drop",
        {"resize_policy": "resize", "size": "28x30", "max_pixels": 9000, "leftovers": "drop"},
        {"resize_policy": "resize", "size": [28, 30], "max_pixels": 9000, "leftovers": "drop"},
        WHOLE,
    ],
)
def test_text_table_and_object_say_the_same(value: object) -> None:
    assert make_bucketing(read_settings(value)) == WHOLE
    assert resolve(TrainConfig, {"bucketing": value}).config.bucketing == WHOLE


@pytest.mark.parametrize("bucketing", [WHOLE, Bucketing(), Bucketing(tolerance=0.1, pad_to="batch")])
def test_what_is_written_is_read_back(bucketing: Bucketing, tmp_path: Path) -> None:
    settings = settings_of(bucketing)
    assert make_bucketing(settings) == bucketing
    assert not settings or make_bucketing(read_settings(as_text(settings))) == bucketing
    config = resolve(TrainConfig, {"bucketing": bucketing}).config
    (tmp_path / "config.toml").write_text(dumps(config))
    assert resolve(TrainConfig, {}, files=[tmp_path / "config.toml"]).config == config
    assert ("bucketing" in dump(config)) == (bucketing != Bucketing())


def test_layers_change_single_settings_and_an_option_starts_afresh(tmp_path: Path) -> None:
    first, second = tmp_path / "a.toml", tmp_path / "b.toml"
    first.write_text("[bucketing]\nmax_buckets = 8\npad_to = 'batch'\n")
    second.write_text("[bucketing]\nmax_buckets = 4\n")

    def resolved(*sets: str, **options: Any) -> Bucketing:
        return resolve(TrainConfig, options, files=[first, second], sets=sets).config.bucketing

    assert resolved() == Bucketing(max_buckets=4, pad_to="batch")
    assert resolved("bucketing.max_buckets=2") == Bucketing(max_buckets=2, pad_to="batch")
    assert resolved(bucketing="tolerance=0.5") == Bucketing(tolerance=0.5)
    assert resolved("bucketing.max_buckets=2", bucketing="tolerance=0.5") == Bucketing(
        tolerance=0.5, max_buckets=2
    )
    assert resolved("bucketing.tolerance=1.5", bucketing="tolerance=0.5") == Bucketing(tolerance=0.5)
    origins = resolve(TrainConfig, {}, files=[first], sets=["bucketing.max_buckets=2"]).origins
    assert origins["bucketing.max_buckets"] == "--set"
    assert origins["bucketing.pad_to"] == f"file {first}"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("max_bukets=2", 'did you mean "max_buckets"'),
        ("max_buckets=two", "max_buckets"),
        ("max_buckets=0", "max_buckets=0"),
        ({"max_buckets": "2"}, "max_buckets"),
        ("resize_policy=shrink", "one of keep, resize, letterbox, pad"),
        ("resize_policy=resize,size=28", "size=28x28"),
        ("resize_policy=pad,max_buckets=3", "max_buckets"),
        ("max_buckets", "key=value|no settings"),
        (3, "no settings"),
    ],
)
def test_mistakes_name_the_setting_and_what_was_expected(value: object, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        resolve(TrainConfig, {"bucketing": value})


def test_every_mistake_is_reported_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(TrainConfig, {"bucketing": "max_bukets=2,pad_to=no"}, sets=["epochs=none"])
    assert all(name in str(caught.value) for name in ("max_bukets", "pad_to", "epochs"))


@pytest.mark.parametrize(
    ("old", "dataset", "new"),
    [
        ("mnist-varres:max_buckets=8", "mnist-varres", "max_buckets=8"),
        (
            "digits-varres:seed=3,tolerance=0.1,pad_to=batch",
            "digits-varres:seed=3",
            "tolerance=0.1,pad_to=batch",
        ),
        (
            "image-folder:path=pets,max_buckets=2,fit=resize",
            "image-folder:path=pets",
            "resize_policy=resize,max_buckets=2",
        ),
        ("nnkit/mnist-varres:leftovers=drop", "nnkit/mnist-varres", "leftovers=drop"),
    ],
)
def test_bucket_settings_of_a_dataset_are_answered_with_the_option(old: str, dataset: str, new: str) -> None:
    (mistake,) = old_spelling(parse(old)).mistakes()
    assert f"--dataset {dataset} --bucketing {new}" in mistake.hint
    make_bucketing(read_settings(new))


@pytest.mark.parametrize(
    ("old", "dataset", "new"),
    [
        ("mnist-varres:mode=resize", "mnist-varres", "resize_policy=resize,size=28x28"),
        ("mnist-varres:mode=pad,seed=2", "mnist-varres:seed=2", "resize_policy=pad,size=64x64"),
        ("mnist-varres:mode=bucket", "mnist-varres", ""),
        ("image-folder:path=p,mode=resize", "image-folder:path=p", "resize_policy=resize"),
        ("image-folder:path=p,mode=pad,size=70", "image-folder:path=p", "resize_policy=pad,size=70x70"),
    ],
)
def test_an_old_mode_still_works_and_is_told_its_new_spelling(old: str, dataset: str, new: str) -> None:
    found = old_spelling(parse(old))
    assert found.mistakes() == []
    assert str(found.spec) == dataset
    assert as_text(found.modes) == new
    assert f"--dataset {dataset}" + (f" --bucketing {new}" if new else "") in found.warning


@pytest.mark.parametrize("spec", ["mnist", "digits-varres:seed=1", "mine:mode=resize,max_buckets=3"])
def test_other_specs_are_left_as_they_are(spec: str) -> None:
    found = old_spelling(parse(spec))
    assert (str(found.spec), found.modes, found.mistakes(), found.warning) == (spec, {}, [], "")
