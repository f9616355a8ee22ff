from __future__ import annotations

import json
import math
import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from enum import Enum
from pathlib import Path

import pytest
import torch

from nnkit import files
from nnkit.data import tensor_files
from nnkit.errors import WriteError

WRITERS: list[Callable[[Path], None]] = [
    lambda path: files.write_bytes(path, b"new \xff"),
    lambda path: files.write_text(path, "new é"),
    lambda path: files.write_json(path, {"new": 1}),
]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_failed_write_leaves_the_old_file_and_no_temporary_one(
    tmp_path: Path, error: type[BaseException]
) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"old")
    before = path.stat()
    with pytest.raises(error), files.replacing(path) as temporary:  # noqa: PT012  # the block is what fails
        temporary.write_text("half")
        assert temporary.parent == path.parent, "a rename across file systems is a copy"
        raise error
    assert path.read_bytes() == b"old"
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert list(tmp_path.iterdir()) == [path]


def test_a_replacement_that_fails_leaves_the_old_file_and_no_temporary_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"old")

    def refuse(*names: object) -> None:
        raise PermissionError(13, "refused")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(
        WriteError, match=r"a\.json cannot be written: refused \([\d,]+ MiB are free there\)"
    ) as told:
        files.write_bytes(path, b"new")
    assert "what it held before is kept" in told.value.hint
    assert isinstance(told.value, OSError)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("write", WRITERS, ids=["bytes", "text", "json"])
def test_who_opened_a_file_before_it_was_replaced_reads_the_old_bytes_whole(
    tmp_path: Path, write: Callable[[Path], None]
) -> None:
    path = tmp_path / "a.json"
    old = b"old " * 1000
    path.write_bytes(old)
    before = path.stat().st_ino
    with path.open("rb") as reader:
        head = reader.read(4)
        write(path)
        assert head + reader.read() == old
        assert os.fstat(reader.fileno()).st_ino == before
    assert path.stat().st_ino != before
    assert b"new" in path.read_bytes()
    assert list(tmp_path.iterdir()) == [path]


def test_two_replacements_at_once_do_not_share_a_temporary_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with files.replacing(path) as first, files.replacing(path) as second:
        assert first != second
        first.write_bytes(b"1")
        second.write_bytes(b"2")
        assert not path.exists()
    assert path.read_bytes() == b"1", "the block that ends last replaces last"
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "a"
    files.write_bytes(path, b"\0\xff")
    assert path.read_bytes() == b"\0\xff"
    files.write_text(path, "é × 2\n")
    assert path.read_bytes() == "é × 2\n".encode()
    files.write_json(path, {"size": "2×3", "values": [1.5, math.inf]})
    text = '{\n  "size": "2×3",\n  "values": [\n    1.5,\n    null\n  ]\n}\n'
    assert path.read_bytes() == text.encode()


def test_text_is_utf_8_whatever_the_locale(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from nnkit import files\n"
        "files.write_text(Path(sys.argv[1]), '\\u00d7')"
    )
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [sys.executable, "-c", script, str(tmp_path / "a")]
    subprocess.run(command, check=True, env={**os.environ, **locale})
    assert (tmp_path / "a").read_bytes() == "×".encode()


