import torch

from nnkit.studies.bench.live_memory import peak_bytes


def test_the_peak_counts_what_lives_at_once_and_forgets_what_is_gone():
    start = torch.zeros(1024)

    def chain():
        value = start
        for _ in range(10):
            value = value + 1
        return value

    assert peak_bytes(chain) == 2 * 4096


def test_a_view_of_what_was_made_costs_nothing_more():
    start = torch.zeros(1024)
    assert peak_bytes(lambda: (start + 1).view(32, 32).t()) == 4096


def test_what_backward_needs_is_counted_as_alive():
    start = torch.ones(1024, requires_grad=True)

    def squared_thrice():
        return torch.autograd.grad(((start**2) ** 2).pow(2).sum(), start)

    assert peak_bytes(squared_thrice) >= 3 * 4096
