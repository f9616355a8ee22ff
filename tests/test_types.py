from __future__ import annotations

import math

import pytest

from nnkit.errors import UsageError
from nnkit.types import EXACT_SIZES, Bucketing


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"tolerance": -0.1}, "tolerance=-0.1"),
        ({"tolerance": math.nan}, "tolerance=nan"),
        ({"tolerance": math.inf}, "tolerance=inf"),
        ({"max_buckets": 0}, "max_buckets=0"),
        ({"max_pixels": -1}, "max_pixels=-1"),
        ({"fit": "resize"}, "nothing to do"),
        ({"fit": "resize", "tolerance": 0.1, "leftovers": "merge"}, "leftovers=merge"),
        ({"fit": "resize", "max_buckets": 2, "pad_to": "batch"}, "pad_to=batch"),
    ],
)
def test_bucket_settings_that_make_no_sense_are_refused(settings: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Bucketing(**settings)  # type: ignore[arg-type]


def test_each_size_is_a_bucket_by_itself_unless_told_otherwise() -> None:
    assert not EXACT_SIZES.shares_buckets
    assert Bucketing(tolerance=0.1).shares_buckets
    assert Bucketing(max_buckets=3).shares_buckets
