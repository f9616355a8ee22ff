"""An archive that points outside or unpacks to far too much is refused before anything is written."""

from __future__ import annotations

import gzip
import io
import json
import resource
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from data.image_files import random_png
from nnkit.cli.main import run

GOOD = {f"train/{digit}/{at}.png": random_png(10 * digit + at) for digit in (0, 1) for at in range(4)}
SECRET = random_png(99)
CHUNK = 64 << 20


def add(archive: tarfile.TarFile, name: str, data: bytes = b"", **fields: object) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    for field, value in fields.items():
        setattr(member, field, value)
    archive.addfile(member, io.BytesIO(data))


def evil_tar(path: Path, name: str, **fields: object) -> None:
    """An archive of good images with one more member, and one that goes through it where it is a link."""
    with tarfile.open(path, "w:gz" if path.suffix == ".tgz" else "w") as archive:
        for good, data in GOOD.items():
            add(archive, good, data)
        add(archive, name, b"" if fields else random_png(5), **fields)
        add(archive, f"{name}/through.png", random_png(6))


def evil_zip(path: Path, name: str, mode: int = 0) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for good, data in GOOD.items():
            archive.writestr(good, data)
        member = zipfile.ZipInfo(name)
        member.external_attr = mode << 16
        archive.writestr(member, str(path.with_name("secret.png")) if mode else random_png(5))


def tar_bomb(path: Path) -> None:
    """10 GB of zeros as one image, in 10 MB."""
    header = tarfile.TarInfo("train/0/bomb.png")
    header.size = 160 * CHUNK
    zeros = gzip.compress(bytes(CHUNK), 1)
    path.write_bytes(gzip.compress(header.tobuf()) + 160 * zeros + gzip.compress(bytes(1024)))


def zip_bomb(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("train/0/bomb.png", bytes(2 * CHUNK))


def lying_zip(path: Path) -> None:
    """A member that says that it has ten bytes, and has 64 MiB."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("train/0/bomb.png", bytes(CHUNK))
    whole = bytearray(path.read_bytes())
    at = whole.index(b"PK\1\2") + 24
    whole[at : at + 4] = whole[22:26] = (10).to_bytes(4, "little")
    path.write_bytes(whole)


def sparse_tar(path: Path) -> None:
    member = tarfile.TarInfo("train/0/bomb.png")
    member.type = tarfile.GNUTYPE_SPARSE
    path.write_bytes(gzip.compress(member.tobuf(tarfile.GNU_FORMAT) + bytes(1024)))


def link(kind: bytes, target: str) -> Callable[[Path], None]:
    return lambda path: evil_tar(path, "train/0/x.png", type=kind, linkname=target)


LINK = stat.S_IFLNK | 0o777
ATTACKS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "parent.tgz": ("..", lambda path: evil_tar(path, "train/../../x.png")),
    "parent.tar": ("..", lambda path: evil_tar(path, "../x.png")),
    "parent.zip": ("..", lambda path: evil_zip(path, "../x.png")),
    "backslash.zip": ("..", lambda path: evil_zip(path, "..\\x.png")),
    "absolute.tgz": ("absolute", lambda path: evil_tar(path, "/x.png")),
    "absolute.zip": ("absolute", lambda path: evil_zip(path, "/x.png")),
    "drive.zip": ("absolute", lambda path: evil_zip(path, "C:\\x.png")),
    "symlink.tgz": ("link or device", link(tarfile.SYMTYPE, "../../secret.png")),
    "hardlink.tgz": ("link or device", link(tarfile.LNKTYPE, "../../secret.png")),
    "folder-link.tgz": (
        "link or device",
        lambda path: evil_tar(path, "train/0/away", type=tarfile.SYMTYPE, linkname="/tmp"),
    ),
    "symlink.zip": ("link or device", lambda path: evil_zip(path, "train/0/x.png", LINK)),
    "device.tgz": ("link or device", link(tarfile.CHRTYPE, "")),
    "block-device.tar": ("link or device", link(tarfile.BLKTYPE, "")),
    "pipe.tgz": ("link or device", link(tarfile.FIFOTYPE, "")),
    "bomb.tgz": ("more than 64 MiB", tar_bomb),
    "bomb.zip": ("more than 64 MiB", zip_bomb),
    "sparse.tgz": ("sparse", sparse_tar),
    "lying.zip": ("damaged", lying_zip),
}
"""The archive by its name, a word of the refusal, and how it is made."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archives")
    (folder / "secret.png").write_bytes(SECRET)
    for name, (_, make) in ATTACKS.items():
        make(folder / name)
    return folder


def everything(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


@pytest.mark.parametrize("dataset", ["image-folder:path", "cifar-transform:source"])
@pytest.mark.parametrize("name", ATTACKS)
def test_it_is_refused_and_nothing_is_written(
    made: Path, name: str, dataset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    work = tmp_path / "deep" / "work"
    work.mkdir(parents=True)
    monkeypatch.chdir(work)
    monkeypatch.setenv("NNKIT_CACHE", str(work / "cache"))
    before = everything(made)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    code = run(["train", "--dataset", f"{dataset}={made / name}", "--epochs", "1", "--json"])
    out, err = capfd.readouterr()
    assert (code, out) == (1, "")
    message = json.loads(err.splitlines()[-1])["error"]["message"]
    assert ATTACKS[name][0] in message
    assert str(made / name) in message
    assert "Traceback" not in err
    assert everything(made) == before
    assert {path.name for path in everything(tmp_path)} <= {"deep", "work", "cache"} | {
        path.name for path in (work / "cache").glob("sha256-*.json")
    }
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 400 << 10, "KiB"


def test_a_dataset_of_the_data_root_is_looked_at_as_strictly(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NNKIT_CACHE", str(tmp_path / "cache"))
    for name in ("parent.tgz", "symlink.tgz", "bomb.tgz"):
        (tmp_path / "mnist-varres.tgz").write_bytes((made / name).read_bytes())
        assert run(["info", "mnist-varres", "--data-root", str(tmp_path), "--json"]) in (0, 1)
        out, err = capfd.readouterr()
        assert "refused" in out + err
        assert run(["train", "--dataset", "mnist-varres", "--data-root", str(tmp_path)]) == 1
        assert "refused" in capfd.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_good_archives_of_the_same_images_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NNKIT_CACHE", str(tmp_path / "cache"))
    evil_zip(tmp_path / "good.zip", "train/0/more.png")
    with tarfile.open(tmp_path / "good.tgz", "w:gz") as archive:
        for name, data in GOOD.items():
            add(archive, name, data)
    for name in ("good.zip", "good.tgz"):
        assert run(["info", f"image-folder:path={name}", "--json"]) == 0
        splits = json.loads(capfd.readouterr().out)["facts"]["splits"]
        assert sum(splits.values()) == len(GOOD) + (name == "good.zip")
