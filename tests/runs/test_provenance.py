"""What environment.json tells of libraries, sources and variables, and what differs between two of them."""

from __future__ import annotations

import hashlib
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import torch

import nnkit
from nnkit.present.runs import run_text
from nnkit.results.environment import EnvironmentChange
from nnkit.runs import provenance
from nnkit.runs.directory import RunDirectory
from nnkit.studies.runs import show_run
from tiny_plugin import TinyPlugin


def test_every_installed_distribution_has_its_version(tiny: TinyPlugin) -> None:
    found = provenance.distributions()
    assert found["tiny-plugin"] == "1.0"
    assert found["nnkit"] == metadata.version("nnkit")
    for name in ("torch", "numpy", "pydantic"):
        assert found[name] == metadata.version(name)
    names = {each.metadata["Name"] for each in metadata.distributions()}
    assert set(found) == {name for name in names if name}


def test_a_damaged_distribution_hides_no_other(tiny: TinyPlugin) -> None:
    for name, text in (("a", b"\xff\xfe\x00"), ("b", b"Name: b\n"), ("c", b"")):
        folder = tiny.runs.parent / "site" / f"{name}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_bytes(text)
    found = provenance.distributions()
    assert found["tiny-plugin"] == "1.0"
    assert not {"a", "b", "c"} & set(found)


def test_the_source_is_hashed_with_the_places_of_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hash_of(files: dict[str, str]) -> str:
        folder = tmp_path / hashlib.sha256(repr(files).encode()).hexdigest()[:8]
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        monkeypatch.setattr(provenance, "_PACKAGE", folder)
        provenance.source_hash.cache_clear()
        return provenance.source_hash()

    files = {"__init__.py": "", "b/c.py": "x", "b.py": "y"}
    first = hash_of(files)
    assert len(first) == 64
    assert hash_of({**dict(reversed(files.items())), "notes.txt": "z"}) == first
    assert hash_of({**files, "b.py": "z"}) != first
    assert hash_of({"__init__.py": "", "b/d.py": "x", "b.py": "y"}) != first
    monkeypatch.undo()
    provenance.source_hash.cache_clear()


def test_variables_that_matter_are_told_and_secrets_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {
        "OMP_NUM_THREADS": "3", "NNKIT_DATA": "/data", "CUBLAS_WORKSPACE_CONFIG": ":16:8",
        "PYTORCH_ALLOC_CONF": "x", "NNKIT_STORAGE": "postgresql://me:hidden@host/db", "PYTHONHASHSEED": "1",
        "NNKIT_API_KEY": "hidden", "TORCH_TOKEN": "hidden", "CUDA_PASSWORD": "hidden",
        "HOME": "hidden", "AWS_SECRET_ACCESS_KEY": "hidden", "MY_OMP_NUM_THREADS": "hidden",
    }  # fmt: skip
    for key, value in given.items():
        monkeypatch.setenv(key, value)
    found = provenance.variables()
    assert {key: found[key] for key in given if key in found} == {
        "OMP_NUM_THREADS": "3", "NNKIT_DATA": "/data", "CUBLAS_WORKSPACE_CONFIG": ":16:8",
        "PYTORCH_ALLOC_CONF": "x", "NNKIT_STORAGE": "postgresql://…@host/db", "PYTHONHASHSEED": "1",
    }  # fmt: skip
    assert "hidden" not in str(found)


@pytest.mark.serial
def test_it_takes_under_a_fifth_of_a_second() -> None:
    provenance.full_environment()
    times = []
    for _ in range(5):
        provenance.source_hash.cache_clear()
        provenance.nnkit_commit.cache_clear()
        began = time.perf_counter()
        provenance.full_environment()
        times.append(time.perf_counter() - began)
    assert min(times) < 0.2


def test_a_current_folder_that_is_gone_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert provenance.full_environment()["git"]["folder"] is None


