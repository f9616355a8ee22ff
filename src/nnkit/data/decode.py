"""Image files to arrays: bytes in, uint8 (C, H, W) out, one channel or three.

What is made of the kinds of images:
- Grey, palette, RGB, CMYK and others: 8-bit values 0 … 255, as Pillow converts them.
- 16-bit grey: scaled to 8 bits and rounded. 16-bit RGB: the high bytes, as Pillow reads it.
- With transparency: laid on black. Animated or of several pages: the first.
- Floating point, or whole numbers beyond 16 bits: refused. So are more than 64 Mi pixels, and all that is
  empty, broken off, damaged or no image.
- With an orientation noted in EXIF: turned and mirrored as it says, as viewers show it.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import IO, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from nnkit.errors import DataError, quote
from nnkit.types import Size

Channels = Literal[1, 3]
Pixels = NDArray[np.uint8]

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
"""What Pillow may open. Others start programs (EPS) or are seldom read by anyone (a place for holes)."""

PIXEL_LIMIT = 64 << 20
ORIENTATION_TAG = 0x0112
TURNED = (5, 6, 7, 8)
"""Orientations of an image that is stored lying on its side."""


class TooManyPixelsError(DataError):
    """The images of one source take more memory than a user allows."""


class PixelBudget:
    """How many bytes the images of one source may take once decoded."""

    def __init__(self, source: str, num_bytes: int, hint: str) -> None:
        self._source, self._limit, self._hint = source, num_bytes, hint
        self._used = 0

    def take(self, num_bytes: int, name: str) -> None:
        """Count an image before it is decoded; `TooManyPixelsError` names the one that is too many."""
        self._used += num_bytes
        if self._used > self._limit:
            raise TooManyPixelsError(
                f"{self._source} takes more than {self._limit / 2**30:.3g} GiB decoded, up to {quote(name)}",
                hint=self._hint,
            )


class Packed:
    """An image of which the header alone is read; `name` is for the message of a `DataError`."""

    def __init__(self, data: bytes, name: str) -> None:
        if not data:
            raise _empty(name)
        self._name = name
        with _explained(name):
            self._image = _open(io.BytesIO(data), name)

    @property
    def num_bytes(self) -> int:
        """What its pixels take once decoded, stored grey or in colour."""
        return self._image.height * self._image.width * (1 if _is_stored_grey(self._image) else 3)

    def pixels(self, channels: Channels | None = None) -> Pixels:
        """The pixels, uint8 (C, H, W), as `decode` gives them. Called once: it closes the image."""
        # Closing also frees Pillow's own copy of the pixels; leaving `with image` closes the file alone.
        with _explained(self._name), closing(self._image) as image:
            orientation = _orientation(image)
            pixels = _upright(_pixels(image, self._name), orientation)
        return _with_channels(pixels, channels)


def decode(data: bytes, name: str, channels: Channels | None = None) -> Pixels:
    """The image in `data`, uint8 (C, H, W); `name` is for the message of a `DataError`.

    `channels` None: 1 where the image is grey, also when it is stored as RGB, else 3. An RGB image
    requested in one channel is converted as Pillow does (0.299 R + 0.587 G + 0.114 B).
    """
    return Packed(data, name).pixels(channels)


def read_header(stream: IO[bytes], name: str) -> tuple[Size, bool]:
    """Height and width of the image in a file, and whether it is stored as grey; no pixel is decoded.

    An image stored as RGB may still be grey. `DataError` for what `decode` refuses, as far as a header tells.
    """
    if not stream.read(1):
        raise _empty(name)
    stream.seek(0)
    with _explained(name), _open(stream, name) as image:
        if image.mode == "F":
            raise _floating(name)
        is_turned = _orientation(image) in TURNED
        size = (image.width, image.height) if is_turned else (image.height, image.width)
        return size, _is_stored_grey(image)


def _open(stream: IO[bytes], name: str) -> Image.Image:
    """The image, whose pixels are not decoded yet."""
    image = Image.open(stream, formats=FORMATS)
    if image.height * image.width > PIXEL_LIMIT:
        raise _too_large(name, f"{image.height}×{image.width}")
    return image


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """What is wrong with an image is a `DataError`, whenever Pillow finds it."""
    try:
        yield
    except DataError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_large(name, "far more") from None
    except UnidentifiedImageError:
        raise DataError(f"{name} is no image that can be read", hint=f"known: {', '.join(FORMATS)}") from None
    except Exception as error:
        # Pillow's plugins raise many kinds on damaged bytes: OSError, SyntaxError, struct.error, IndexError.
        raise DataError(f"{name} is a damaged image: {error or type(error).__name__}") from None


def _orientation(image: Image.Image) -> int:
    """EXIF's orientation, 1 (upright) to 8, from the header alone; 1 where there is none that can be read.

    Pillow turns TIFF by itself. A PNG's EXIF behind the pixels is not looked for: that would decode them.
    """
    if image.format == "TIFF" or (image.format == "PNG" and "exif" not in image.info):
        return 1
    try:
        found = image.getexif().get(ORIENTATION_TAG, 1)
    except Exception:  # a damaged EXIF block spoils no pixel
        return 1
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def _upright(pixels: Pixels, orientation: int) -> Pixels:
    """Pixels (C, H, W) rotated and mirrored by the orientation."""
    if orientation in TURNED:
        pixels = pixels.swapaxes(1, 2)  # 5; the others are this, mirrored
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, :, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[:, ::-1]
    return pixels


def to_channels(pixels: Pixels, channels: Channels) -> Pixels:
    """Pixels of one or three channels brought to `channels`."""
    if pixels.shape[0] == channels:
        return pixels
    if channels == 3:
        return np.repeat(pixels, 3, axis=0)
    rgb = Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    return np.asarray(rgb.convert("L"))[None]


def _with_channels(pixels: Pixels, channels: Channels | None) -> Pixels:
    if channels is not None:
        return to_channels(pixels, channels)
    if len(pixels) == 3 and np.array_equal(pixels[0], pixels[1]) and np.array_equal(pixels[0], pixels[2]):
        return pixels[:1]
    return pixels


def _pixels(image: Image.Image, name: str) -> Pixels:
    """Values of the first frame, uint8 (1, H, W) for grey modes and (3, H, W) for the rest."""
    if _is_stored_grey(image):
        if image.mode.startswith("I"):
            return _from_16_bit(np.array(image), name)
        return np.array(image.convert("L"), np.uint8)[None]
    if image.mode == "F":
        raise _floating(name)
    if image.has_transparency_data:
        return _on_black(image.convert("RGBA"))
    return np.array(image.convert("RGB"), np.uint8).transpose(2, 0, 1)


def _is_stored_grey(image: Image.Image) -> bool:
    mode = image.mode
    return mode == "1" or mode.startswith("I") or (mode == "L" and "transparency" not in image.info)


def _on_black(image: Image.Image) -> Pixels:
    black = Image.new("RGBA", image.size, (0, 0, 0, 255))
    black.alpha_composite(image)
    return np.array(black.convert("RGB"), np.uint8).transpose(2, 0, 1)


def _from_16_bit(values: NDArray[np.integer], name: str) -> Pixels:
    wide = values.astype(np.int64)
    if wide.size and (wide.min() < 0 or wide.max() > 0xFFFF):
        raise DataError(f"{name} has pixels beyond 16 bits, of no agreed range", hint="save it as PNG")
    return ((wide + 128) // 257).astype(np.uint8)[None]


def _empty(name: str) -> DataError:
    return DataError(f"{name} is empty: it has 0 bytes")


def _floating(name: str) -> DataError:
    return DataError(f"{name} has floating point pixels, of no agreed range", hint="save it as PNG")


def _too_large(name: str, size: str) -> DataError:
    return DataError(f"{name} has {size} pixels, more than {PIXEL_LIMIT >> 20} Mi", hint="make it smaller")
