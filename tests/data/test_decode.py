from __future__ import annotations

import contextlib
import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from data.image_files import encoded, mutated, random_png
from nnkit.data.decode import decode, read_header
from nnkit.errors import DataError

GREY = np.random.default_rng(0).integers(0, 256, (5, 7), np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (5, 7, 3), np.uint8)


def test_grey_and_colour_come_out_as_they_are() -> None:
    assert np.array_equal(decode(encoded(GREY), "x"), GREY[None])
    assert np.array_equal(decode(encoded(COLOUR), "x"), COLOUR.transpose(2, 0, 1))


def test_grey_stored_in_colour_is_grey() -> None:
    assert np.array_equal(decode(encoded(GREY, mode="RGB"), "x"), GREY[None])


def test_the_channels_asked_for_are_given() -> None:
    assert np.array_equal(decode(encoded(GREY), "x", 3), np.repeat(GREY[None], 3, axis=0))
    expected = np.asarray(Image.fromarray(COLOUR).convert("L"))
    assert np.array_equal(decode(encoded(COLOUR), "x", 1), expected[None])


def test_a_palette_gives_its_colours() -> None:
    palette = Image.fromarray(COLOUR).convert("P", palette=Image.Palette.ADAPTIVE)
    stream = io.BytesIO()
    palette.save(stream, "PNG")
    expected = np.asarray(palette.convert("RGB")).transpose(2, 0, 1)
    assert np.array_equal(decode(stream.getvalue(), "x", 3), expected)


def test_cmyk_becomes_colour() -> None:
    assert decode(encoded(COLOUR, "JPEG", "CMYK"), "x").shape == (3, 5, 7)


def test_one_bit_is_black_and_white() -> None:
    assert set(np.unique(decode(encoded(GREY, mode="1"), "x"))) == {0, 255}


def test_sixteen_bits_are_scaled_and_rounded() -> None:
    deep = np.array([[0, 257, 256, 128, 129, 65535]], np.uint16)
    assert decode(encoded(deep), "x").tolist() == [[[0, 1, 1, 0, 1, 255]]]


def test_transparency_is_laid_on_black() -> None:
    pixels = np.dstack([COLOUR, np.where(GREY > 127, 255, 0).astype(np.uint8)])
    expected = np.where(pixels[..., 3:] == 255, COLOUR, 0).transpose(2, 0, 1)
    assert np.array_equal(decode(encoded(pixels), "x"), expected)


def test_an_animation_gives_its_first_picture() -> None:
    stream = io.BytesIO()
    frames = [Image.fromarray(np.full((4, 4), level, np.uint8)) for level in (10, 200)]
    frames[0].save(stream, "GIF", save_all=True, append_images=frames[1:])
    assert (decode(stream.getvalue(), "x") == 10).all()


@pytest.mark.parametrize("shape", [(1, 1), (20_000, 1), (1, 20_000)])
def test_strange_shapes_are_fine(shape: tuple[int, int]) -> None:
    assert decode(encoded(np.ones(shape, np.uint8)), "x").shape == (1, *shape)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "0 bytes"),
        (b"hello, world", "no image"),
        (random_png(0, 40, 40)[:600], "damaged"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no image"),
        (encoded(np.ones((2, 2), np.float32), "TIFF"), "floating point"),
        (encoded(np.full((2, 2), 1 << 20, np.int32), "TIFF"), "beyond 16 bits"),
    ],
)
def test_what_is_no_image_is_named(data: bytes, why: str) -> None:
    with pytest.raises(DataError, match=why) as caught:
        decode(data, "a/b.png")
    assert "a/b.png" in caught.value.message


def png_that_says(height: int, width: int) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    checked = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    data = b"IDAT" + zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + checked + struct.pack(">I", len(data) - 4) + data + bytes(4)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [9_000, 11_000, 60_000])
def test_too_many_pixels_are_refused_unread(side: int) -> None:
    with pytest.raises(DataError, match="more than 64 Mi"):
        decode(png_that_says(side, side), "x")


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_mutations_give_pixels_or_a_data_error() -> None:
    rng = np.random.default_rng(0)
    for kind in ("PNG", "JPEG", "GIF", "TIFF", "BMP", "WEBP", "PPM"):
        whole = encoded(COLOUR, kind)
        for _ in range(60):
            with contextlib.suppress(DataError):
                decode(mutated(whole, rng), "x")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 10))
def test_an_image_is_turned_as_its_exif_says(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stream = io.BytesIO()
    pixels = np.add.outer(np.arange(24), np.arange(40) * 3).astype(np.uint8)
    Image.fromarray(pixels).save(stream, kind, exif=exif)
    with Image.open(io.BytesIO(stream.getvalue())) as image:
        expected = np.array(ImageOps.exif_transpose(image).convert("L"))
    found = decode(stream.getvalue(), "x", 1)
    assert np.array_equal(found[0], expected)
    assert found.shape[1:] == ((40, 24) if 5 <= orientation <= 8 else (24, 40))
    assert read_header(io.BytesIO(stream.getvalue()), "x")[0] == found.shape[1:]
