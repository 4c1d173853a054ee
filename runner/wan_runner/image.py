"""The user's image: checked before any weight is fetched, brought to the video's size.

Still PNG, JPEG and WebP, told apart by content. EXIF rotation is applied; transparency is laid onto black;
16-bit grey is scaled to 8; CMYK becomes RGB by Pillow's formula. Colour profiles are not applied. Every
fault is an InvalidInput that names spec.image, what was found and what works.
"""

from __future__ import annotations

import struct
import warnings
from io import BytesIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from wan_core.api.spec import ImageFit
from wan_core.errors import InvalidInput
from wan_core.plan.request import Request
from wan_core.task import IMAGE_MAX_BYTES

FIELD = "spec.image"
WORKS = "a still PNG, JPEG or WebP image works"
MAX_PIXELS = 50_000_000  # one and a half 8K frames; Pillow's own warning comes at 89 megapixels
MIN_SIDE = 16  # one patch of the transformer: VAE stride 8 x patch 2
ASPECT_TOLERANCE = 0.01  # below this, stretching to the video's size is not seen

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
)
TEXTS = ((b"<!doctype html", "an HTML page"), (b"<html", "an HTML page"), (b"<svg", "an SVG drawing"))
BOXES = {b"avif": "an AVIF image", b"avis": "an AVIF image", b"heic": "a HEIC image", b"heix": "a HEIC image"}
BROKEN = (OSError, SyntaxError, ValueError, EOFError, OverflowError, IndexError, struct.error)


def prepare_image(data: bytes, request: Request) -> Image.Image:
    """The image as 8-bit RGB of exactly the video's size. Raises InvalidInput."""
    if len(data) > IMAGE_MAX_BYTES:
        raise _refused(f"{len(data)} bytes are too many; at most {IMAGE_MAX_BYTES}")
    image = flatten(read_image(data))
    return fit(image, (request.width, request.height), request.image_fit)


def read_image(data: bytes) -> Image.Image:
    """Decode, limits checked on the header before any pixel; EXIF rotation applied."""
    kind = name_content(data)
    if kind not in ("PNG", "JPEG", "WEBP"):
        raise _refused(f"this is {kind}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of limits that stand above ours, and of odd EXIF
            image = Image.open(BytesIO(data), formats=[kind])
            _check_header(image, kind)
            image.load()
            return ImageOps.exif_transpose(image)
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


def _check_header(image: Image.Image, kind: str) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise _refused(f"{width}x{height} pixels are too many; at most {MAX_PIXELS} in all")
    if min(width, height) < MIN_SIDE:
        raise _refused(f"{width}x{height} pixels are too few; at least {MIN_SIDE}x{MIN_SIDE}")
    frames = getattr(image, "n_frames", 1)
    # A JPEG of several pictures is a photo with its preview: the first one counts.
    if frames > 1 and kind != "JPEG":
        raise _refused(f"this {kind} is an animation of {frames} frames")


def flatten(image: Image.Image) -> Image.Image:
    """To 8-bit RGB; transparent pixels become black."""
    if image.mode.startswith("I"):
        grey = np.asarray(image).astype(np.int64)
        return Image.fromarray((grey.clip(0, 65535) >> 8).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        shown = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", shown.size, (0, 0, 0, 255)), shown).convert("RGB")
    return image.convert("RGB")


def fit(image: Image.Image, size: tuple[int, int], how: ImageFit) -> Image.Image:
    """Scale to `size`; where the aspect differs by more than 1 %, cut, pad with black, or refuse."""
    wanted, found = size[0] / size[1], image.width / image.height
    if abs(found / wanted - 1) <= ASPECT_TOLERANCE:
        return image.resize(size, Image.Resampling.LANCZOS)
    if how is ImageFit.CROP:
        return ImageOps.fit(image, size, Image.Resampling.LANCZOS)
    if how is ImageFit.PAD:
        return ImageOps.pad(image, size, Image.Resampling.LANCZOS, color=(0, 0, 0))
    raise InvalidInput(
        f"{FIELD}: {image.width}x{image.height} is {found:.3f}:1, "
        f"but the video is {size[0]}x{size[1]} ({wanted:.3f}:1); "
        "set spec.imageFit to crop or pad, or give an image of that aspect"
    )


def _refused(what: str) -> InvalidInput:
    return InvalidInput(f"{FIELD}: {what}; {WORKS}")
