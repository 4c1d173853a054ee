"""The user's image: checked before any weight is fetched, brought to the video's size.

Still PNG, JPEG and WebP, told apart by content. EXIF rotation is applied; transparency is laid onto black;
16 bits are scaled to 8; CMYK becomes RGB by Pillow's formula. Colour profiles are not applied. Every fault is
an InvalidInput that names spec.image, what was found and what works; what is done to an image is told.
"""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from types import MappingProxyType

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from wan_core.api.spec import ImageFit
from wan_core.catalog.architecture import ModelCard
from wan_core.errors import InvalidInput
from wan_core.plan.image_fit import FIELD, Checked, Correction, fit_image
from wan_core.task import IMAGE_MAX_BYTES

WORKS = "a still PNG, JPEG or WebP image works"
MAX_PIXELS = 50_000_000  # one and a half 8K frames; Pillow's own warning comes at 89 megapixels
MIN_SIDE = 16  # one patch of the transformer: VAE stride 8 x patch 2
ENLARGED = 1.5  # ours: an image that is scaled up by more than this is told of
PNG_DEPTH = 24  # offset of the bit depth: signature 8, length and name of IHDR 8, width and height 8

SIGNATURES = {"PNG": b"\x89PNG\r\n\x1a\n", "JPEG": b"\xff\xd8\xff"}
OTHERS = (
    (b"GIF8", "a GIF"),
    (b"BM", "a BMP image"),
    (b"II*\x00", "a TIFF image"),
    (b"MM\x00*", "a TIFF image"),
    (b"8BPS", "a Photoshop file"),
    (b"%PDF", "a PDF"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\xff\x0a", "a JPEG XL image"),
    (b"\x00\x00\x00\x0cJXL ", "a JPEG XL image"),
    (b"\x00\x00\x00\x0cjP  ", "a JPEG 2000 image"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 image"),
    (b"\x00\x00\x01\x00", "an icon"),
    (b"P6", "a Netpbm image"),
    (b"P5", "a Netpbm image"),
    (b"qoif", "a QOI image"),
    (b"DDS ", "a DDS image"),
    (b"FUJIFILM", "a raw photo"),
    (b"v/1\x01", "an OpenEXR image"),
)
TEXTS = ((b"<!doctype html", "an HTML page"), (b"<html", "an HTML page"), (b"<svg", "an SVG drawing"))
BOXES = {b"avif": "an AVIF image", b"avis": "an AVIF image", b"heic": "a HEIC image", b"heix": "a HEIC image"}
BROKEN = (OSError, SyntaxError, ValueError, EOFError, OverflowError, IndexError, struct.error)


# The values of EXIF's tag Orientation that are not 1, and what each asks a viewer to do.
TURNS: Mapping[int, str] = MappingProxyType(
    {
        2: "mirrored left to right",
        3: "rotated by 180 degrees",
        4: "mirrored top to bottom",
        5: "mirrored along its main diagonal",
        6: "rotated by 90 degrees clockwise",
        7: "mirrored along its other diagonal",
        8: "rotated by 90 degrees counter-clockwise",
    }
)


@dataclass(frozen=True)
class Picture:
    """A decoded image, turned as it is shown. `changes` tell what was done to it."""

    image: Image.Image
    format: str
    changes: tuple[str, ...]


def prepare_image(
    data: bytes, width: int, height: int, how: ImageFit, card: ModelCard | None
) -> tuple[Image.Image, Checked]:
    """The image as 8-bit RGB of exactly the video's size, and what was found and done. Raises InvalidInput.

    `card` is that of the model, where it is known: a refusal names the resolution that would do.
    """
    if len(data) > IMAGE_MAX_BYTES:
        raise _refused(f"{len(data)} bytes are too many; at most {IMAGE_MAX_BYTES}")
    picture = read_image(data)
    correction = fit_image(picture.image.size, (width, height), how, card)
    flat = flatten(picture.image)
    checked = Checked(
        format=picture.format,
        mode=picture.image.mode,
        bytes=len(data),
        width=picture.image.width,
        height=picture.image.height,
        correction=correction,
        changes=(*picture.changes, *([correction.words] if correction.words else [])),
        warnings=tuple(_find_warnings(picture.image, flat, correction)),
    )
    return apply(flat, correction), checked


def apply(image: Image.Image, correction: Correction) -> Image.Image:
    """The frame that the correction makes of the image."""
    # Cut first: resize() with a box lets pixels from outside it in at its edges.
    scaled = image.crop(correction.crop).resize(correction.scaled, Image.Resampling.LANCZOS)
    return ImageOps.expand(scaled, correction.pad, fill=(0, 0, 0)) if any(correction.pad) else scaled


def read_image(data: bytes) -> Picture:
    """Decode, limits checked on the header before any pixel; EXIF rotation applied."""
    kind = name_content(data)
    if kind not in ("PNG", "JPEG", "WEBP"):
        raise _refused(f"this is {kind}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of limits that stand above ours, and of odd EXIF
            image = Image.open(BytesIO(data), formats=[kind])
            frames = _check_header(image, kind)
            image.load()
            changes = tuple(_find_changes(image, kind, frames, data))
            return Picture(ImageOps.exif_transpose(image), kind, changes)
    except InvalidInput:
        raise
    except Image.DecompressionBombError as error:
        raise _refused(f"its pixels are too many ({error}); at most {MAX_PIXELS} in all") from error
    except UnidentifiedImageError as error:
        raise _refused(f"this {kind} is damaged or cut off") from error
    except BROKEN as error:
        raise _refused(f"this {kind} is damaged or cut off ({error})") from error


def name_content(data: bytes) -> str:
    """PNG, JPEG or WEBP by the first bytes, else words for what it is."""
    if not data:
        return "an empty file"
    for kind, signature in SIGNATURES.items():
        if data.startswith(signature):
            return kind
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[4:8] == b"ftyp":
        return BOXES.get(data[8:12], "a video or another file of the MP4 family")
    for signature, words in OTHERS:
        if data.startswith(signature):
            return words
    return _name_text(data[:1024])


def _name_text(head: bytes) -> str:
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for sign, words in TEXTS:
        if start.startswith(sign) or (start.startswith(b"<?xml") and sign in start):
            return words
    if start.startswith((b"{", b"[")):
        return "JSON text"
    return "an XML text" if start.startswith(b"<") else "not an image that is known here"


def _check_header(image: Image.Image, kind: str) -> int:
    """How many pictures it holds."""
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise _refused(f"{width}x{height} pixels are too many; at most {MAX_PIXELS} in all")
    if min(width, height) < MIN_SIDE:
        raise _refused(f"{width}x{height} pixels are too few; at least {MIN_SIDE}x{MIN_SIDE}")
    frames: int = getattr(image, "n_frames", 1)
    # A JPEG of several pictures is a photo with its preview: the first one counts.
    if frames > 1 and kind != "JPEG":
        raise _refused(f"this {kind} is an animation of {frames} frames")
    return frames


def _find_changes(image: Image.Image, kind: str, frames: int, data: bytes) -> Iterator[str]:
    """What becomes of it, besides its size, before the model sees it."""
    if frames > 1:
        yield f"its first of {frames} pictures is taken"
    if (turn := TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))) is not None:
        yield f"{turn}, as its EXIF says"
    if kind == "PNG" and data[PNG_DEPTH] == 16:
        yield "its 16 bits a channel become 8"
    if image.mode == "CMYK":
        yield "its CMYK becomes RGB"
    profile = image.info.get("icc_profile") or b""
    if profile and b"sRGB" not in profile.replace(b"\0", b""):  # version 4 writes UTF-16
        yield "its colour profile, which is not sRGB, is not applied"


def _find_warnings(image: Image.Image, flat: Image.Image, correction: Correction) -> Iterator[str]:
    """What may surprise whoever gave the image, with the numbers."""
    if image.has_transparency_data:
        alpha = image.convert("RGBA").getchannel("A")
        if share := 1 - alpha.histogram()[255] / (alpha.width * alpha.height):
            yield f"{FIELD}: {_percent(share)} of its pixels are transparent; they are laid onto black"
    if all(low == high for low, high in flat.getextrema()):
        yield f"{FIELD}: every pixel has the same colour, {flat.getpixel((0, 0))}"
    if correction.enlargement > ENLARGED:
        size = "{}x{}".format(*correction.source)
        need = "{}x{}".format(*(round(side * correction.enlargement) for side in correction.source))
        yield (
            f"{FIELD}: {size} is scaled up {correction.enlargement:.1f} times, so the video starts blurred; "
            f"one of {need} would be as sharp as the video"
        )


def _percent(share: float) -> str:
    return "less than 1 %" if share < 0.01 else f"{share * 100:.0f} %"


def flatten(image: Image.Image) -> Image.Image:
    """To 8-bit RGB; transparent pixels become black."""
    if image.mode.startswith("I"):
        grey = np.asarray(image).astype(np.int64)
        return Image.fromarray((grey.clip(0, 65535) >> 8).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        shown = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", shown.size, (0, 0, 0, 255)), shown).convert("RGB")
    return image.convert("RGB")


def _refused(what: str) -> InvalidInput:
    return InvalidInput(f"{FIELD}: {what}; {WORKS}")
