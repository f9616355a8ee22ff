from __future__ import annotations

import json
from pathlib import Path

import pytest

from nnkit.cli import main
from tiny_plugin import TinyPlugin


@pytest.fixture(autouse=True)
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nnkit.present.figures.draw_training", lambda *parts: [])


def command(tiny: TinyPlugin, *more: str) -> int:
    usual = ["--dataset", "tiny", "--epochs", "1", "--limit", "20", "--runs-dir", str(tiny.runs)]
    return main.run(["train", *usual, *more])


def test_json_is_one_document_on_stdout_and_progress_goes_to_stderr(
    tiny: TinyPlugin, capfd: pytest.CaptureFixture[str]
) -> None:
    assert command(tiny, "--json") == 0
    out, err = capfd.readouterr()
    document = json.loads(out)
    assert document["schema"] == "nnkit.train/1"
    assert Path(document["run_dir"]).is_dir()
    assert "seed 0" in err
    assert "epoch 1/1" in err
    assert "\x1b" not in err


def test_quiet_says_nothing_beside_the_result(tiny: TinyPlugin, capfd: pytest.CaptureFixture[str]) -> None:
    assert command(tiny, "--quiet") == 0
    out, err = capfd.readouterr()
    assert err == ""
    assert "best epoch" in out


def test_a_dry_run_writes_nothing_and_says_where_values_come_from(
    tiny: TinyPlugin, capfd: pytest.CaptureFixture[str]
) -> None:
    assert command(tiny, "--dry-run", "--json") == 0
    document = json.loads(capfd.readouterr().out)
    assert "--epochs" in json.dumps(document)
    assert not tiny.runs.exists()


def test_every_mistake_is_told_at_once(tiny: TinyPlugin, capfd: pytest.CaptureFixture[str]) -> None:
    """Names first, of which no component need be imported; then the settings of each."""
    for words in (
        {"--model": "tiny-nett", "--optimizer": "adamm", "--stop": "patiense"},
        {"--model": "tiny-net:dropuot=1", "--loss": "mse:reductoin=sum", "--stop": "patience:x=1"},
    ):
        assert command(tiny, *[word for pair in words.items() for word in pair]) == 2
        errors = capfd.readouterr().err
        assert "3 mistakes" in errors
        for option, value in words.items():
            assert option[2:] in errors
            assert value.rpartition(":")[2].partition("=")[0] in errors


def test_the_config_of_a_run_is_read_back(tiny: TinyPlugin, capfd: pytest.CaptureFixture[str]) -> None:
    assert command(tiny, "--json", "--lr", "0.01") == 0
    first = json.loads(capfd.readouterr().out)
    config = Path(first["run_dir"]) / "config.toml"
    assert main.run(["train", "--config", str(config), "--runs-dir", str(tiny.runs), "--json"]) == 0
    again = json.loads(capfd.readouterr().out)
    assert again["best"] == first["best"]
    assert again["test"] == first["test"]


def test_a_closed_form_says_one_epoch_of_one_and_what_a_band_dropped(
    photographs: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    given = ["--dataset", photographs, "--model", "separable:band=3"]
    assert main.run(["train", *given, "--solver", "als", "--runs-dir", str(tmp_path)]) == 0
    out, err = capfd.readouterr()
    assert "epoch 1/1" in err
    assert "info: band=3 dropped" in err
    assert "least-squares, 32 images in" in out
    assert "fidelity" in out


def test_options_of_gradients_with_als_exit_2_and_write_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    given = ["--dataset", "cifar-transform:source=synthetic", "--model", "separable", "--lr", "0.1"]
    runs = tmp_path / "runs"
    assert main.run(["train", *given, "--clip", "1", "--solver", "als", "--runs-dir", str(runs)]) == 2
    assert "2 mistakes" in capfd.readouterr().err
    assert not runs.exists()
