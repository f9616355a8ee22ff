from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from nnkit.cli import main
from nnkit.present.train_seeds import train_seeds_table
from nnkit.results.train_seeds import TrainSeedsResult
from nnkit.training import loop
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


def test_seeds_are_one_document_of_its_own_schema_and_a_line_each_on_stderr(
    tiny: TinyPlugin, capfd: pytest.CaptureFixture[str]
) -> None:
    assert command(tiny, "--seeds", "0-2", "--json") == 0
    out, err = capfd.readouterr()
    document = json.loads(out)
    assert document["schema"] == "nnkit.train-seeds/1"
    assert document["seeds"] == [0, 1, 2]
    assert [Path(run["run_dir"]).parents[1] for run in document["runs"]] == [Path(document["run_dir"])] * 3
    assert f"nnkit: 3 seeds, 0 done already; all is kept in {document['run_dir']}" in err
    assert all(f"seed {seed + 1}/3: seed {seed}: test accuracy" in err for seed in range(3))
    assert err.count("epoch 1/1") == 3
    out = document["run_dir"]
    assert main.run(["train", "--config", f"{out}/config.toml", "--out", out, "--json", "--quiet"]) == 0
    assert json.loads(capfd.readouterr().out) == document


def test_seeds_are_a_table_with_the_mean_and_its_interval_and_quiet_says_nothing_else(
    tiny: TinyPlugin, capfd: pytest.CaptureFixture[str]
) -> None:
    assert command(tiny, "--seeds", "0-2", "--quiet", "--no-test") == 0
    out, err = capfd.readouterr()
    assert err == ""
    (folder,) = (tiny.runs / "train").iterdir()
    result = TrainSeedsResult.model_validate_json((folder / "summary.json").read_bytes())
    assert out == train_seeds_table(result) + "\n"
    assert "95 %" in out
    assert "test accuracy" not in out


def test_a_dry_run_of_seeds_shows_them_without_the_seed_and_writes_nothing(
    tiny: TinyPlugin, capfd: pytest.CaptureFixture[str]
) -> None:
    assert command(tiny, "--seeds", "1,4", "--dry-run", "--json") == 0
    document = json.loads(capfd.readouterr().out)
    assert document["config"]["seeds"] == [1, 4]
    assert document["origins"]["seeds"] == "option --seeds"
    assert "seed" not in document["config"]
    assert not tiny.runs.exists()


def test_one_seed_says_nothing_of_seeds(tiny: TinyPlugin, capfd: pytest.CaptureFixture[str]) -> None:
    assert command(tiny, "--dry-run", "--json") == 0
    document = json.loads(capfd.readouterr().out)
    assert not {"seeds", "jobs"} & {*document["config"], *document["origins"]}
    assert command(tiny, "--json") == 0
    folder = Path(json.loads(capfd.readouterr().out)["run_dir"])
    assert not {"seeds", "jobs"} & tomllib.loads((folder / "config.toml").read_text()).keys()


def test_seeds_beside_a_seed_exit_2_and_say_so(tiny: TinyPlugin, capfd: pytest.CaptureFixture[str]) -> None:
    assert command(tiny, "--seeds", "0-1", "--seed", "3") == 2
    assert "cannot be given together with seed" in capfd.readouterr().err
    assert not tiny.runs.exists()


@pytest.mark.parametrize(("poison_at", "code"), [(1, 1), (0, 0)])
def test_seeds_of_which_all_failed_are_printed_and_exit_as_the_first_one_did(
    poison_at: int, code: int, tiny: TinyPlugin, capfd: pytest.CaptureFixture[str]
) -> None:
    model = f"tiny-net:poison_at={poison_at}"
    assert command(tiny, "--seeds", "0-1", "--model", model, "--json") == code
    out, err = capfd.readouterr()
    assert len(json.loads(out)["failed"]) == 2 * code
    assert ("2 of 2 seeds failed, the first (seed 0)" in err) == bool(code)


def test_a_seed_that_fails_is_printed_with_the_others_and_exits_3(
    tiny: TinyPlugin, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    compute, steps = loop._compute, iter(range(100))

    def breaks_once(*positional: Any, **named: Any) -> Any:
        if next(steps) == 1:
            raise RuntimeError("no room")
        return compute(*positional, **named)

    monkeypatch.setattr(loop, "_compute", breaks_once)
    code = command(tiny, "--seeds", "0-1", "--batch-size", "10", "--json")
    out, err = capfd.readouterr()
    assert (code, [run["seed"] for run in json.loads(out)["runs"]]) == (3, [1]), err
    assert "1 of 2 seeds failed" in json.loads(err.splitlines()[-1])["error"]["message"]
    assert "to try those again: nnkit train --config" in err
