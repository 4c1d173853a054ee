from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from wan_core.api.spec import ImageFit
from wan_core.catalog.models import MODELS
from wan_core.errors import InvalidInput
from wan_core.plan.image_fit import Checked
from wan_core.task import IMAGE_MAX_BYTES
from wan_runner.image import prepare_image

CARD = MODELS["wan-tiny-i2v"]


def prepare(
    data: bytes, size: tuple[int, int] = (64, 32), fit: ImageFit = ImageFit.REFUSE
) -> tuple[Image.Image, Checked]:
    return prepare_image(data, *size, fit, CARD)


def frame(data: bytes, size: tuple[int, int] = (64, 32), fit: ImageFit = ImageFit.REFUSE) -> Image.Image:
    return prepare(data, size, fit)[0]


def encode(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    out = BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def plain(mode: str = "RGB", size: tuple[int, int] = (64, 32), color: Any = None) -> Image.Image:
    return Image.new(mode, size, color) if color is not None else Image.new(mode, size)


def noise(kind: str, size: tuple[int, int] = (64, 32)) -> bytes:
    rows = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return encode(Image.fromarray(rows), kind)


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds nothing."""
    ihdr = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    head = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + ihdr + struct.pack(">I", zlib.crc32(ihdr))
    return head + struct.pack(">I", 1000) + b"IDAT"


def png(header: bytes, rows: bytes, *more: tuple[bytes, bytes]) -> bytes:
    """A PNG of this header and these rows, each with its filter's byte, and `more` chunks."""
    chunks = ((b"IHDR", header), *more, (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )


def png_of_16_bits(colour_type: int, pixel: tuple[int, ...], size: tuple[int, int] = (64, 32)) -> bytes:
    """A PNG of one colour with 16 bits a channel, which Pillow cannot write."""
    row = b"\0" + struct.pack(f">{len(pixel)}H", *pixel) * size[0]
    return png(struct.pack(">IIBBBBB", *size, 16, colour_type, 0, 0, 0), row * size[1])


def interlaced() -> bytes:
    """A red PNG in Adam7's seven passes, which Pillow cannot write."""
    passes = (
        (0, 0, 8, 8),
        (4, 0, 8, 8),
        (0, 4, 4, 8),
        (2, 0, 4, 4),
        (0, 2, 2, 4),
        (1, 0, 2, 2),
        (0, 1, 1, 2),
    )
    sizes = [(-(-(64 - x) // dx), -(-(32 - y) // dy)) for x, y, dx, dy in passes]
    rows = b"".join((b"\0" + b"\xff\0\0" * width) * height for width, height in sizes)
    return png(struct.pack(">IIBBBBB", 64, 32, 8, 2, 0, 0, 1), rows)


def bomb(chunk: bytes) -> bytes:
    """A PNG with a small chunk that unpacks to 20 MB."""
    header, rows = struct.pack(">IIBBBBB", 64, 32, 8, 2, 0, 0, 0), (b"\0" + bytes(64 * 3)) * 32
    return png(header, rows, (chunk, b"k\0\0" + zlib.compress(bytes(20_000_000))))


def animation(kind: str) -> bytes:
    frames = [plain(color=c) for c in ("red", "blue", "green")]
    return encode(frames[0], kind, save_all=True, append_images=frames[1:])


BAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "an empty file"),
    "an HTML page": (lambda: b"<!DOCTYPE html><html><body>403</body></html>", "an HTML page"),
    "an XML error of S3": (lambda: b'<?xml version="1.0"?><Error>NoSuchKey</Error>', "an XML text"),
    "an SVG": (lambda: b'<svg xmlns="http://www.w3.org/2000/svg"/>', "an SVG drawing"),
    "an SVG with a prolog": (lambda: b'\xef\xbb\xbf<?xml version="1.0"?>\n<svg/>', "an SVG drawing"),
    "JSON": (lambda: b'{"error": "not found"}', "JSON text"),
    "text": (lambda: b"s3://inputs/other.png", "not an image"),
    "zeros": (lambda: bytes(4096), "not an image"),
    "a GIF": (lambda: encode(plain("P"), "GIF"), "a GIF"),
    "a BMP": (lambda: encode(plain(), "BMP"), "a BMP"),
    "a TIFF": (lambda: encode(plain(), "TIFF"), "a TIFF"),
    "a HEIC photo": (lambda: b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "a HEIC image"),
    "an AVIF": (lambda: b"\0\0\0\x18ftypavif\0\0\0\0mif1avif", "an AVIF image"),
    "a video": (lambda: b"\0\0\0\x18ftypisom\0\0\x02\0isomiso2", "MP4 family"),
    "a PDF": (lambda: b"%PDF-1.7\n", "a PDF"),
    "an archive": (lambda: b"PK\x03\x04rest", "a ZIP archive"),
    "a bare PNG signature": (lambda: b"\x89PNG\r\n\x1a\n", "damaged or cut off"),
    "a cut PNG": (lambda: noise("PNG")[:500], "damaged or cut off"),
    "a cut JPEG": (lambda: noise("JPEG")[:700], "damaged or cut off"),
    "a cut WebP": (lambda: noise("WEBP")[:300], "damaged or cut off"),
    "a PNG with flipped bytes": (lambda: noise("PNG").replace(b"IDAT", b"IDAT\xff\xff", 1), "damaged"),
    "a bomb of pixels": (lambda: png_header(60000, 60000), "its pixels are too many"),
    "too many pixels": (lambda: png_header(10000, 6000), "10000x6000 pixels are too many"),
    "a bomb of text": (lambda: bomb(b"zTXt"), "Decompressed data too large"),
    "a bomb of a colour profile": (lambda: bomb(b"iCCP"), "Decompressed data too large"),
    "one pixel": (lambda: encode(plain(size=(1, 1))), "1x1 pixels are too few"),
    "an animated PNG": (lambda: animation("PNG"), "an animation of 3 frames"),
    "an animated WebP": (lambda: animation("WEBP"), "an animation of 3 frames"),
    "a wide strip of one row": (lambda: encode(plain(size=(4000, 1))), "4000x1 pixels are too few"),
    "a JPEG 2000": (lambda: encode(plain(), "JPEG2000"), "a JPEG 2000 image"),
    "an icon": (lambda: encode(plain(), "ICO"), "an icon"),
    "a PPM": (lambda: encode(plain(), "PPM"), "a Netpbm image"),
    "a QOI": (lambda: encode(plain(), "QOI"), "a QOI image"),
    "a DDS": (lambda: encode(plain(), "DDS"), "a DDS image"),
    "a raw photo": (lambda: b"FUJIFILMCCD-RAW ", "a raw photo"),
    "an EXR": (lambda: b"v/1\x01\2\0\0\0", "an OpenEXR image"),
    "a PNG whose name is JPEG's": (lambda: noise("PNG")[:8] + noise("JPEG"), "damaged or cut off"),
    "a JPEG of nothing but its start": (lambda: b"\xff\xd8\xff", "damaged or cut off"),
    "a WebP of nothing but its start": (lambda: b"RIFF\x10\0\0\0WEBP", "damaged or cut off"),
    "a PNG whose last pixels are missing": (lambda: noise("PNG")[:-40], "damaged or cut off"),
    "a JPEG whose last pixels are missing": (lambda: noise("JPEG")[:-40], "damaged or cut off"),
    "a PNG without pixels": (lambda: png_header(64, 32)[:33], "damaged or cut off"),
    "a PNG of no size": (lambda: png_header(0, 0), "damaged or cut off|pixels are too few"),
    "too many bytes": (lambda: bytes(IMAGE_MAX_BYTES + 1), "bytes are too many"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_image_is_refused_by_name(name: str) -> None:
    data, message = BAD[name]
    with pytest.raises(InvalidInput, match=message) as caught:
        frame(data())
    assert caught.value.message.startswith("spec.image: ")
    assert "a still PNG, JPEG or WebP image works" in caught.value.message


GOOD: dict[str, tuple[Callable[[], bytes], tuple[int, int, int]]] = {
    "RGB": (lambda: encode(plain(color="red")), (255, 0, 0)),
    "WebP": (lambda: encode(plain(color="red"), "WEBP", lossless=True), (255, 0, 0)),
    "palette": (lambda: encode(plain(color="red").convert("P")), (255, 0, 0)),
    "palette with a transparent colour": (
        lambda: encode(plain("P", color=0), transparency=0),
        (0, 0, 0),
    ),
    "black and white": (lambda: encode(plain("1", color=1)), (255, 255, 255)),
    "grey": (lambda: encode(plain("L", color=100)), (100, 100, 100)),
    "grey with alpha": (lambda: encode(plain("LA", color=(200, 255))), (200, 200, 200)),
    "grey of 16 bits": (lambda: encode(plain("I;16", color=0x8000)), (128, 128, 128)),
    "transparent": (lambda: encode(plain("RGBA", color=(255, 255, 255, 0))), (0, 0, 0)),
    "half transparent": (lambda: encode(plain("RGBA", color=(200, 100, 0, 128))), (100, 50, 0)),
    "colours of 16 bits": (lambda: png_of_16_bits(2, (0xFFFF, 0x8000, 0)), (255, 128, 0)),
    "colours of 16 bits with alpha": (lambda: png_of_16_bits(6, (0xFFFF, 0xFFFF, 0xFFFF, 0)), (0, 0, 0)),
    "grey of 16 bits with alpha": (lambda: png_of_16_bits(4, (0x8000, 0xFFFF)), (128, 128, 128)),
    "grey with a transparent shade": (lambda: encode(plain("L", color=9), transparency=9), (0, 0, 0)),
    "interlaced": (lambda: interlaced(), (255, 0, 0)),
    "progressive": (lambda: encode(plain(color="red"), "JPEG", progressive=True, quality=95), (254, 0, 0)),
    "transparent WebP": (
        lambda: encode(plain("RGBA", color=(255, 255, 255, 0)), "WEBP", lossless=True),
        (0, 0, 0),
    ),
    "CMYK": (lambda: encode(plain("CMYK", color=(0, 255, 255, 0)), "JPEG", quality=95), (254, 0, 0)),
}


@pytest.mark.parametrize("name", GOOD)
def test_every_kind_of_pixel_becomes_rgb(name: str) -> None:
    data, color = GOOD[name]
    image = frame(data())
    assert (image.mode, image.size) == ("RGB", (64, 32))
    assert image.getpixel((30, 15)) == pytest.approx(color, abs=2)


def test_exif_rotation_is_applied_before_the_aspect_is_looked_at() -> None:
    upright = plain(size=(32, 64), color="black")
    upright.paste("white", (0, 0, 32, 8))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show rotated by 90 degrees clockwise
    image, checked = prepare(encode(upright, "JPEG", exif=exif, quality=95))
    assert image.size == (64, 32)
    assert image.getpixel((60, 16))[0] > 200  # what was on top is on the right
    assert image.getpixel((3, 16))[0] < 50
    assert (checked.width, checked.height) == (64, 32)
    assert checked.changes == ("rotated by 90 degrees clockwise, as its EXIF says",)


def test_a_wrong_aspect_is_refused_with_the_values_of_each_way_out() -> None:
    with pytest.raises(InvalidInput) as caught:
        frame(encode(plain(size=(64, 64))))
    assert caught.value.message == (
        "spec.image: 64x64 is 1.000:1, but the video is 64x32 (2.000:1); "
        "imageFit: crop takes the box (0, 16, 64, 48), 50 % of it, and scales it to 64x32; "
        "or imageFit: pad scales it to 32x32, with black pixels around: 16 left and 16 right; "
        "or resolution: 64x64 keeps its aspect"
    )


def test_a_percent_of_aspect_is_stretched() -> None:
    assert frame(encode(plain(size=(201, 100)))).size == (64, 32)


@pytest.mark.parametrize(
    ("fit", "edge"), [(ImageFit.CROP, (255, 0, 0)), (ImageFit.PAD, (0, 0, 0))], ids=["crop", "pad"]
)
def test_a_wrong_aspect_is_cut_or_padded(fit: ImageFit, edge: tuple[int, int, int]) -> None:
    image = frame(encode(plain(size=(64, 64), color="red")), fit=fit)
    assert image.size == (64, 32)
    assert image.getpixel((1, 16)) == edge
    assert image.getpixel((32, 16)) == (255, 0, 0)


def test_a_photo_of_several_pictures_counts_as_its_first() -> None:
    first, second = plain(color="red"), plain(color="blue")
    data = encode(first, "MPO", save_all=True, append_images=[second])
    assert frame(data).getpixel((30, 15)) == pytest.approx((254, 0, 0), abs=2)


DAMAGE = st.lists(st.tuples(st.integers(8, 10**5), st.integers(0, 255)), max_size=20)  # (place, new byte)
SEEDS = [noise(kind) for kind in ("PNG", "JPEG", "WEBP")]


@given(st.sampled_from(SEEDS), DAMAGE)
def test_no_damage_makes_anything_but_an_image_or_a_refusal(
    data: bytes, damage: list[tuple[int, int]]
) -> None:
    bad = bytearray(data)
    for place, value in damage:
        bad[place % len(bad)] = value
    with suppress(InvalidInput):
        assert frame(bytes(bad), fit=ImageFit.CROP).size == (64, 32)
