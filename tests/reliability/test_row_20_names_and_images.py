"""Names that are code, paths or formulas stay names; odd images are taken or named once, as documented."""

from __future__ import annotations

import io
import json
import os
import re
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import nnkit
from data.image_files import encoded, random_png, write_folder
from nnkit.cli.main import run
from nnkit.runs.directory import RunDirectory, run_directories

CLASSES = [
    "<script>alert(1)<", "<img src=x onerror=alert(1)>", "=1+1", "@SUM(A1)", "-rf", "x..\\..\\y",
    "%2e%2e%2fx", "a\nb", "a\rb", "\x1b[31mred", "$(touch x)", "`touch x`", "'; drop table runs; --",
    "ünïcødé ☃", "\u202egnp", "x" * 200, "con", " space ", "{{7*7}}", "x...",
]  # fmt: skip
PAIR = {"cat": range(6), "dog": range(6)}


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("NNKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NNKIT_RUNS", str(tmp_path / "runs"))
    return folder


def everything(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def is_plain(text: str) -> bool:
    """Whether a terminal shows the text as it stands: no escapes and nothing else that steers it."""
    return not [letter for letter in text if letter != "\n" and unicodedata.category(letter) in ("Cc", "Cf")]


def test_classes_may_be_called_anything_and_stay_names(
    tmp_path: Path, place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    drawn = {f"{name}/{at}.png": random_png(at) for name in CLASSES for at in range(5)}
    write_folder(tmp_path / "images", drawn)
    before = everything(tmp_path)
    words = ["train", "--dataset", f"image-folder:path={tmp_path / 'images'}", "--epochs", "1"]
    words += ["--device", "cpu", "--threads", "1"]
    assert run(words) == 0
    text = capfd.readouterr()
    assert is_plain(text.out + text.err)
    (made,) = run_directories(tmp_path / "runs")
    assert all(
        path == made.path or made.path in path.parents or path in made.path.parents or "cache" in path.parts
        for path in everything(tmp_path) - before
    )
    assert everything(place) == set()
    for path in made.path.rglob("*.json"):
        json.loads(path.read_text(encoding="utf-8"))
    assert json.loads((made.figures / "confusion.json").read_text())["class_names"] == sorted(CLASSES)
    assert (made.figures / "confusion.png").stat().st_size > 1000
    assert re.fullmatch(r"[A-Za-z0-9._-]+", made.name)

    assert run(["evaluate", str(made.path), "--split", "val"]) == 0
    assert is_plain(capfd.readouterr().out)
    assert run(["evaluate", str(made.path), "--split", "val", "--json"]) == 0
    document = json.loads(capfd.readouterr().out)
    assert [row["name"] for row in document["per_class"]] == sorted(CLASSES)
    assert run(["runs", "show", made.name]) == 0
    assert is_plain(capfd.readouterr().out)
    assert nnkit.load(made.path) is not None


@pytest.mark.parametrize(
    "title",
    ["../../x", "/etc/x", "<script>alert(1)</script>", "a\0b", "=1+1", "\x1b[31m", "-rf", "", "..", "é☃"],
)
def test_no_title_leads_a_run_out_of_its_folder(title: str, tmp_path: Path) -> None:
    made = RunDirectory.create(tmp_path / "runs", "train", title)
    made.set_state("running")
    made.close()
    assert made.path.resolve().parent == (tmp_path / "runs" / "train").resolve()
    assert re.fullmatch(r"\d{8}-\d{6}-[A-Za-z0-9._-]*", made.name)
    assert [found.path for found in run_directories(tmp_path / "runs")] == [made.path]


@pytest.mark.parametrize(
    "name", ["../runs", "..", "/etc", "<script>", "a\0b", "=1+1", "\x1b[31m", "x" * 5000, "\ud800"]
)
@pytest.mark.parametrize("command", [["runs", "show"], ["evaluate"]])
def test_a_run_of_such_a_name_is_not_there(
    command: list[str], name: str, place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run([*command, name]) in (1, 2)
    out, err = capfd.readouterr()
    assert out == ""
    assert is_plain(err)
    assert "Traceback" not in err
    assert "looks like a bug" not in err
    assert everything(place) == set()


@pytest.mark.parametrize("name", ["<script>alert(1)<", "=1+1", "-rf", "a\nb", "\x1b[31mred", "ünïcødé ☃"])
def test_a_run_may_be_put_into_a_folder_of_any_name(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_folder(
        tmp_path / "images", {f"{kind}/{at}.png": random_png(at) for kind, ats in PAIR.items() for at in ats}
    )
    out = tmp_path / "runs" / "train" / name
    words = ["train", "--dataset", f"image-folder:path={tmp_path / 'images'}", "--epochs", "1"]
    assert run([*words, "--device", "cpu", "--out", str(out), "--no-test"]) == 0
    assert is_plain(capfd.readouterr().out)
    assert (out / "summary.json").is_file()
    assert run(["runs", "list"]) == 0
    assert is_plain(capfd.readouterr().out)
    assert run(["runs", "show", str(out), "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["run_dir"] == str(out)


# Images.

GREY = np.random.default_rng(0).integers(0, 256, (24, 24), np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (24, 24, 3), np.uint8)


def saved(image: Image.Image, kind: str = "PNG", **more: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **more)  # type: ignore[arg-type]
    return stream.getvalue()


def animated() -> bytes:
    frames = [Image.fromarray(np.full((24, 24), level, np.uint8)) for level in (10, 200)]
    return saved(frames[0], "GIF", save_all=True, append_images=frames[1:])


ODD = {
    "one-pixel.png": encoded(np.ones((1, 1), np.uint8)),
    "long.png": encoded(np.ones((20_000, 1), np.uint8)),
    "wide.png": encoded(np.ones((1, 20_000), np.uint8)),
    "cmyk.jpg": encoded(COLOUR, "JPEG", "CMYK"),
    "sixteen.png": encoded(GREY.astype(np.uint16) * 257),
    "palette.png": saved(Image.fromarray(COLOUR).convert("P")),
    "animated.gif": animated(),
    "transparent.png": encoded(np.dstack([COLOUR, GREY])),
    "one-bit.png": encoded(GREY, mode="1"),
}
"""Images that are read as docs say."""

BAD = {
    "empty.png": b"",
    "text.png": b"hello, world",
    "page.jpg": b"<html>not found</html>",
    "cut.png": encoded(COLOUR)[:200],
    "float.tiff": saved(Image.fromarray(GREY.astype(np.float32)), "TIFF"),
    "\x1b[31mred.png": b"no image either",
    "<script>alert(1)<.png": b"",
    "=1+1.png": b"",
    "a\nb.png": b"",
}
"""Images that are left out."""


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    good = {
        f"{kind}/{at}.png": random_png(at, 24, 24, colour=True) for kind, ats in PAIR.items() for at in ats
    }
    files = good | {f"cat/{name}": data for name, data in (ODD | BAD).items()}
    return write_folder(tmp_path / "images", files)


@pytest.mark.parametrize("memory", ["true", "false"])
def test_each_bad_image_is_named_once_and_the_odd_ones_are_there(
    odd: Path, memory: str, capfd: pytest.CaptureFixture[str]
) -> None:
    left_out = dict(BAD)
    if memory == "false":  # then pixels are looked at when they are used: see the next test
        (odd / "cat" / "cut.png").unlink()
        del left_out["cut.png"]
    spec = f"image-folder:path={odd},in_memory={memory}"
    assert run(["info", spec, "--json"]) == 0
    out, err = capfd.readouterr()
    facts = json.loads(out)
    assert f"{len(left_out)} bad image files are left out" in err
    assert is_plain(err)
    for name in left_out:
        shown = "".join(
            "\N{REPLACEMENT CHARACTER}" if not letter.isprintable() else letter for letter in name
        )
        assert err.replace("\n", "\N{REPLACEMENT CHARACTER}").count(f"cat/{shown}") == 1, name
    assert not [name for name in ODD if f"cat/{name}" in err]
    assert sum(facts["facts"]["splits"].values()) == sum(map(len, PAIR.values())) + len(ODD)


def test_a_file_with_a_sound_header_alone_is_named_when_it_is_read(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folders = {f"{split}/{kind}/{at}.png" for split in ("train", "val") for kind in PAIR for at in range(3)}
    write_folder(tmp_path / "images", {name: random_png(0, 24, 24, colour=True) for name in folders})
    (tmp_path / "images" / "train" / "cat" / "cut.png").write_bytes(BAD["cut.png"])
    words = ["train", "--dataset", f"image-folder:path={tmp_path / 'images'},in_memory=false"]
    assert run([*words, "--epochs", "1", "--device", "cpu"]) == 1
    err = capfd.readouterr().err
    assert err.count(str(tmp_path / "images" / "train" / "cat" / "cut.png")) == 1
    assert "in_memory=true leaves such files out" in err
    assert not (tmp_path / "runs").exists()


def test_a_folder_of_bad_images_alone_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_folder(tmp_path / "bad", {f"{kind}/{name}": data for kind in "ab" for name, data in BAD.items()})
    assert run(["train", "--dataset", f"image-folder:path={tmp_path / 'bad'}"]) == 1
    err = capfd.readouterr().err
    assert "holds no image that can be read" in err
    assert is_plain(err)
    assert not (tmp_path / "runs").exists()


def test_an_image_too_small_for_the_model_is_refused_before_the_run(
    odd: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["train", "--dataset", f"image-folder:path={odd}", "--epochs", "1"]) == 2
    err = capfd.readouterr().err
    assert re.search("takes no image of 1×(1|20000) pixels", err)
    assert "Traceback" not in err
    assert not (tmp_path / "runs").exists()


def test_odd_images_are_trained_on_once_brought_to_one_size(odd: Path, tmp_path: Path) -> None:
    words = [
        "train",
        "--dataset",
        f"image-folder:path={odd}",
        "--bucketing",
        "resize_policy=resize,size=24x24",
    ]
    assert run([*words, "--epochs", "1", "--device", "cpu", "--out", str(tmp_path / "out"), "--no-test"]) == 0
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert np.isfinite(summary["best"]["metrics"]["val_loss"])
    assert not [name for name in os.listdir(tmp_path) if name not in ("images", "out", "work", "cache")]
