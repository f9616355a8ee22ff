"""nnkit's contract tests of median."""

from median import Median

from nnkit.testing import PoolingContract


class TestMedian(PoolingContract):
    """One test per promise of a pooling."""

    component = Median