def test_strays_of_a_killed_process_are_removed(tmp_path):
    script = (
        "import os, sys; from pathlib import Path; from nnkit import files\n"
        "with files.replacing(Path(sys.argv[1])) as path: path.write_text('half'); os._exit(9)"
    )
    (tmp_path / "a.json").write_text("{}")
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "a.json")], check=False)
    assert len(list(tmp_path.iterdir())) == 2
    files.remove_stale_files(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_files_that_may_still_be_written_stay(tmp_path):
    alive = tmp_path / f".ab12.{files.host()}.{os.getpid()}.tmp"
    elsewhere, old = tmp_path / ".ab12.0123456789ab.5.tmp", tmp_path / ".ab13.0123456789ab.5.tmp"
    foreign = tmp_path / ".notes.tmp"
    for path in (alive, elsewhere, old, foreign):
        path.write_bytes(b"x")
    os.utime(old, (time.time() - 1e6,) * 2)
    files.remove_stale_files(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([alive, elsewhere, foreign])
    files.remove_stale_files(tmp_path / "none")


@pytest.mark.parametrize(
    "maker", ["0123456789ab.5", f"{files.host()}.{os.getpid()}"], ids=["elsewhere", "here"]
)
def test_a_temporary_file_goes_after_a_day_whoever_has_the_number_of_its_process(
    tmp_path: Path, maker: str
) -> None:
    now = time.time()
    ages = {f".aa.{maker}.tmp": 86_000, f".bb.{maker}.tmp": 86_800}
    for name, age in ages.items():
        (tmp_path / name).write_bytes(b"x")
        os.utime(tmp_path / name, (now - age,) * 2)
    files.remove_stale_files(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [f".aa.{maker}.tmp"]


def test_a_process_that_may_not_be_signalled_is_alive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(error: type[OSError]) -> Callable[[int, int], None]:
        def kill(process: int, number: int) -> None:
            assert (process, number) == (4242, 0)
            raise error

        return kill

    path = tmp_path / f".ab.{files.host()}.4242.tmp"
    path.write_bytes(b"x")
    monkeypatch.setattr(os, "kill", answer(PermissionError))
    files.remove_stale_files(tmp_path)
    assert path.exists()
    monkeypatch.setattr(os, "kill", answer(ProcessLookupError))
    files.remove_stale_files(tmp_path)
    assert not path.exists()


def test_a_stray_that_another_process_removes_first_hides_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stale = {process: tmp_path / f".ab.{files.host()}.{process}.tmp" for process in (4242, 4243, 4244)}
    for path in stale.values():
        path.write_bytes(b"x")
    asked: list[int] = []

    def kill(process: int, number: int) -> None:
        if not asked:
            stale[process].unlink()  # as another process would
        asked.append(process)
        raise ProcessLookupError

    monkeypatch.setattr(os, "kill", kill)
    files.remove_stale_files(tmp_path)
    assert sorted(asked) == sorted(stale)
    assert list(tmp_path.iterdir()) == []


def test_folders_that_were_being_written_go_with_what_is_in_them(tmp_path: Path) -> None:
    folder = tmp_path / ".ab.0123456789ab.5.tmp"
    folder.mkdir()
    (folder / "state.safetensors").write_bytes(b"a part")
    os.utime(folder, (0, 0))
    files.remove_stale_files(tmp_path)
    assert not folder.exists()


def test_what_cannot_be_removed_stays_without_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: Path, missing_ok: bool = False) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    stale = tmp_path / ".ab.0123456789ab.5.tmp"
    stale.write_bytes(b"x")
    os.utime(stale, (0, 0))
    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", refused)
        files.remove_stale_files(tmp_path)
    assert stale.exists()


def test_half_a_character_is_written_as_its_escape_and_read_back(tmp_path: Path) -> None:
    files.write_json(tmp_path / "x", {"a": "\ud800 ü"})
    assert json.loads((tmp_path / "x").read_text(encoding="utf-8")) == {"a": "\ud800 ü"}
    files.write_json(tmp_path / "x", {"a": "ü"})
    assert "ü" in (tmp_path / "x").read_text(encoding="utf-8")


def write_folder(path: Path, text: str, error: BaseException | None = None) -> None:
    with files.new_folder(path) as temporary:
        (temporary / "a").write_text(text)
        assert temporary.parent == path.parent
        if error is not None:
            raise error


def test_a_new_folder_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    write_folder(tmp_path / "new", "b")
    with pytest.raises(KeyboardInterrupt):
        write_folder(tmp_path / "other", "c", KeyboardInterrupt())
    with pytest.raises(WriteError, match="new cannot be written"):
        write_folder(tmp_path / "new", "d")
    assert (tmp_path / "new" / "a").read_text() == "b"
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_a_file_and_its_name_are_on_the_disk_before_the_call_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    fsync, replace = os.fsync, os.replace

    def noted(descriptor: int) -> None:
        done.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    def renamed(old: Path, new: Path) -> None:
        done.append("rename")
        replace(old, new)

    monkeypatch.setattr(os, "fsync", noted)
    monkeypatch.setattr(os, "replace", renamed)
    files.write_text(tmp_path / "x", "text")
    assert done == ["file", "rename", "folder"]


def test_a_folder_its_file_and_its_name_are_on_the_disk_before_the_call_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    rename = os.rename

    def noted(descriptor: int) -> None:
        found = os.fstat(descriptor)
        within = stat.S_ISDIR(found.st_mode) and found.st_ino != tmp_path.stat().st_ino
        done.append("new folder" if within else "parent" if stat.S_ISDIR(found.st_mode) else "file")

    def renamed(old: Path, new: Path) -> None:
        done.append("rename")
        rename(old, new)

    monkeypatch.setattr(os, "fsync", noted)
    monkeypatch.setattr(os, "rename", renamed)
    with files.new_folder(tmp_path / "x") as temporary:
        files.write_text(temporary / "y", "text")
        done.clear()
    assert done == ["new folder", "rename", "parent"]


def test_the_name_of_the_host_is_hashed_whatever_its_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {}
    for name in ("box", "fox", "caf\udce9"):
        monkeypatch.setattr("socket.gethostname", lambda name=name: name)
        names[name] = files.host()
        assert files.host() == names[name]
    assert len(set(names.values())) == 3
    assert all(len(name) == 12 and int(name, 16) >= 0 for name in names.values())


class Kind(Enum):
    A = "a"


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_others_may_read_a_file_as_far_as_the_umask_lets_them(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        files.write_text(tmp_path / "text", "x")
        tensor_files.save(tmp_path / "weights.safetensors", {"w": torch.ones(2)}, {})
    finally:
        os.umask(before)
    for name in ("text", "weights.safetensors"):
        assert (tmp_path / name).stat().st_mode & 0o777 == mode


def test_json_is_strict():
    value = {"nan": float("nan"), "inf": [float("inf")], 3: (Kind.A, Path("x")), "é": 1.5}
    assert json.loads(files.dumps(value)) == {"nan": None, "inf": [None], "3": ["a", "x"], "é": 1.5}
    assert files.dumps({"é": 1.5, "b": [1, 2, True, None, "x"]}) == '{"é": 1.5, "b": [1, 2, true, null, "x"]}'
    assert files.strict({"a": (1, 2.5, True, None, "x")}) == {"a": [1, 2.5, True, None, "x"]}


def test_what_json_cannot_hold_is_an_error_and_no_text() -> None:
    with pytest.raises(TypeError):
        files.dumps({"a": object()})


def test_a_stray_that_is_gone_before_it_is_looked_at_hides_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    strays = [tmp_path / f".{number}a.0123456789ab.5.tmp" for number in range(3)]
    for path in strays:
        path.write_bytes(b"x")
        os.utime(path, (0, 0))
    stat, seen = Path.stat, []

    def raced(path: Path, **more: bool) -> os.stat_result:
        if path in strays and not seen:
            seen.append(path)
            path.unlink()
        return stat(path, **more)

    monkeypatch.setattr(Path, "stat", raced)
    files.remove_stale_files(tmp_path)
    assert seen
    assert list(tmp_path.iterdir()) == []
