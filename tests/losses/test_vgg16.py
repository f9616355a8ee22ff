from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from nnkit.errors import DataError, UsageError
from nnkit.losses import _vgg16
from nnkit.losses._vgg16 import FILE, conv_shapes, load_weights


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> dict[str, Tensor]:
    """The weights of a VGG of four channels throughout: quick to write and read."""
    monkeypatch.setattr(_vgg16, "_PLAN", tuple(width if width is None else 4 for width in _vgg16._PLAN))
    return load_weights("random")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("prefix", ["", "features."])
def test_a_file_gives_its_weights_whatever_else_it_holds(
    small: dict[str, Tensor], tmp_path: Path, suffix: str, prefix: str
) -> None:
    path = tmp_path / f"weights{suffix}"
    state = {prefix + key: value + 1 for key, value in small.items()} | {"classifier.0.bias": torch.ones(3)}
    if suffix == ".pth":
        torch.save(state, path)
    else:
        save_file(state, path)
    loaded = load_weights(str(path))
    assert loaded.keys() == small.keys()
    assert all(torch.equal(value, small[key] + 1) for key, value in loaded.items())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_weights_of_any_precision_are_brought_to_float32(
    small: dict[str, Tensor], tmp_path: Path, dtype: torch.dtype
) -> None:
    path = tmp_path / "weights.pth"
    torch.save({key: value.to(dtype) for key, value in small.items()}, path)
    for key, value in load_weights(str(path)).items():
        assert value.dtype == torch.float32
        assert torch.equal(value, small[key].to(dtype).float())


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"not tensors", b"PK\x03\x04 nor this"])
def test_a_file_that_holds_no_tensors_is_an_error_that_names_it(
    tmp_path: Path, suffix: str, content: bytes
) -> None:
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"weights{suffix} does not hold") as caught:
        load_weights(str(path))
    assert "vgg16 or of its features, saved as .pth or .safetensors" in str(caught.value)


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"features.0.weight": Path("no tensor")}, path)
    with pytest.raises(DataError, match="cannot be read"):
        load_weights(str(path))


def test_a_tensor_missing_or_of_another_shape_is_named(small: dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save(small | {"28.bias": torch.zeros(7)}, path)
    with pytest.raises(DataError, match=r"features\.28\.bias has shape \(7,\)"):
        load_weights(str(path))
    del small["5.weight"]
    torch.save(small, path)
    with pytest.raises(DataError, match=r"no tensor features\.5\.weight"):
        load_weights(str(path))
    torch.save([1, 2], path)
    with pytest.raises(DataError, match="holds a list"):
        load_weights(str(path))


@pytest.mark.parametrize("weights", ["", "imagnet", "gone.pth"])
def test_a_file_that_is_not_there_is_a_mistake_of_the_user(weights: str) -> None:
    with pytest.raises(UsageError, match="imagenet, random or a file"):
        load_weights(weights)


def test_imagenet_weights_are_read_from_torchs_folder_if_their_checksum_fits(
    small: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    path = tmp_path / "hub" / "checkpoints" / FILE
    path.parent.mkdir(parents=True)
    torch.save({f"features.{key}": value for key, value in small.items()}, path)
    with pytest.raises(DataError, match="damaged"):
        load_weights("imagenet")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(_vgg16, "SHA256_START", digest[:8])
    assert load_weights("imagenet").keys() == small.keys()


def test_random_weights_are_drawn_on_the_cpu_whatever_the_default_device(small: dict[str, Tensor]) -> None:
    with torch.device("meta"):
        drawn = load_weights("random")
    assert all(torch.equal(value, small[key]) for key, value in drawn.items())


def test_random_weights_are_drawn_as_those_of_an_untrained_vgg16() -> None:
    for key, value in load_weights("random").items():
        if key.endswith("bias"):
            assert not value.any()
        else:  # kept in scale on the way back: a variance of 2 / (9 · channels out)
            assert value.mean().item() == pytest.approx(0, abs=5e-3)
            assert value.std().item() == pytest.approx((2 / (9 * len(value))) ** 0.5, rel=0.05)


def test_the_convolutions_stand_where_torchvision_has_them() -> None:
    assert list(conv_shapes()) == [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]
    assert conv_shapes()[17] == (256, 512)
