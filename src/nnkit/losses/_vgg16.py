"""VGG16's convolutions as a frozen feature extractor, and where its weights come from."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nnkit.errors import DataError, UsageError, quote

FILE = "vgg16-397923af.pth"
URL = f"https://download.pytorch.org/models/{FILE}"
SHA256_START = "397923af"

# torchvision's vgg16().features up to its last convolution, index 28: a number is a 3×3 convolution of so
# many channels with the ReLU after it, None a 2×2 max pool.
_PLAN = (64, 64, None, 128, 128, None, 256, 256, 256, None, 512, 512, 512, None, 512, 512, 512)


class FrozenConv(nn.Module):
    """A 3×3 convolution with padding 1 whose weights move with the module and are never trained or saved."""

    weight: Tensor
    bias: Tensor

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", weight, persistent=False)
        self.register_buffer("bias", bias, persistent=False)

    def forward(self, inputs: Tensor) -> Tensor:
        """Convolve (B, C, H, W) to (B, C', H, W)."""
        return F.conv2d(inputs, self.weight, self.bias, padding=1)


class Vgg16Features(nn.Module):
    """The outputs of some layers of VGG16, numbered as in torchvision's `vgg16().features`, 0 to 28.

    `parameters()` and `state_dict()` are empty. Nothing in these layers depends on training or evaluation.
    """

    def __init__(self, layers: Iterable[int], weights: str) -> None:
        super().__init__()
        self.taken = frozenset(layers)
        self.layers = nn.Sequential(*_layers(load_weights(weights)))

    def forward(self, images: Tensor) -> list[Tensor]:
        """Features (B, C, H, W) of each taken layer, in order, for normalised images (B, 3, H, W)."""
        features, taken = images, []
        for index, layer in enumerate(self.layers):
            features = layer(features)
            if index in self.taken:
                taken.append(features)
        return taken


def conv_shapes() -> dict[int, tuple[int, int]]:
    """Input and output channels of each convolution, by its index."""
    shapes, index, channels = {}, 0, 3
    for width in _PLAN:
        if width is None:
            index += 1
        else:
            shapes[index] = (channels, width)
            index, channels = index + 2, width
    return shapes


def load_weights(weights: str) -> dict[str, Tensor]:
    """ "0.weight", "0.bias", "2.weight" and so on for `imagenet`, `random` or the path of a file."""
    if weights == "random":
        return _random_weights()
    path = _imagenet_file() if weights == "imagenet" else _given_file(weights)
    return _checked(_read(path), path)


def _layers(state: Mapping[str, Tensor]) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for width in _PLAN:
        if width is None:
            layers.append(nn.MaxPool2d(2))
        else:
            index = len(layers)
            # Not in place, as torchvision's is: that would overwrite the features taken before it.
            layers += [FrozenConv(state[f"{index}.weight"], state[f"{index}.bias"]), nn.ReLU()]
    return layers[:-1]


def _random_weights() -> dict[str, Tensor]:
    """As torchvision starts a VGG16, from a generator of its own: the same for every run."""
    generator = torch.Generator().manual_seed(0)
    state: dict[str, Tensor] = {}
    for index, (before, after) in conv_shapes().items():
        weight = torch.empty(after, before, 3, 3, device="cpu")
        nn.init.kaiming_normal_(weight, mode="fan_out", nonlinearity="relu", generator=generator)
        state |= {f"{index}.weight": weight, f"{index}.bias": torch.zeros(after, device="cpu")}
    return state


def _imagenet_file() -> Path:
    path = Path(torch.hub.get_dir()) / "checkpoints" / FILE
    if not path.is_file():
        raise DataError(
            f"the ImageNet weights of VGG16 are missing: there is no {path}",
            hint=f"Download {URL} (528 MB) and put it there, or give weights=PATH, "
            "or weights=random for a run without them.",
        )
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if not digest.startswith(SHA256_START):
        raise DataError(
            f"{path} is damaged: its SHA-256 starts with {digest[:8]}, not with {SHA256_START}",
            hint=f"Delete it and download {URL} again.",
        )
    return path


def _given_file(weights: str) -> Path:
    path = Path(weights).expanduser()
    if not path.is_file():
        raise UsageError(
            f"expected weights to be imagenet, random or a file, but there is no file {quote(weights)}",
            hint="Give the path of a .pth or .safetensors file with VGG16's weights.",
        )
    return path


def _read(path: Path) -> Mapping[str, Tensor]:
    """The tensors of a .pth or .safetensors file; `DataError` where there are none. Runs no code of it."""
    try:
        if path.suffix == ".safetensors":
            from safetensors import SafetensorError
            from safetensors.torch import load_file

            try:
                loaded: object = load_file(path)
            except SafetensorError as error:
                raise ValueError(error) from error
        else:
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, EOFError, RuntimeError, ValueError, pickle.UnpicklingError) as error:
        raise _not_weights(path, "it cannot be read as a file of tensors") from error
    if not isinstance(loaded, Mapping):
        raise _not_weights(path, f"it holds a {type(loaded).__name__}, not a state dict")
    return loaded


def _checked(state: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """The convolutions' tensors as float32, with keys without "features."; `DataError` where one is amiss."""
    found = {str(key).removeprefix("features."): value for key, value in state.items()}
    checked = {}
    for index, (before, after) in conv_shapes().items():
        for key, shape in {f"{index}.weight": (after, before, 3, 3), f"{index}.bias": (after,)}.items():
            value = found.get(key)
            if not isinstance(value, Tensor):
                raise _not_weights(path, f"it has no tensor features.{key}")
            if tuple(value.shape) != shape:
                raise _not_weights(path, f"features.{key} has shape {tuple(value.shape)}, not {shape}")
            checked[key] = value.detach().to(torch.float32)
    return checked


def _not_weights(path: Path, why: str) -> DataError:
    return DataError(
        f"{path} does not hold VGG16's weights: {why}",
        hint="Give a state dict of torchvision's vgg16 or of its features, saved as .pth or .safetensors.",
    )
