from __future__ import annotations

import inspect
import pickle
from dataclasses import fields
from pathlib import Path

import pytest

from nnkit import schema
from nnkit.build import build
from nnkit.data.bucketing.settings import takes_bucket_settings
from nnkit.datasets.digits_varres import DigitsVarres
from nnkit.datasets.image_folder import ImageFolder
from nnkit.datasets.mnist_varres import MnistVarres
from nnkit.errors import ConfigError, UsageError
from nnkit.studies.info.study import help_of
from nnkit.types import EXACT_SIZES, Bucketing

NAMES = [field.name for field in fields(Bucketing)]


@takes_bucket_settings
class Plain:
    """Something with `other`."""

    def __init__(self, *, other: int = 1, bucketing: Bucketing = EXACT_SIZES) -> None:
        self.other, self.bucketing = other, bucketing


@pytest.mark.parametrize("cls", [DigitsVarres, ImageFolder, MnistVarres, Plain])
def test_every_field_is_a_setting_with_its_default_and_a_meaning(cls: type) -> None:
    settings = schema.settings_of(cls)
    assert "bucketing" not in settings
    for name in NAMES:
        assert settings[name].default == getattr(EXACT_SIZES, name)
        assert help_of(name, cls.__doc__ or "")
    assert settings["leftovers"].type_name == "one of keep, drop, merge"


def test_single_settings_and_a_whole_bucketing_are_given_alike() -> None:
    assert Plain().bucketing == EXACT_SIZES
    assert Plain(max_buckets=3, leftovers="drop").bucketing == Bucketing(max_buckets=3, leftovers="drop")  # type: ignore[call-arg]
    whole = Bucketing(tolerance=0.2)
    assert Plain(bucketing=whole).bucketing == whole
    both = Plain(bucketing=whole, max_pixels=9, other=2)  # type: ignore[call-arg]
    assert (both.bucketing, both.other) == (Bucketing(tolerance=0.2, max_pixels=9), 2)


class Undecorated:
    """Something with `other`.

    Said of it.
    """

    def __init__(self, *, other: int = 1, bucketing: Bucketing = EXACT_SIZES) -> None: ...


def test_the_class_keeps_its_own_parameters_and_words() -> None:
    cls = takes_bucket_settings(Undecorated)
    assert cls is Undecorated
    assert list(inspect.signature(cls).parameters) == ["other", *NAMES]
    assert cls.__init__.__qualname__ == "Undecorated.__init__"
    own, _, added = str(cls.__doc__).partition("\n\nHow images of several sizes")
    assert own == "Something with `other`.\n\nSaid of it."
    assert added.endswith("pad_to=batch.")


def test_an_unknown_setting_is_still_an_error() -> None:
    with pytest.raises(TypeError, match="tolerence"):
        Plain(tolerence=0.1)  # type: ignore[call-arg]
    with pytest.raises(ConfigError, match='did you mean "tolerance"'):
        build("datasets", "digits-varres:tolerence=0.1")


def test_a_spec_carries_them_and_the_dataset_pickles() -> None:
    dataset = build("datasets", "digits-varres:max_buckets=2,pad_to=batch")
    assert pickle.loads(pickle.dumps(dataset)).bucketing == Bucketing(max_buckets=2, pad_to="batch")


@pytest.mark.parametrize("mode", ["resize", "pad"])
def test_a_mode_of_one_size_refuses_bucket_settings_when_it_is_made(mode: str) -> None:
    with pytest.raises(UsageError, match="max_buckets"):
        MnistVarres(mode=mode, max_buckets=2)  # type: ignore[call-arg,arg-type]
    with pytest.raises(UsageError, match="leftovers, fit"):
        ImageFolder(
            path=Path("x"), mode=mode, bucketing=Bucketing(tolerance=1, fit="resize", leftovers="drop")
        )  # type: ignore[arg-type]
