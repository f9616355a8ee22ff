"""Folders of images as people have them, through the commands: stray files, classes without images."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from data.image_files import encoded, random_png, write_folder
from nnkit.cli import main
from present.reading import read_table

Command = Callable[..., str]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """Runs a command that succeeds; gives what it wrote to stdout, or with `errors=True` to stderr."""
    monkeypatch.setattr("nnkit.present.figures.draw_training", lambda *parts: [])
    monkeypatch.setenv("NNKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NNKIT_RUNS", str(tmp_path / "runs"))

    def run(*arguments: str, errors: bool = False) -> str:
        capfd.readouterr()
        code = main.run(list(arguments))
        out, err = capfd.readouterr()
        assert code == 0, err
        return err if errors else out

    return run


def train(command: Command, dataset: str, *more: str) -> str:
    """What a run of one epoch writes to stderr."""
    model = "separable" if dataset.startswith("cifar") else "varres-net:width=4"
    usual = ["--epochs", "1", "--threads", "1", "--model", model]
    return command("train", "--dataset", dataset, *usual, *more, errors=True)


def images(folder: Path, *kinds: str, count: int = 6, colour: bool = False) -> dict[str, bytes]:
    return {
        f"{folder}/{kind}/{at}.png": random_png(at, 9, 9, colour=colour)
        for kind in kinds
        for at in range(count)
    }


@pytest.mark.parametrize("settings", ["", ",in_memory=false"])
def test_training_names_stray_images_in_one_line_each_time_also_from_the_cache(
    tmp_path: Path, command: Command, settings: str
) -> None:
    files = {
        **images(Path("train"), "cat", "dog"),
        **images(Path("valid"), "cat", "dog"),
        **images(Path("test"), "cat", "dog"),
        **images(Path("holidays"), "2019", "2020"),
        "loose.png": random_png(1),
    }
    path = write_folder(tmp_path / "pets", files)
    for _ in range(2):
        said = train(command, f"image-folder:path={path}{settings}")
        (line,) = [line for line in said.splitlines() if "left out" in line]
        assert "13 images in no class folder are left out: holidays/2019/0.png" in line
        assert line.endswith("and 8 more")
    facts = json.loads(command("info", f"image-folder:path={path}{settings}", "--json"))["facts"]
    assert facts["splits"] == {"train": 12, "val": 12, "test": 12}


def test_files_among_the_images_that_are_none_by_their_names_are_counted_by_suffix(
    tmp_path: Path, command: Command
) -> None:
    stray = {f"cat/{at}.HEIC": b"x" for at in range(3)} | {f"dog/deep/{at}.txt": b"x" for at in range(2)}
    unseen = {"read-me.txt": b"x", ".git/x.txt": b"x", "cat/.DS_Store": b"x"}
    path = write_folder(tmp_path / "pets", images(Path("."), "cat", "dog", count=20) | stray | unseen)
    for _ in range(2):
        said = train(command, f"image-folder:path={path}")
        (line,) = [line for line in said.splitlines() if "left out" in line]
        assert line.endswith("5 files are left out, no images by their names: 3 .heic, 2 .txt")
    write_folder(path, {f"cat/{at}.x{at}": b"x" for at in range(5)} | {"cat/none": b"x"})
    notes = json.loads(command("info", f"image-folder:path={path}", "--json"))["facts"]["notes"]
    assert notes == [
        "11 files are left out, no images by their names: 3 .heic, 2 .txt, 1 without a suffix, 1 .x0, 1 .x1 "
        "and 3 more kinds"
    ]


@pytest.mark.parametrize("val", ["val", "valid", "validation"])
def test_a_transforms_folders_are_its_splits_and_what_is_beside_them_is_named(
    tmp_path: Path, command: Command, val: str
) -> None:
    files = {
        **images(Path("train"), "x", count=20, colour=True),
        **images(Path(val), "x", count=4, colour=True),
        **images(Path("test"), "x", count=5, colour=True),
        **images(Path("other"), "x", count=7, colour=True),
    }
    dataset = f"cifar-transform:source={write_folder(tmp_path / 'photos', files)},pipeline='resize(4)'"
    for _ in range(2):
        said = train(command, dataset)
        (line,) = [line for line in said.splitlines() if "left out" in line]
        assert "7 images outside train/, val/ and test/ are left out: other/x/0.png" in line
    facts = json.loads(command("info", dataset, "--json"))["facts"]
    assert facts["splits"] == {"train": 20, "val": 4, "test": 5}


def test_a_surrogate_of_resize_shortest_is_fitted_exactly_and_resize_says_what_it_does(
    tmp_path: Path, command: Command
) -> None:
    rng = np.random.default_rng(0)
    files = {f"{at:02}.png": encoded(rng.integers(0, 256, (12, 16, 3)).astype(np.uint8)) for at in range(40)}
    path = write_folder(tmp_path / "photos", files)
    dataset = f"cifar-transform:source={path},pipeline='resize_shortest(8),grayscale'"
    facts = json.loads(command("info", dataset, "--json"))["facts"]
    assert facts["target_size"] == [8, 10]
    assert facts["default_model"] == "separable"
    assert (facts["pipeline"]["separable"], facts["pipeline"]["parameters"]) == (True, 3 + 12 * 8 + 16 * 10)
    assert not any("proportions" in note for note in facts["notes"])
    fitted = command("train", "--dataset", dataset, "--solver", "least-squares", "--threads", "1", "--json")
    assert json.loads(fitted)["test"]["fidelity"]["class"] == "exact"

    squashed = json.loads(command("info", dataset.replace("resize_shortest", "resize"), "--json"))["facts"]
    assert squashed["target_size"] == [8, 8]
    note = "resize(8) makes 8×8 of 12×16, whatever the proportions: resize_shortest(8) keeps them"
    assert note in squashed["notes"]
    assert "`resize_shortest(N)` brings the shorter side to N" in command("info", "cifar-transform")


def test_a_class_without_test_images_is_named_and_counted_and_has_no_recall(
    tmp_path: Path, command: Command
) -> None:
    files = {**images(Path("train"), "ant", "bee", "cow"), **images(Path("test"), "bee", "cow", count=4)}
    path = write_folder(tmp_path / "farm", files)
    said = train(command, f"image-folder:path={path}")
    (line,) = [line for line in said.splitlines() if "without images" in line]
    assert "classes without images: test has none of ant" in line
    (run,) = (tmp_path / "runs" / "train").iterdir()

    text = command("evaluate", str(run))
    rows = {row["class"]: row for row in read_table(text, "class", "images", "precision", "recall")}
    assert {kind: row["images"] for kind, row in rows.items()} == {"ant": "0", "bee": "4", "cow": "4"}
    assert rows["ant"]["recall"] == "–"
    assert "No image of ant: recall is not known." in text
    document = json.loads(command("evaluate", str(run), "--json"))
    assert [row["count"] for row in document["per_class"]] == [0, 4, 4]
    assert document["per_class"][0]["recall"] is None

    (line,) = [line for line in command("evaluate", str(run), errors=True).splitlines() if "without" in line]
    assert "test has none of ant" in line
    full = command("evaluate", str(run), "--split", "train", errors=True)
    assert "without images" not in full
    assert "recall is not known" not in command("evaluate", str(run), "--split", "train")
    # Nothing is said of a split that is not looked at, or has no image at all.
    assert "without images" not in train(command, f"image-folder:path={path}", "--no-test")
    for file in (path / "test").rglob("*.png"):
        file.unlink()
    assert "without images" not in train(command, f"image-folder:path={path}")


def test_many_classes_without_images_are_counted_and_ten_named(tmp_path: Path, command: Command) -> None:
    kinds = [f"k{at:02}" for at in range(14)]
    files = {**images(Path("train"), *kinds, count=2), **images(Path("test"), *kinds[:2], count=2)}
    path = write_folder(tmp_path / "many", files)
    said = train(command, f"image-folder:path={path}")
    assert f"test has none of {', '.join(kinds[2:12])} and 2 more" in said
    (run,) = (tmp_path / "runs" / "train").iterdir()
    assert "k11 and 2 more: recall" in " ".join(command("evaluate", str(run)).split())


def test_a_run_on_an_image_per_size_is_shown_by_ranges_of_sizes(tmp_path: Path, command: Command) -> None:
    files = {
        f"{split}/{kind}/{at}.png": random_png(at, 8 + at, 9 + at % 3)
        for split in ("train", "test")
        for kind in ("cat", "dog")
        for at in range(25)
    }
    path = write_folder(tmp_path / "pets", files)
    train(command, f"image-folder:path={path}", "--bucketing", "max_buckets=2")
    (run,) = (tmp_path / "runs" / "train").iterdir()
    known = json.loads((run / "summary.json").read_text())["test"]["accuracy_by_resolution"]
    assert 6 < len(known) <= 12
    assert any(" to " in name for name in known)
    heads = ("resolution", "images", "test accuracy", "test loss")
    shown = read_table(command("runs", "show", str(run)), *heads)
    assert sum(int(row["images"]) for row in shown) == 50
    assert [row["resolution"] for row in shown] == list(known)
    document = json.loads(command("evaluate", str(run), "--json"))
    assert document["metrics"]["accuracy_by_resolution"] == known
    assert list(document["confusion"]) == ["all", *known]
    assert sum(sum(map(sum, document["confusion"][name])) for name in known) == 50
