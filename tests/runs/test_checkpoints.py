"""Folders of checkpoints: the index names whole ones whatever happens, and leads nowhere else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from nnkit import files
from nnkit.errors import WriteError
from nnkit.runs import checkpoints
from nnkit.runs.checkpoints import Checkpoints


def writes(text: str) -> Callable[[Path], None]:
    return lambda path: files.write_text(path, text)


def fails(path: Path) -> None:
    path.write_text("a part")
    raise OSError(28, "No space left on device")


@pytest.fixture
def kept(tmp_path: Path) -> Checkpoints:
    return Checkpoints(tmp_path / "checkpoints")


def names(kept: Checkpoints) -> list[str]:
    return sorted(path.name for path in kept.path.iterdir())


def contents(kept: Checkpoints) -> list[str]:
    """The training states that the index names, newest first."""
    return [path.read_text() for _, path in kept.states()]


def test_the_last_two_are_kept_newest_first_and_the_best(kept: Checkpoints) -> None:
    assert (kept.best(), list(kept.states()), kept.size()) == (None, [], 0)
    kept.save(1, 10, state=writes("one"), best=writes("best of one"))
    kept.save(2, 20, state=writes("two"))
    kept.save(3, 30, state=writes("three"))
    assert contents(kept) == ["three", "two"]
    best = kept.best()
    assert best is not None
    assert best.read_text() == "best of one"
    assert [(entry.epoch, entry.step) for entry, _ in kept.states()] == [(3, 30), (2, 20)]
    assert names(kept) == ["best-00000010", "index.json", "last-00000020", "last-00000030"]
    assert kept.size() == sum(path.stat().st_size for path in kept.path.rglob("*") if path.is_file())


@pytest.mark.parametrize("keep", [1, 3, 9])
def test_as_many_are_kept_as_asked_for(kept: Checkpoints, keep: int) -> None:
    for step in range(1, 6):
        kept.save(0, step, state=writes(str(step)), keep=keep)
    assert contents(kept) == ["5", "4", "3", "2", "1"][:keep]


def test_the_best_weights_at_an_older_checkpoint_are_kept_with_it(kept: Checkpoints) -> None:
    for step in (1, 2, 3):
        kept.save(step, step, state=writes(f"state {step}"), best=writes(f"best {step}"))
    found = [kept.weights_in(entry.best).read_text() for entry, _ in kept.states() if entry.best]
    assert found == ["best 3", "best 2"]
    assert "best-00000001" not in names(kept)


def test_one_step_saved_twice_is_two_checkpoints(kept: Checkpoints) -> None:
    kept.save(0, 7, state=writes("in the epoch"))
    kept.save(1, 7, state=writes("at its end"))
    assert contents(kept) == ["at its end", "in the epoch"]


@pytest.mark.parametrize("part", ["state", "best"])
def test_a_save_that_fails_leaves_all_as_it_was(kept: Checkpoints, part: str) -> None:
    kept.save(1, 1, state=writes("one"), best=writes("best"))
    before = {path: path.read_bytes() for path in kept.path.rglob("*") if path.is_file()}
    broken = {"state": writes("two"), "best": writes("better"), part: fails}
    with pytest.raises(WriteError, match="No space left") as caught:
        kept.save(2, 2, **broken)
    assert ".tmp" not in caught.value.message
    assert {path: path.read_bytes() for path in kept.path.rglob("*") if path.is_file()} == before
    assert names(kept) == ["best-00000001", "index.json", "last-00000001"]


def test_an_index_that_cannot_be_replaced_leaves_all_as_it_was(
    kept: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.save(1, 1, state=writes("one"), best=writes("best"))
    with monkeypatch.context() as patched:
        patched.setattr(checkpoints.files, "write_json", lambda path, value: fails(path.with_name("x")))
        with pytest.raises(OSError, match="No space left"):
            kept.save(2, 2, state=writes("two"), best=writes("better"))
    (kept.path / "x").unlink()
    assert contents(kept) == ["one"]
    assert names(kept) == ["best-00000001", "index.json", "last-00000001"]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "\0", '{"last": [{"folder": "../../x", "epoch": 1, "step": 1}]}']
)
def test_a_damaged_index_is_said_and_the_folders_names_stand_in(
    kept: Checkpoints, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    for step in (9, 10, 11):
        kept.save(
            step, step, state=writes(f"state {step}"), best=writes(f"best {step}") if step < 11 else None
        )
    (kept.path / "index.json").write_text(text)
    assert contents(kept) == ["state 11", "state 10"]
    assert "index.json is damaged" in caplog.text
    found = kept.best()
    assert found is not None
    assert found.read_text() == "best 10"
    kept.save(12, 12, state=writes("state 12"))
    assert json.loads((kept.path / "index.json").read_text())["last"][0]["step"] == 12


@pytest.mark.parametrize(
    "name", ["..", "../../etc", "last-1", "last-00000001/../../x", "/etc", "best-00000001\n"]
)
def test_no_index_leads_out_of_the_folder(kept: Checkpoints, name: str) -> None:
    kept.save(1, 1, state=writes("one"), best=writes("best"))
    index = json.loads((kept.path / "index.json").read_text())
    (kept.path / "index.json").write_text(json.dumps({**index, "best": name}))
    best = kept.best()
    assert best is not None
    assert best.parent == kept.path / "best-00000001"


def test_newer_checkpoints_that_are_damaged_are_forgotten_with_their_best(kept: Checkpoints) -> None:
    kept.save(1, 1, state=writes("one"), best=writes("best of one"))
    kept.save(2, 2, state=writes("two"), best=writes("best of two"))
    kept.forget_after("last-00000001")
    assert contents(kept) == ["one"]
    best = kept.best()
    assert best is not None
    assert best.read_text() == "best of one"