def test_a_run_tells_what_it_ran_on(tiny: TinyPlugin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nnkit.present.figures.draw_training", lambda *parts: [])
    monkeypatch.chdir(tiny.runs.parent)  # in no repository
    run = nnkit.train(dataset="tiny", epochs=1, runs_dir=tiny.runs).run_dir
    found = RunDirectory(run).environment()
    assert found["distributions"]["torch"] == metadata.version("torch")
    assert found["nnkit_source"] == provenance.source_hash()
    assert found["git"]["folder"] is None
    assert found["torch"]["build"] == torch.__config__.show()
    assert found["threads"] == torch.get_num_threads()
    assert "earlier" not in found


def test_a_resumed_run_keeps_the_earlier_environments_and_shows_what_changed(
    tiny: TinyPlugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nnkit.present.figures.draw_training", lambda *parts: [])
    run = nnkit.train(dataset="tiny", epochs=1, runs_dir=tiny.runs).run_dir
    first = RunDirectory(run).environment()
    nnkit.train(resume=run, epochs=2)
    assert RunDirectory(run).environment()["earlier"] == [first]
    assert show_run(run).environment_changes == ()
    info = next((tiny.runs.parent / "site").glob("*.dist-info"))
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-plugin\nVersion: 1.1\n")
    with monkeypatch.context() as patch:
        patch.setattr(provenance, "source_hash", lambda: "0123456789abcdef" * 4)
        nnkit.train(resume=run, epochs=3)
        third = RunDirectory(run).environment()
        nnkit.train(resume=run, epochs=4)
    last = RunDirectory(run).environment()
    assert last["earlier"] == [first, {key: value for key, value in third.items() if key != "earlier"}]
    shown = show_run(run)
    assert shown.environment_changes == (
        EnvironmentChange(name="source of nnkit", before=first["nnkit_source"], after="0123456789abcdef" * 4),
        EnvironmentChange(name="library tiny-plugin", before="1.0", after="1.1"),
    )
    text = run_text(shown, width=120)
    assert f"changed on resuming  source of nnkit: {first['nnkit_source'][:12]}, then 0123456789ab\n" in text
    assert "changed on resuming  library tiny-plugin: 1.0, then 1.1" in text


BASE: dict[str, Any] = {
    "device": "cpu", "threads": 2, "cpu": "A", "python": "3.11.7", "nnkit_source": "a" * 64,
    "distributions": {"torch": "2.8.0", "numpy": "2.0"}, "variables": {"OMP_NUM_THREADS": "2"},
    "torch": {"version": "2.8.0", "cpu_capability": "AVX2", "build": "long"}, "command": ["nnkit"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("other", "name", "before", "after"),
    [
        ({"device": "cuda"}, "device", "cpu", "cuda"),
        ({"threads": 4}, "threads", "2", "4"),
        ({"cpu": "B"}, "cpu", "A", "B"),
        ({"python": "3.12.0"}, "python", "3.11.7", "3.12.0"),
        ({"nnkit_source": "b" * 64}, "source of nnkit", "a" * 64, "b" * 64),
        ({"distributions": {"torch": "2.9.0", "numpy": "2.0"}}, "library torch", "2.8.0", "2.9.0"),
        ({"distributions": {"torch": "2.8.0"}}, "library numpy", "2.0", None),
        ({"variables": {}}, "variable OMP_NUM_THREADS", "2", None),
        ({"torch": {"cpu_capability": "AVX512"}}, "torch's cpu_capability", "AVX2", "AVX512"),
    ],
)
def test_what_may_change_numbers_is_compared(other: Any, name: str, before: Any, after: Any) -> None:
    assert provenance.changes(BASE, {**BASE, **other}) == (
        EnvironmentChange(name=name, before=before, after=after),
    )


@pytest.mark.parametrize(
    "other", [{"command": ["x"]}, {"git": None}, {"torch": {**BASE["torch"], "build": "x"}}]
)
def test_what_changes_no_number_is_not(other: Any) -> None:
    assert provenance.changes(BASE, {**BASE, **other}) == ()


def test_what_an_older_environment_does_not_tell_is_no_difference() -> None:
    assert provenance.changes({"python": "3.11.7", "versions": {"torch": "2.8.0"}}, BASE) == ()
    assert provenance.changes({}, BASE) == ()
    assert provenance.changes({"distributions": 3, "torch": [], "variables": "x"}, BASE) != ()


@pytest.mark.parametrize("damaged", [{"earlier": 3}, {"earlier": [3, None]}, {"earlier": {}}])
def test_a_damaged_list_of_earlier_ones_is_left_out(damaged: Any) -> None:
    found = provenance.with_earlier(BASE, {**BASE, **damaged})
    assert found["earlier"] == [BASE]
    assert provenance.changes_within({**BASE, **damaged}) == ()
    assert provenance.with_earlier(BASE, {}) == BASE
