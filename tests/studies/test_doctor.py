"""The doctor finds what is wrong with the folders that nnkit reads and writes."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from nnkit import registry
from nnkit.data.download import downloaded
from nnkit.errors import DataError
from nnkit.studies.doctor import DoctorConfig, doctor


@pytest.fixture(autouse=True)
def _no_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each component of a third party, also of other tests, would be imported in a process of its own."""
    own = tuple(entry for entry in registry.entries() if entry.provider == registry.BUILT_IN)
    monkeypatch.setattr(registry, "entries", lambda: own)


def problems(**options: Path) -> str:
    return "; ".join(doctor(DoctorConfig(**options)).problems)


def test_a_file_for_a_folder_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    assert f"data_root: {tmp_path / 'file'} is no folder" in problems(data_root=tmp_path / "file")
    assert f"runs: {tmp_path / 'file'} is no folder" in problems(runs_dir=tmp_path / "file")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc")
def test_a_folder_where_nothing_can_be_made_is_a_problem_whoever_asks() -> None:
    assert "runs: /proc/runs cannot be written" in problems(runs_dir=Path("/proc/runs"))


def test_folders_that_do_are_no_problem_and_nothing_is_left_in_them(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    found = doctor(DoctorConfig(data_root=tmp_path / "data", runs_dir=tmp_path / "runs"))
    assert not [problem for problem in found.problems if str(tmp_path) in problem]
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
    assert not any(found.datasets.values())


class _Refusing(BaseHTTPRequestHandler):
    def do_GET(self) -> None:  # the name that http.server asks for
        self.send_error(404)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def test_a_download_that_fails_leaves_no_folder_that_looks_like_a_dataset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NNKIT_OFFLINE", raising=False)
    server = HTTPServer(("127.0.0.1", 0), _Refusing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    folder = tmp_path / "data" / "MNIST" / "raw"
    try:
        with (
            pytest.raises(DataError),
            downloaded([f"http://127.0.0.1:{server.server_port}/x"], "0" * 32, folder),
        ):
            pass
    finally:
        server.shutdown()
        server.server_close()
    assert not (tmp_path / "data").exists()
    assert not doctor(DoctorConfig(data_root=tmp_path / "data")).datasets["mnist"]
