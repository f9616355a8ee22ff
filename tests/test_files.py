import json
import os
import subprocess
import sys
import time
from enum import Enum
from pathlib import Path

import pytest

from nnkit import files


def test_a_failed_write_leaves_the_old_file_and_no_temporary_one(tmp_path):
    path = tmp_path / "a.json"
    files.write_json(path, {"x": 1})
    before = path.read_bytes()
    with pytest.raises(RuntimeError), files.replacing(path) as temporary:  # noqa: PT012  # the block is what fails
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_strays_of_a_killed_process_are_removed(tmp_path):
    script = (
        "import os, sys; from pathlib import Path; from nnkit import files\n"
        "with files.replacing(Path(sys.argv[1])) as path: path.write_text('half'); os._exit(9)"
    )
    (tmp_path / "a.json").write_text("{}")
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "a.json")], check=False)
    assert len(list(tmp_path.iterdir())) == 2
    files.remove_strays(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_files_that_may_still_be_written_stay(tmp_path):
    alive = tmp_path / f".ab12.{files.host()}.{os.getpid()}.tmp"
    elsewhere, old = tmp_path / ".ab12.0123456789ab.5.tmp", tmp_path / ".ab13.0123456789ab.5.tmp"
    foreign = tmp_path / ".notes.tmp"
    for path in (alive, elsewhere, old, foreign):
        path.write_bytes(b"x")
    os.utime(old, (time.time() - 1e6,) * 2)
    files.remove_strays(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([alive, elsewhere, foreign])
    files.remove_strays(tmp_path / "none")


class Kind(Enum):
    A = "a"


def test_json_is_strict():
    value = {"nan": float("nan"), "inf": [float("inf")], 3: (Kind.A, Path("x")), "é": 1.5}
    assert json.loads(files.dumps(value)) == {"nan": None, "inf": [None], "3": ["a", "x"], "é": 1.5}
