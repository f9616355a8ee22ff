from __future__ import annotations

import pytest
import torch
from torch import nn

from nnkit.errors import UsageError
from nnkit.training.devices import autocast, choose_device, likes_channels_last, put_on, set_threads


def machine(monkeypatch: pytest.MonkeyPatch, *, cuda: int = 0, mps: bool = False) -> None:
    """A machine with so many CUDA devices, and with mps or without."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


@pytest.mark.parametrize(
    ("cuda", "mps", "name", "device"),
    [
        (0, False, "auto", "cpu"),
        (0, True, "auto", "mps"),
        (2, False, "auto", "cuda"),
        (2, True, "auto", "cuda"),
        (2, True, "cpu", "cpu"),
        (1, True, "mps", "mps"),
        (1, False, "cuda", "cuda"),
        (1, False, "cuda:0", "cuda:0"),
        (2, False, "cuda:1", "cuda:1"),
    ],
)
def test_auto_is_the_fastest_there_and_a_name_is_taken_as_it_is(
    monkeypatch: pytest.MonkeyPatch, cuda: int, mps: bool, name: str, device: str
) -> None:
    machine(monkeypatch, cuda=cuda, mps=mps)
    assert choose_device(name) == torch.device(device)


@pytest.mark.parametrize(
    ("cuda", "mps", "name"), [(0, True, "cuda"), (1, True, "cuda:1"), (2, False, "cuda:2"), (2, False, "mps")]
)
def test_a_device_that_is_not_there_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, cuda: int, mps: bool, name: str
) -> None:
    machine(monkeypatch, cuda=cuda, mps=mps)
    with pytest.raises(UsageError) as caught:
        choose_device(name)
    assert f'device "{name}" is not here' in caught.value.message
    assert ("CUDA" in caught.value.message) is name.startswith("cuda")
    if name.startswith("cuda"):
        assert caught.value.message.endswith(f"sees {cuda} CUDA devices")
    assert "--device cpu" in caught.value.hint


def test_threads_are_set_where_they_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", given.append)
    set_threads(None)
    assert given == []
    set_threads(3)
    assert given == [3]


@pytest.mark.parametrize("channels_last", [True, False])
def test_a_model_is_moved_in_the_format_of_its_batches(channels_last: bool) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Linear(4, 2))
    assert likes_channels_last(model)
    assert likes_channels_last(nn.Conv2d(3, 4, 3))
    assert not likes_channels_last(nn.Sequential(nn.Linear(4, 2), nn.Conv1d(1, 1, 1)))
    placed = put_on(model, torch.device("cpu"), channels_last=channels_last)
    weight = placed[0].weight  # type: ignore[index]
    assert weight.is_contiguous(memory_format=torch.channels_last) is channels_last
    moved = put_on(nn.Linear(2, 2), torch.device("meta"), channels_last=False)
    assert {parameter.device.type for parameter in moved.parameters()} == {"meta"}


def test_bf16_is_computed_in_bf16_and_fp32_in_fp32_and_weights_stay() -> None:
    model, inputs = nn.Linear(64, 64), torch.randn(8, 64)
    with autocast(torch.device("cpu"), "bf16"):
        coarse = model(inputs)
    with autocast(torch.device("cpu"), "fp32"):
        fine = model(inputs)
    assert (coarse.dtype, fine.dtype, model.weight.dtype) == (torch.bfloat16, torch.float32, torch.float32)
    expected = nn.functional.linear(inputs.bfloat16(), model.weight.bfloat16(), model.bias.bfloat16())
    torch.testing.assert_close(coarse, expected)
    assert autocast(torch.device("cuda"), "fp32").device == "cuda"
