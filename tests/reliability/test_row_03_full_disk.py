"""A disk that is full in the middle of a save loses nothing that was saved before.

Row 3 of docs/reliability.md.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from nnkit.data import tensor_files
from tiny_plugin import TinyPlugin

LIMITED = """
import resource, sys
from nnkit.cli.main import run
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
sys.exit(run(sys.argv[2:]))
"""
"""A file-size limit stands for the full disk: a save of more bytes fails half way."""


@pytest.mark.slow
def test_a_training_that_cannot_save_says_which_file_and_keeps_the_rest(
    tiny: TinyPlugin, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    command = ["train", "--dataset", "tiny", "--model", "mnist-convnet", "--epochs", "2", "--out", str(out)]
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, "60000", *command],  # the weights take 95 kB
        env=tiny.env, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert re.search(r"run/checkpoints/best-\d+ cannot be written: File too large", done.stderr)
    assert (out / "environment.json").is_file()
    assert "MiB are free there" in done.stderr
    assert "bug" not in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(out.rglob("*.tmp"))


def test_a_save_that_fails_half_way_leaves_the_checkpoint_before(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    tensor_files.save(path, {"w": torch.arange(9)}, {"epoch": 1})
    before = path.read_bytes()
    code = (
        "import resource, torch\n"
        "from pathlib import Path\n"
        "from nnkit.data import tensor_files\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))\n"
        f"tensor_files.save(Path({str(path)!r}), {{'w': torch.zeros(9999)}}, {{}})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ)
    assert "WriteError" in done.stderr
    assert "what it held before is kept" in done.stderr
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
