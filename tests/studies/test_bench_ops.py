import pytest

from nnkit.errors import UsageError
from nnkit.studies.bench_ops import bench_ops

WAYS = ("forward", "backward")


@pytest.fixture(scope="module")
def result():
    return bench_ops(sizes=(6, 40), batch=2, repeats=3, threads=1, device="cpu")


def test_each_size_holds_unfold_and_torch_both_ways_and_the_loops_forward_where_they_end(result):
    cells = {(cell["name"], cell["size"], cell["direction"]) for cell in result.cells}
    expected = {(name, size, way) for name in ("unfold", "torch") for size in (6, 40) for way in WAYS}
    expected.add(("naive", 6, "forward"))
    assert cells == expected


def test_ratios_are_to_torch_in_the_same_rounds(result):
    for cell in result.cells:
        assert cell["median_s"] > 0
        assert cell["ci95"][0] <= cell["ratio"] <= cell["ci95"][1]
        if cell["name"] == "torch":
            assert cell["ratio"] == 1


def test_unfold_takes_more_memory_than_torch_and_loops_are_slowest(result):
    at = {(c["name"], c["size"], c["direction"]): c for c in result.cells}
    assert at["unfold", 40, "forward"]["peak_bytes"] > at["torch", 40, "forward"]["peak_bytes"]
    assert at["naive", 6, "forward"]["ratio"] > 10


@pytest.mark.parametrize("wrong", [{"sizes": (2,)}, {"sizes": ()}, {"batch": 0}, {"repeats": 0}])
def test_sizes_and_counts_out_of_range_are_refused(wrong):
    with pytest.raises(UsageError):
        bench_ops(**wrong)
