"""How an image becomes the first frame of a video, as exact values: what is cut off, scaled, put around.

Arithmetic on sizes only; no pixel is seen here. The image's own values are those after its EXIF rotation.
Boxes and margins are (left, top, right, bottom) in pixels. Not covered: cropping around what matters.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from wan_core.api.model import Document
from wan_core.api.spec import ImageFit
from wan_core.catalog.architecture import Card
from wan_core.errors import InvalidInput

Size: TypeAlias = tuple[int, int]
Edges: TypeAlias = tuple[int, int, int, int]

FIELD = "spec.image"
ASPECT_TOLERANCE = 0.01  # ours: below this, stretching to the video's size is not seen
SIDE_MAX = 9999  # of spec.resolution, which has four digits a side


class Correction(Document):
    """An image of `source` pixels as a frame of `target` pixels: the box `crop` of it, scaled to `scaled`,
    with `pad` black pixels around.
    """

    source: Size
    crop: Edges
    scaled: Size
    pad: Edges
    target: Size

    @property
    def kept(self) -> float:
        """The share of the image's pixels that is kept."""
        left, top, right, bottom = self.crop
        return (right - left) * (bottom - top) / (self.source[0] * self.source[1])

    @property
    def enlargement(self) -> float:
        """How many pixels of the frame a side one pixel of the image becomes."""
        return self.scaled[0] / (self.crop[2] - self.crop[0])

    @property
    def words(self) -> str:
        """`takes the box (0, 219, 1000, 781), 56 % of it, and scales it to 1280x720`; empty if unchanged."""
        size = "{}x{}".format(*self.scaled)
        if any(self.pad):
            return f"scales it to {size}, with {_margins(self.pad)}"
        if self.kept < 1:
            return f"takes the box {self.crop}, {self.kept * 100:.0f} % of it, and scales it to {size}"
        return "" if self.source == self.target else f"scales it to {size}"


class Checked(Document):
    """An image that a video can start from: what it is, what becomes of it, and what speaks against it.

    `width` and `height` are as it is shown; `mode` is Pillow's word for its pixels.
    """

    format: str
    mode: str
    bytes: int
    width: int
    height: int
    correction: Correction
    changes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def fit_image(source: Size, target: Size, how: ImageFit, card: Card | None = None) -> Correction:
    """What is done to the image. Where the aspects differ by more than `ASPECT_TOLERANCE` it is cut or
    padded as `how` says, or refused: an InvalidInput with each way out and its values. `card` is that of the
    model, for the resolution that would keep the aspect.
    """
    if have_same_aspect(source, target):
        return Correction(source=source, crop=(0, 0, *source), scaled=target, pad=(0, 0, 0, 0), target=target)
    if how is ImageFit.CROP:
        return crop(source, target)
    if how is ImageFit.PAD:
        return pad(source, target)
    raise InvalidInput(_refusal(source, target, card))


def have_same_aspect(one: Size, other: Size) -> bool:
    """Whether nobody would see one stretched to the other."""
    return abs(one[0] * other[1] / (one[1] * other[0]) - 1) <= ASPECT_TOLERANCE


def crop(source: Size, target: Size) -> Correction:
    """The largest box of the target's aspect, from the middle."""
    width = min(source[0], max(1, round(source[1] * target[0] / target[1])))
    height = min(source[1], max(1, round(source[0] * target[1] / target[0])))
    left, top = (source[0] - width) // 2, (source[1] - height) // 2
    box = (left, top, left + width, top + height)
    return Correction(source=source, crop=box, scaled=target, pad=(0, 0, 0, 0), target=target)


def pad(source: Size, target: Size) -> Correction:
    """All of it, as large as it goes into the target, with black on two sides."""
    width = min(target[0], max(1, round(target[1] * source[0] / source[1])))
    height = min(target[1], max(1, round(target[0] * source[1] / source[0])))
    left, top = (target[0] - width) // 2, (target[1] - height) // 2
    around = (left, top, target[0] - width - left, target[1] - height - top)
    return Correction(source=source, crop=(0, 0, *source), scaled=(width, height), pad=around, target=target)


def nearest_resolution(card: Card, source: Size, target: Size) -> Size | None:
    """The size with the image's aspect that the model was taught with, else any on its stride and within its
    pixels; of several the one whose area is nearest to the target's. None if no size has this aspect.
    """
    taught = [size for size in card.sizes.trained if have_same_aspect(source, size)]
    sizes = taught or [size for size in _sizes(card, source) if have_same_aspect(source, size)]
    wanted = target[0] * target[1]
    return min(sizes, key=lambda size: (abs(size[0] * size[1] - wanted), size), default=None)


def _sizes(card: Card, source: Size) -> Iterator[Size]:
    """Every size on the stride that is about of the image's aspect: each width with the nearest height."""
    stride = card.stride
    for width in range(stride, min(SIDE_MAX, card.max_pixels // stride) + 1, stride):
        height = max(stride, round(width * source[1] / source[0] / stride) * stride)
        if height <= SIDE_MAX and width * height <= card.max_pixels:
            yield width, height


def _refusal(source: Size, target: Size, card: Card | None) -> str:
    (width, height), ratios = source, (source[0] / source[1], target[0] / target[1])
    found = f"{width}x{height} is {ratios[0]:.3f}:1"
    wanted = f"the video is {target[0]}x{target[1]} ({ratios[1]:.3f}:1)"
    ways = [f"imageFit: {how.__name__} {how(source, target).words}" for how in (crop, pad)]
    near = nearest_resolution(card, source, target) if card is not None else None
    ways += ["resolution: {}x{} keeps its aspect".format(*near)] if near is not None else []
    return f"{FIELD}: {found}, but {wanted}; {'; or '.join(ways)}"


def _margins(edges: Edges) -> str:
    """`black pixels around: 280 left and 280 right`."""
    sides = [f"{n} {side}" for n, side in zip(edges, ("left", "above", "right", "below"), strict=True) if n]
    return f"black pixels around: {' and '.join(sides)}"
