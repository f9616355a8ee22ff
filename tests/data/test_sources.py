"""The images of a folder or archive, decoded within bounds."""

from __future__ import annotations

import io
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nnkit.data import sources
from nnkit.data.sources import MAX_GIB, load_source
from nnkit.errors import DataError, UsageError


def png(size: tuple[int, int], mode: str = "L") -> bytes:
    stream = io.BytesIO()
    Image.new(mode, size).save(stream, "png")
    return stream.getvalue()


def archive(path: Path, num: int, content: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for number in range(num):
            file.writestr(f"{number:03}.png", content)
    return path


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGB", 3)])
def test_images_that_would_take_too_much_memory_are_refused_by_name_before_they_are_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, channels: int
) -> None:
    content = png((2000, 1000), mode)
    path = archive(tmp_path / "bomb.zip", 100, content)
    monkeypatch.setenv(MAX_GIB, str(95.5 * 2_000_000 * channels / 2**30))
    tracemalloc.start()
    with pytest.raises(
        DataError, match=r"bomb\.zip takes more than .* GiB decoded, up to '095\.png'"
    ) as told:
        load_source(path, tmp_path / "cache")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert MAX_GIB in told.value.hint
    assert peak < 2_000_000 * channels  # not one of them was decoded
    monkeypatch.setenv(MAX_GIB, str(40 * 2_000_000 * channels / 2**30))
    whole = archive(tmp_path / "whole.zip", 40, content)
    assert len(load_source(whole, tmp_path / "cache").images) == 40


@pytest.mark.parametrize("value", ["0", "-1", "many", "nan", "1e99"])
def test_a_limit_that_is_no_size_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv(MAX_GIB, value)
    with pytest.raises(UsageError, match=f"{MAX_GIB}='{value}'"):
        load_source(archive(tmp_path / "a.zip", 1, png((2, 2))), tmp_path / "cache")


def test_large_files_are_read_a_few_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is packed counts too: hundreds of large files at once filled the memory before any was decoded."""
    monkeypatch.setattr(sources, "BATCH_BYTES", 1000)
    files = [(f"{number}.png", bytes(400)) for number in range(7)] + [("large.png", bytes(5000))]
    assert [len(batch) for batch in sources._batches(iter(files))] == [3, 3, 2]
    assert [name for batch in sources._batches(iter(files)) for name, _ in batch] == [
        name for name, _ in files
    ]
    monkeypatch.setattr(sources, "BATCH", 2)
    assert [len(batch) for batch in sources._batches(iter(files[:5]))] == [2, 2, 1]


def test_what_is_within_the_limit_is_decoded_as_it_is(tmp_path: Path) -> None:
    found = load_source(archive(tmp_path / "a.zip", 3, png((5, 4))), tmp_path / "cache")
    assert found.names == ("000.png", "001.png", "002.png")
    assert found.images.sizes.tolist() == [[4, 5]] * 3
    assert np.count_nonzero(found.images.image(0).numpy()) == 0
