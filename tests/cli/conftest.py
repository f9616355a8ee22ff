"""What several tests of commands need: the tests' components, small images, a finished run."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiny_plugin
from cli import cli_plugin
from data.image_files import encoded, write_folder
from fake_plugins import write_plugin
from nnkit import registry
from nnkit.api import train
from nnkit.cli.main import run

Answer = tuple[int, Any, str]


@pytest.fixture(scope="session")
def _site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    site = tmp_path_factory.mktemp("cli-site")
    write_plugin(site, "tiny-plugin", tiny_plugin.ENTRY_POINTS)
    write_plugin(site, "cli-plugin", cli_plugin.ENTRY_POINTS)
    write_plugin(site, "cli-data", cli_plugin.DATA_ENTRY_POINTS)
    return site


@pytest.fixture
def plugins(_site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The components of tiny_plugin and of cli_plugin are found; nothing of the environment is."""
    monkeypatch.syspath_prepend(str(_site))
    for variable in ("NNKIT_PLUGINS", "NNKIT_RUNS", "NNKIT_DATA", "COLUMNS"):
        monkeypatch.delenv(variable, raising=False)
    registry.refresh()
    yield
    monkeypatch.undo()
    registry.refresh()


@pytest.fixture(scope="session")
def finished(_site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of tiny-net, the only one in its folder of runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(_site))
        patch.delenv("NNKIT_PLUGINS", raising=False)
        registry.refresh()
        patch.setattr("nnkit.present.figures.draw_training", lambda *parts: [])
        out = tmp_path_factory.mktemp("cli-runs") / "train" / "20261120-141800-tiny-tiny-net-3fa9c1"
        train(dataset="tiny:noise=150.0", epochs=2, lr=0.02, batch_size=16, out=out, threads=1, device="cpu")
    registry.refresh()
    return out


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A transform dataset of 40 colour images of 10×9 pixels."""
    rng = np.random.default_rng(0)
    drawn = {f"{at:02}.png": encoded(rng.integers(0, 256, (10, 9, 3)).astype(np.uint8)) for at in range(40)}
    folder = write_folder(tmp_path_factory.mktemp("photographs"), drawn)
    return f"cifar-transform:source={folder},pipeline='resize(8),grayscale,hflip'"


@pytest.fixture
def answer(capfd: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """Run a command with --json; its exit code, the document on stdout (None: nothing) and stderr."""

    def ask(*words: object) -> Answer:
        capfd.readouterr()
        code = run([*map(str, words), "--json"])
        out, err = capfd.readouterr()
        return code, json.loads(out, parse_constant=pytest.fail) if out else None, err

    return ask


@pytest.fixture
def shown(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Run a command at a width; what it prints."""

    def show(*words: object, width: int = 80) -> str:
        monkeypatch.setenv("COLUMNS", str(width))
        capfd.readouterr()
        assert run([*map(str, words)]) == 0, capfd.readouterr().err
        return capfd.readouterr().out

    return show
