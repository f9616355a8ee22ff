"""Checks that hold for every kind of component, and those that hold for every `nn.Module` among them."""

from __future__ import annotations

import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from nnkit import schema
from nnkit.errors import ConfigError
from nnkit.spec import Spec, from_toml, parse, to_toml
from nnkit.testing.subject import Subject, assert_close
from nnkit.testing.worker import call_in_worker


def defaults_are_valid_and_round_trip(subject: Subject) -> None:
    """Each default fits its own type and reads back equal from a spec's text and from a config file."""
    settings = schema.settings_of(subject.cls, subject.group)
    plain = {
        name: schema.plain_value(setting.default)
        for name, setting in settings.items()
        if not setting.required
    }
    read = _read(settings, plain, "a default")
    assert _plain(read) == plain, f"defaults change when they are checked: {plain} become {_plain(read)}"
    typed = parse(str(Spec("component", plain)))
    assert _plain(_read(settings, typed.settings, "a default in a spec")) == plain, (
        f'"{typed}" is read back with another value'
    )
    # TOML has no none: a config file leaves such a setting out.
    written = {name: value for name, value in plain.items() if value is not None}
    text = tomli_w.dumps({"component": to_toml(Spec("component", written))})
    loaded = from_toml(tomllib.loads(text)["component"], "component")
    assert _plain(_read(settings, loaded.settings, "a default in a file")) == written, (
        f"{text} is read back with another value"
    )


def _read(settings: Mapping[str, schema.Setting], given: Mapping[str, Any], what: str) -> dict[str, Any]:
    values, mistakes = schema.check(settings, given, "component")
    assert not mistakes, f"{what} does not fit its type: {ConfigError(mistakes)}"
    return values


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: schema.plain_value(value) for name, value in values.items()}


def says_what_it_is(subject: Subject) -> None:
    """The class has a docstring of its own: `nnkit info` shows it."""
    own = subject.cls.__doc__ or ""
    assert own.strip(), f"{subject.cls.__name__} has no docstring"
    assert own != nn.Module.__doc__, f"{subject.cls.__name__} has only the docstring of torch.nn.Module"


def made_with(subject: Subject, *, seed: int = 0) -> nn.Module:
    """The module, in training mode; `AssertionError` where the class makes something else."""
    module = subject.make(seed=seed)
    assert isinstance(module, nn.Module), f"it is a {type(module).__name__}, not a torch.nn.Module"
    return module


def check_same_seed(subject: Subject, *inputs: Tensor) -> None:
    """One seed gives the same weights and, in training mode, the same output to the bit."""
    outputs = []
    for _ in range(2):
        module = made_with(subject, seed=7)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(8)
            outputs.append((module.state_dict(), module(*inputs).detach()))
    (state, output), (again, output_again) = outputs
    assert state.keys() == again.keys()
    for name in state:
        assert torch.equal(state[name], again[name]), f"one seed gives two values of {name}"
    assert torch.equal(output, output_again), (
        "one seed gives two outputs: draw from torch's generator, and from no other"
    )


def check_save_and_load(subject: Subject, *inputs: Tensor) -> None:
    """Saved as safetensors and loaded into a module of another seed, it gives the same output to the bit."""
    saved, loaded = made_with(subject, seed=1).eval(), made_with(subject, seed=2).eval()
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        path = Path(folder) / "weights.safetensors"
        save_file({name: tensor.clone().contiguous() for name, tensor in saved.state_dict().items()}, path)
        loaded.load_state_dict(load_file(path))
        assert torch.equal(saved(*inputs), loaded(*inputs)), (
            "it gives other outputs after saving and loading: keep what it learns and draws in "
            "parameters or registered buffers"
        )


def check_spawn(subject: Subject, *inputs: Tensor) -> None:
    """Pickled to a worker started by spawn, it gives the same output there."""
    module = made_with(subject).eval()
    with torch.no_grad():
        expected = module(*inputs)
    # NumPy arrays, because tensors travel between processes as file descriptors and not as bytes.
    answer = call_in_worker(_output, module, [tensor.numpy() for tensor in inputs])
    assert_close(torch.from_numpy(answer), expected, "the output in a worker process differs")


def _output(module: nn.Module, inputs: list[Any]) -> Any:
    with torch.no_grad():
        return module(*(torch.from_numpy(array) for array in inputs)).numpy()


def check_inputs_unchanged(subject: Subject, *inputs: Tensor) -> None:
    """It does not write into what it is given."""
    module = made_with(subject).eval()
    given = [tensor.clone() for tensor in inputs]
    with torch.no_grad():
        module(*given)
    for tensor, copy in zip(inputs, given, strict=True):
        assert torch.equal(tensor, copy), "it changes its input in place"
