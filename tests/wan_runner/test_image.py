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
from wan_core.errors import InvalidInput
from wan_core.plan.request import Request
from wan_core.task import IMAGE_MAX_BYTES
from wan_runner.image import prepare_image


def request(width: int = 64, height: int = 32, fit: ImageFit = ImageFit.REFUSE) -> Request:
    return Request(
        model="wan-tiny-i2v",
        prompt="x",
        negative_prompt="",
        image="s3://inputs/x.png",
        image_fit=fit,
        width=width,
        height=height,
        frames=1,
        fps=8,
        steps=1,
        guidance_high=1,
        guidance_low=1,
        shift=3,
        seed=0,
    )


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
    "one pixel": (lambda: encode(plain(size=(1, 1))), "1x1 pixels are too few"),
    "an animated PNG": (lambda: animation("PNG"), "an animation of 3 frames"),
    "an animated WebP": (lambda: animation("WEBP"), "an animation of 3 frames"),
    "too many bytes": (lambda: bytes(IMAGE_MAX_BYTES + 1), "bytes are too many"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_image_is_refused_by_name(name: str) -> None:
    data, message = BAD[name]
    with pytest.raises(InvalidInput, match=message) as caught:
        prepare_image(data(), request())
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
    "CMYK": (lambda: encode(plain("CMYK", color=(0, 255, 255, 0)), "JPEG", quality=95), (254, 0, 0)),
}


@pytest.mark.parametrize("name", GOOD)
def test_every_kind_of_pixel_becomes_rgb(name: str) -> None:
    data, color = GOOD[name]
    image = prepare_image(data(), request())
    assert (image.mode, image.size) == ("RGB", (64, 32))
    assert image.getpixel((30, 15)) == pytest.approx(color, abs=2)


def test_exif_rotation_is_applied_before_the_aspect_is_looked_at() -> None:
    upright = plain(size=(32, 64), color="black")
    upright.paste("white", (0, 0, 32, 8))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show rotated by 90 degrees clockwise
    image = prepare_image(encode(upright, "JPEG", exif=exif, quality=95), request(64, 32))
    assert image.size == (64, 32)
    assert image.getpixel((60, 16))[0] > 200  # what was on top is on the right
    assert image.getpixel((3, 16))[0] < 50


def test_a_wrong_aspect_is_refused_with_both_figures() -> None:
    with pytest.raises(InvalidInput) as caught:
        prepare_image(encode(plain(size=(64, 64))), request(64, 32))
    assert caught.value.message == (
        "spec.image: 64x64 is 1.000:1, but the video is 64x32 (2.000:1); "
        "set spec.imageFit to crop or pad, or give an image of that aspect"
    )


def test_a_percent_of_aspect_is_stretched() -> None:
    assert prepare_image(encode(plain(size=(201, 100))), request(64, 32)).size == (64, 32)


@pytest.mark.parametrize(
    ("fit", "edge"), [(ImageFit.CROP, (255, 0, 0)), (ImageFit.PAD, (0, 0, 0))], ids=["crop", "pad"]
)
def test_a_wrong_aspect_is_cut_or_padded(fit: ImageFit, edge: tuple[int, int, int]) -> None:
    image = prepare_image(encode(plain(size=(64, 64), color="red")), request(64, 32, fit))
    assert image.size == (64, 32)
    assert image.getpixel((1, 16)) == edge
    assert image.getpixel((32, 16)) == (255, 0, 0)


def test_a_photo_of_several_pictures_counts_as_its_first() -> None:
    first, second = plain(color="red"), plain(color="blue")
    data = encode(first, "MPO", save_all=True, append_images=[second])
    assert prepare_image(data, request()).getpixel((30, 15)) == pytest.approx((254, 0, 0), abs=2)


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
        assert prepare_image(bytes(bad), request(fit=ImageFit.CROP)).size == (64, 32)
