import nnkit.ops


def test_every_public_name_is_there_and_in_order():
    assert nnkit.ops.__all__ == sorted(nnkit.ops.__all__)
    assert all(hasattr(nnkit.ops, name) for name in nnkit.ops.__all__)


def test_every_public_name_says_what_it_is():
    assert all(getattr(nnkit.ops, name).__doc__ for name in nnkit.ops.__all__)
