"""Whatever a mirror answers, no bad file is ever loaded, nothing stays half written, the next try works."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
import multiprocessing
import os
import pickle
import resource
import signal
import socket
import tarfile
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.datasets import CIFAR10, MNIST

from nnkit.cli import main
from nnkit.data import download
from nnkit.data.cifar10 import read_cifar10
from nnkit.datasets import mnist
from nnkit.datasets.mnist import Mnist
from nnkit.errors import DataError
from nnkit.types import DataPlace

PAGE = b"<!doctype html><title>Moved</title>We have moved."
FORK = multiprocessing.get_context("fork")


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


@dataclass
class Mirror:
    """A server on this machine: the first part of an address's path says how it behaves."""

    files: dict[str, bytes]
    asked: list[str] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)
    port: int = 0

    def url(self, manner: str) -> str:
        return f"http://127.0.0.1:{self.port}/{manner}/"


class Answer(BaseHTTPRequestHandler):
    mirror: Mirror

    def do_GET(self) -> None:  # the name that http.server asks for
        self.mirror.asked.append(self.path)
        _, manner, name = self.path.split("/")
        content = self.mirror.files[name]
        if manner == "gone":
            self.send_error(404)
        elif manner == "hangs-up":
            self.close_connection = True
        elif manner == "moved":
            self._headers(302, 0, location=self.mirror.url("good") + name)
        elif manner == "in-circles":
            self._headers(302, 0, location=self.path)
        elif manner == "silent":
            self.mirror.released.wait()
        elif manner == "stalls":
            self._headers(200, len(content))
            self.wfile.write(content[:10])
            self.wfile.flush()
            self.mirror.released.wait()
        elif manner == "trickles":
            self._headers(200, len(content))
            for byte in content:
                if self.mirror.released.wait(0.05):
                    return
                self.wfile.write(bytes([byte]))
        elif manner == "without-end":
            self._headers(200, None)
            with contextlib.suppress(OSError):
                while not self.mirror.released.is_set():
                    self.wfile.write(bytes(1 << 16))
        else:
            body = {
                "good": content,
                "truncated": content[: len(content) // 2],
                "other": content[:-1] + bytes([content[-1] ^ 1]),
                "page": PAGE,
                "empty": b"",
            }[manner]
            self._headers(200, len(content) if manner == "truncated" else len(body))
            self.wfile.write(body)

    def _headers(self, status: int, length: int | None, *, location: str = "") -> None:
        self.send_response(status)
        if length is not None:
            self.send_header("Content-Length", str(length))
        if location:
            self.send_header("Location", location)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture(autouse=True)
def _online(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mirrors are asked, and not by way of a proxy."""
    monkeypatch.delenv("NNKIT_OFFLINE", raising=False)
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(urllib.request, "_opener", None)  # one that was made before knows other proxies
    monkeypatch.setattr(download, "TIMEOUT_S", 0.3)


@contextlib.contextmanager
def serving(files: dict[str, bytes]) -> Iterator[Mirror]:
    mirror = Mirror(files)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Its", (Answer,), {"mirror": mirror}))
    server.daemon_threads = True
    mirror.port = server.server_port
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield mirror
    finally:
        mirror.released.set()
        server.shutdown()
        server.server_close()


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    """A mirror of an MNIST of nine images, which Mnist takes for the published one."""
    rng = np.random.default_rng(0)
    sizes = {"NUM_TRAIN": 5, "NUM_VAL": 2, "NUM_TEST": 2}
    files, resources, raw = {}, [], []
    for file in mnist.FILES:
        count = 2 if "t10k" in file.name else 7
        pixels = 28 * 28 if "images" in file.name else 1
        content = bytes(file.header) + rng.integers(0, 10, count * pixels, np.uint8).tobytes()
        packed = gzip.compress(content, mtime=0)
        files[f"{file.name}.gz"] = packed
        resources.append((f"{file.name}.gz", md5(packed)))
        raw.append(mnist.RawFile(file.name, file.header, md5(content)))
    for name, value in sizes.items():
        monkeypatch.setattr(mnist, name, value)
    for name, file in zip(("TRAIN_IMAGES", "TRAIN_LABELS", "TEST_IMAGES", "TEST_LABELS"), raw, strict=True):
        monkeypatch.setattr(mnist, name, file)
    monkeypatch.setattr(mnist, "FILES", tuple(raw))
    monkeypatch.setattr(MNIST, "resources", resources)
    with serving(files) as found:
        yield found


@pytest.fixture
def place(tmp_path: Path) -> DataPlace:
    return DataPlace(tmp_path / "root", tmp_path / "cache", download=True)


def use(mirrors: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MNIST, "mirrors", mirrors)


def raw_folder(place: DataPlace) -> Path:
    return place.root / "MNIST" / "raw"


def is_whole(place: DataPlace) -> bool:
    """Whether the four files are there, and nothing beside them, and are what the mirror has."""
    names = sorted(path.name for path in raw_folder(place).iterdir())
    return names == sorted(file.name for file in mnist.FILES) and all(
        md5((raw_folder(place) / file.name).read_bytes()) == file.md5 for file in mnist.FILES
    )


def dead_address() -> str:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{server.getsockname()[1]}/"


@pytest.mark.parametrize(
    ("manner", "words"),
    [
        ("dead", "refused"),
        ("gone", "404"),
        ("hangs-up", "without response"),
        ("in-circles", "redirect"),
        ("silent", "timed out"),
        ("stalls", "timed out"),
        ("trickles", "less than 1,024 bytes a second"),
        ("without-end", "more than 1 MiB"),
        ("truncated", "it sent {half:,} of {all:,} bytes whose md5 is {cut}, it should be {md5}"),
        ("other", "it sent {all:,} bytes whose md5 is {flipped}, it should be {md5}"),
        ("page", "it sent 49 bytes whose md5 is {page}, it should be {md5}"),
        ("empty", "it sent 0 bytes whose md5 is d41d8cd98f00b204e9800998ecf8427e, it should be {md5}"),
    ],
)
def test_a_bad_answer_is_told_with_its_address_and_leaves_nothing(
    mirror: Mirror, place: DataPlace, monkeypatch: pytest.MonkeyPatch, manner: str, words: str
) -> None:
    monkeypatch.setattr(download, "LIMIT", 1 << 20)
    address = dead_address() if manner == "dead" else mirror.url(manner)
    use([address], monkeypatch)
    started = time.monotonic()
    with pytest.raises(DataError, match="download failed") as caught:
        Mnist().load(place)
    assert time.monotonic() - started < 10
    name, right = MNIST.resources[0]
    content = mirror.files[name]
    values = {
        "half": len(content) // 2, "all": len(content), "cut": md5(content[: len(content) // 2]),
        "flipped": md5(content[:-1] + bytes([content[-1] ^ 1])), "page": md5(PAGE), "md5": right,
    }  # fmt: skip
    assert address + name in caught.value.message
    assert words.format(**values) in caught.value.message
    assert not place.root.exists()

    offline = DataPlace(place.root, place.cache)
    with pytest.raises(DataError, match="missing"):
        Mnist().load(offline)
    use([mirror.url("good")], monkeypatch)
    assert len(Mnist().load(place).splits["test"]) == 2
    assert is_whole(place)
    assert len(Mnist().load(offline).splits["train"]) == 5


def test_the_next_mirror_is_asked_and_all_of_them_are_told(
    mirror: Mirror, place: DataPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = [dead_address(), mirror.url("page"), mirror.url("truncated")]
    use(bad, monkeypatch)
    with pytest.raises(DataError) as caught:
        Mnist().load(place)
    assert all(address in caught.value.message for address in bad)
    use([*bad, mirror.url("moved")], monkeypatch)
    Mnist().load(place)
    assert is_whole(place)


def test_what_is_there_is_not_fetched_again_and_what_is_damaged_is_never_loaded(
    mirror: Mirror, place: DataPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    use([mirror.url("good")], monkeypatch)
    Mnist().load(place)
    assert len(mirror.asked) == 4
    path = raw_folder(place) / mnist.FILES[2].name
    whole = path.read_bytes()
    path.write_bytes(PAGE)
    with pytest.raises(DataError, match="is damaged") as caught:
        Mnist().load(place)
    assert str(path) in caught.value.message
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(DataError, match=f"should be {mnist.FILES[2].md5}"):
        Mnist().load(place)
    path.unlink()
    Mnist().load(place)
    assert mirror.asked[4:] == [f"/good/{path.name}.gz"]


def load_in_a_child(place: DataPlace, answers: multiprocessing.Queue[str]) -> None:
    try:
        answers.put(f"{len(Mnist().load(place).splits['train'])} images")
    except DataError as error:
        answers.put(error.message)


def test_processes_that_fetch_one_dataset_at_once_all_get_it(
    mirror: Mirror, place: DataPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    use([mirror.url("page"), mirror.url("good")], monkeypatch)
    answers = FORK.Queue()
    processes = [FORK.Process(target=load_in_a_child, args=(place, answers)) for _ in range(6)]
    for process in processes:
        process.start()
    assert [answers.get(timeout=30) for _ in processes] == ["5 images"] * 6
    for process in processes:
        process.join()
    assert is_whole(place)


def test_processes_that_fail_at_once_do_not_trip_over_each_others_folders(
    mirror: Mirror, place: DataPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    use([mirror.url("page")], monkeypatch)
    answers = FORK.Queue()
    processes = [FORK.Process(target=load_in_a_child, args=(place, answers)) for _ in range(12)]
    for process in processes:
        process.start()
    told = [answers.get(timeout=30) for _ in processes]
    for process in processes:
        process.join()
    assert all("download failed" in message for message in told), told
    assert not [path for path in place.root.rglob("*") if path.is_file()]


def test_what_a_killed_download_left_goes_with_the_next_one(
    mirror: Mirror, place: DataPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "TIMEOUT_S", 60.0)
    use([mirror.url("stalls")], monkeypatch)
    process = FORK.Process(target=load_in_a_child, args=(place, FORK.Queue()))
    process.start()
    deadline = time.monotonic() + 30
    while not [path for path in place.root.rglob("*.tmp") if path.stat().st_size]:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    with pytest.raises(DataError, match="missing"):
        Mnist().load(DataPlace(place.root, place.cache))
    use([mirror.url("good")], monkeypatch)
    Mnist().load(place)
    assert is_whole(place)


@contextlib.contextmanager
def readable_alone() -> Iterator[Path]:
    """A folder that nobody may write, root apart, in one that everybody may enter."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        root = Path(folder) / "root"
        root.mkdir()
        root.chmod(0o555)
        yield root


def test_a_root_that_cannot_be_written_is_named(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    use([mirror.url("good")], monkeypatch)
    answers = FORK.Queue()

    def load_as_nobody(place: DataPlace) -> None:
        if os.getuid() == 0:
            os.setuid(65534)
        load_in_a_child(place, answers)

    with readable_alone() as root:
        process = FORK.Process(target=load_as_nobody, args=(DataPlace(root, root, download=True),))
        process.start()
        told = answers.get(timeout=30)
        process.join()
        assert list(root.iterdir()) == []
    assert told == f"cannot download into {root / 'MNIST' / 'raw'}: Permission denied"
    assert mirror.asked == []


def test_a_file_in_place_of_the_root_is_named(
    mirror: Mirror, place: DataPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    use([mirror.url("good")], monkeypatch)
    place.root.write_text("no folder")
    with pytest.raises(DataError, match="cannot download into") as caught:
        Mnist().load(place)
    assert "--data-root" in caught.value.hint
    assert mirror.asked == []


def test_a_full_disk_is_no_fault_of_the_mirror(
    mirror: Mirror, place: DataPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    use([mirror.url("good"), mirror.url("moved")], monkeypatch)
    answers = FORK.Queue()

    def load_on_a_full_disk() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        load_in_a_child(place, answers)

    process = FORK.Process(target=load_on_a_full_disk)
    process.start()
    told = answers.get(timeout=30)
    process.join()
    assert told == f"cannot download into {raw_folder(place)}: File too large"
    assert len(mirror.asked) == 1
    assert not place.root.exists()


@pytest.fixture
def no_sockets(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Sockets and names that were asked for; each attempt is an error too."""
    asked: list[object] = []

    def refuse(*words: object, **more: object) -> None:
        asked.append(words)
        raise AssertionError("a socket is opened")

    for name in ("socket", "create_connection", "getaddrinfo", "gethostbyname"):
        monkeypatch.setattr(socket, name, refuse)
    return asked


@pytest.mark.parametrize("way", ["NNKIT_OFFLINE=1", "no --download"])
@pytest.mark.parametrize("dataset", ["mnist", "mnist-varres", "cifar-transform"])
def test_offline_opens_no_socket(
    dataset: str,
    way: str,
    no_sockets: list[object],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    words = ["train", "--dataset", dataset, "--data-root", str(tmp_path / "root")]
    words += ["--runs-dir", str(tmp_path / "runs"), "--json"]
    if way == "NNKIT_OFFLINE=1":
        monkeypatch.setenv("NNKIT_OFFLINE", "1")
        words.append("--download")
    assert main.run(words) == 1
    error = json.loads(capfd.readouterr().err.splitlines()[-1])["error"]
    assert str(tmp_path / "root") in error["hint"]
    assert no_sockets == []
    assert list(tmp_path.iterdir()) == []


# CIFAR-10 comes as one archive of several files, which would be unpickled.


@pytest.fixture
def cifar(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    """A mirror of a CIFAR-10 of two batches with three images each."""
    rng, members = np.random.default_rng(0), {}
    for name in ("data_batch_1", "test_batch"):
        data = rng.integers(0, 256, (3, 3072), np.uint8)
        members[name] = pickle.dumps({"data": data, "labels": [0, 1, 2]})
    members["batches.meta"] = pickle.dumps({"label_names": ["a", "b", "c"]})
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(f"{CIFAR10.base_folder}/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    monkeypatch.setattr(CIFAR10, "train_list", [["data_batch_1", md5(members["data_batch_1"])]])
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", md5(members["test_batch"])]])
    meta = {"filename": "batches.meta", "key": "label_names", "md5": md5(members["batches.meta"])}
    monkeypatch.setattr(CIFAR10, "meta", meta)
    monkeypatch.setattr(CIFAR10, "tgz_md5", md5(packed.getvalue()))
    with serving({"cifar.tgz": packed.getvalue()}) as found:
        yield found


@pytest.mark.parametrize("manner", ["gone", "truncated", "other", "page"])
def test_an_archive_that_is_not_the_right_one_is_not_opened(
    cifar: Mirror, place: DataPlace, monkeypatch: pytest.MonkeyPatch, manner: str
) -> None:
    monkeypatch.setattr(CIFAR10, "url", cifar.url(manner) + "cifar.tgz")
    with pytest.raises(DataError, match="download failed") as caught:
        read_cifar10(place)
    assert CIFAR10.url in caught.value.message
    assert manner == "gone" or CIFAR10.tgz_md5 in caught.value.message
    assert not place.root.exists()
    monkeypatch.setattr(CIFAR10, "url", cifar.url("moved") + "cifar.tgz")
    images, num_train = read_cifar10(place)
    assert (images.shape, num_train) == (torch.Size([6, 3, 32, 32]), 3)
    found = [path.name for path in (place.root / CIFAR10.base_folder).iterdir()]
    assert sorted(found) == ["batches.meta", "data_batch_1", "test_batch"]


def test_a_damaged_batch_is_told_with_both_checksums_and_never_unpickled(
    cifar: Mirror, place: DataPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CIFAR10, "url", cifar.url("good") + "cifar.tgz")
    read_cifar10(place)
    path = place.root / CIFAR10.base_folder / "test_batch"
    monkeypatch.setattr(pickle, "load", None)
    path.write_bytes(PAGE)
    with pytest.raises(DataError, match=f"md5 is {md5(PAGE)}, it should be {CIFAR10.test_list[0][1]}"):
        read_cifar10(place)
