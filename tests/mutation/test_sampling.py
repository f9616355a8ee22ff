from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from mutation import sampling

NAMES = {
    "large": [f"large.x_f__mutmut_{i}" for i in range(900)],
    "small": [f"small.x_f__mutmut_{i}" for i in range(95)],
    "tiny": [f"tiny.x_f__mutmut_{i}" for i in range(2)],
    "empty": [],
}


def per_module(chosen: list[str]) -> Counter[str]:
    return Counter(name.split(".")[0] for name in chosen)


def test_a_sample_is_the_same_for_the_same_seed_and_differs_between_seeds() -> None:
    first = sampling.draw(NAMES, 100, seed=0)
    assert first == sampling.draw(NAMES, 100, seed=0)
    assert first != sampling.draw(NAMES, 100, seed=1)


def test_a_sample_draws_without_replacement_and_from_the_given_mutants() -> None:
    chosen = sampling.draw(NAMES, 300, seed=3)
    assert len(chosen) == len(set(chosen)) == 300
    assert set(chosen) <= {name for names in NAMES.values() for name in names}


def test_modules_give_in_proportion_and_small_ones_at_least_the_floor() -> None:
    counts = per_module(sampling.draw(NAMES, 100, seed=0, floor=3))
    assert counts["tiny"] == 2  # all that it has
    assert counts["small"] in (9, 10)  # 9.5
    assert counts["large"] == 98 - counts["small"]


def test_a_larger_sample_of_the_same_seed_holds_the_smaller_one() -> None:
    assert set(sampling.draw(NAMES, 100, seed=5)) < set(sampling.draw(NAMES, 250, seed=5))


def test_every_mutant_of_a_module_may_be_drawn() -> None:
    drawn = {name for seed in range(80) for name in sampling.draw(NAMES, 100, seed=seed)}
    assert drawn >= set(NAMES["small"])


@given(st.dictionaries(st.text(min_size=1), st.integers(0, 60), min_size=1, max_size=12), st.integers(0, 400))
def test_shares_add_up_and_no_module_gives_more_than_it_has(counts: dict[str, int], size: int) -> None:
    given_ = sampling.shares(counts, size, floor=3)
    floors = {module: min(count, 3) for module, count in counts.items()}
    assert all(floors[module] <= given_[module] <= counts[module] for module in counts)
    assert sum(given_.values()) == max(min(size, sum(counts.values())), sum(floors.values()))
