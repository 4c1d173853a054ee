"""Read colour, shape and motion off a clip. Numpy only, no learned part, no knowledge of the prompt.

A reader must be able to say "I cannot tell": noise, black and all that is not one compact blob give None. The
shape is the one whose ideal outline, at the blob's own area and centre, overlaps best (mean over frames).
"""

from dataclasses import dataclass

import numpy as np

from bench.wan_tiny.clips import COLOURS, SHAPES, signed_distance

FOREGROUND = 0.4  # a pixel this bright, relative to the clip's brightest, belongs to the shape
MIN_BRIGHTNESS = 0.35
MIN_AREA, MAX_AREA = 40.0, 2000.0  # pixels, in every frame
MIN_OVERLAP = 0.8
MAX_COLOUR_DISTANCE = 0.25
MIN_GROWTH = np.log(1.35)  # of the radius, first to last quarter
MIN_TRAVEL = 9.0  # pixels
UNIT_AREA = {"circle": np.pi, "square": 4 * 0.9**2, "triangle": 0.75 * np.sqrt(3) * 1.35**2}


@dataclass(frozen=True)
class Verdict:
    colour: str | None
    shape: str | None
    motion: str | None


UNREADABLE = Verdict(None, None, None)


def read_clip(frames: np.ndarray) -> Verdict:
    """`frames` is [T, H, W, 3] in 0..1."""
    bright = frames.max(axis=-1)
    peak = float(np.quantile(bright, 0.995))
    if peak < MIN_BRIGHTNESS:
        return UNREADABLE
    masks = bright > FOREGROUND * peak
    areas = masks.sum(axis=(1, 2)).astype(float)
    if areas.min() < MIN_AREA or areas.max() > MAX_AREA:
        return UNREADABLE
    centres = np.stack([centre_of(mask) for mask in masks])
    shape = read_shape(masks, areas, centres)
    return Verdict(read_colour(frames, bright), shape, read_motion(areas, centres))


def centre_of(mask: np.ndarray) -> np.ndarray:
    """The mean position of a mask's pixels, (x, y)."""
    y, x = np.nonzero(mask)
    return np.array([x.mean() + 0.5, y.mean() + 0.5])


def read_colour(frames: np.ndarray, bright: np.ndarray) -> str | None:
    """The palette's nearest to the mean of the brightest half of the shape."""
    inside = bright > 0.75 * np.quantile(bright, 0.995)
    mean = frames[inside].mean(axis=0)
    mean = mean / mean.max()
    pure = {name: np.array(rgb) / max(rgb) for name, rgb in COLOURS.items()}
    distances = {name: float(np.linalg.norm(mean - rgb)) for name, rgb in pure.items()}
    best = min(distances, key=distances.__getitem__)
    return best if distances[best] < MAX_COLOUR_DISTANCE else None


def read_shape(masks: np.ndarray, areas: np.ndarray, centres: np.ndarray) -> str | None:
    """The best mean overlap (intersection over union) with an ideal outline, if it is good enough."""
    overlaps = {shape: overlap_with(shape, masks, areas, centres) for shape in SHAPES}
    best = max(overlaps, key=overlaps.__getitem__)
    return best if overlaps[best] >= MIN_OVERLAP else None


def overlap_with(shape: str, masks: np.ndarray, areas: np.ndarray, centres: np.ndarray) -> float:
    height, width = masks.shape[1:]
    y = (np.arange(height) + 0.5)[None, :, None] - centres[:, 1, None, None]
    x = (np.arange(width) + 0.5)[None, None, :] - centres[:, 0, None, None]
    radii = np.sqrt(areas / UNIT_AREA[shape])
    ideal = signed_distance(shape, x, y, radii[:, None, None]) < 0
    union = (ideal | masks).sum(axis=(1, 2))
    return float(((ideal & masks).sum(axis=(1, 2)) / union).mean())


def read_motion(areas: np.ndarray, centres: np.ndarray) -> str | None:
    """Growth first, then the direction of travel; neither or both is None."""
    quarter = max(1, len(areas) // 4)
    growth = 0.5 * np.log(areas[-quarter:].mean() / areas[:quarter].mean())
    dx, dy = centres[-1] - centres[0]
    along, across = max(abs(dx), abs(dy)), min(abs(dx), abs(dy))
    if abs(growth) >= MIN_GROWTH:
        still = along < MIN_TRAVEL
        return ("growing" if growth > 0 else "shrinking") if still else None
    if along < MIN_TRAVEL or across > 0.5 * along:
        return None
    if abs(dx) > abs(dy):
        return "right" if dx > 0 else "left"
    return "down" if dy > 0 else "up"
