"""The synthetic world: one anti-aliased shape that moves on black, and the sentences that describe it.

Pure numpy, every draw from a given generator, so a seed fixes a clip. Pixel coordinates, x right, y down.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np

NUM_FRAMES = 17
SIZE = 64

COLOURS: dict[str, tuple[float, float, float]] = {
    "red": (0.92, 0.16, 0.14),
    "green": (0.14, 0.80, 0.24),
    "blue": (0.16, 0.36, 0.96),
    "yellow": (0.96, 0.86, 0.14),
    "purple": (0.66, 0.20, 0.88),
    "white": (0.95, 0.95, 0.95),
}
# The half-width (square) or circumradius (circle, triangle) that a shape of radius 1 has.
EXTENT = {"circle": 1.0, "square": 0.9, "triangle": 1.35}
SHAPES = tuple(EXTENT)
DIRECTIONS = {"right": (1, 0), "left": (-1, 0), "up": (0, -1), "down": (0, 1)}
MOTIONS = (*DIRECTIONS, "growing", "shrinking")

PHRASES = {
    "right": (
        "moving right",
        "moving to the right",
        "moves right",
        "sliding right",
        "going right",
        "from left to right",
    ),
    "left": (
        "moving left",
        "moving to the left",
        "moves left",
        "sliding left",
        "going left",
        "from right to left",
    ),
    "up": ("moving up", "moving upwards", "moves up", "rising", "sliding up", "going up"),
    "down": ("moving down", "moving downwards", "moves down", "falling", "sliding down", "going down"),
    "growing": ("growing", "grows", "getting bigger", "becoming larger", "increasing in size", "expanding"),
    "shrinking": (
        "shrinking",
        "shrinks",
        "getting smaller",
        "becoming smaller",
        "reducing in size",
        "contracting",
    ),
}
NOUNS = {"circle": ("circle", "disc"), "square": ("square", "box"), "triangle": ("triangle",)}
OPENINGS = ("a ", "a ", "the ", "one ", "", "a video of a ", "an animation of a ", "a single ")
ADVERBS = ("", "", "", " slowly", " smoothly", " steadily")
BACKGROUNDS = (" on a black background", " on a dark background.")
ENDINGS = ("", "", "", ".", *BACKGROUNDS, ", simple animation", ", high quality")


@dataclass(frozen=True)
class Combination:
    colour: str
    shape: str
    motion: str

    @property
    def prompt(self) -> str:
        return f"a {self.colour} {self.shape} {PHRASES[self.motion][0]}"


@dataclass(frozen=True)
class Scene:
    """A shape's path: `centres` [T, 2] and `radii` [T], in pixels."""

    shape: str
    rgb: tuple[float, float, float]
    centres: np.ndarray
    radii: np.ndarray


COMBINATIONS = tuple(Combination(*names) for names in product(COLOURS, SHAPES, MOTIONS))

# Never seen in training: each colour and each motion twice, each shape four times.
HELD_OUT = frozenset(
    Combination(*names)
    for names in (
        ("red", "square", "left"),
        ("red", "triangle", "growing"),
        ("green", "circle", "up"),
        ("green", "triangle", "right"),
        ("blue", "circle", "shrinking"),
        ("blue", "square", "down"),
        ("yellow", "square", "growing"),
        ("yellow", "triangle", "down"),
        ("purple", "circle", "right"),
        ("purple", "square", "up"),
        ("white", "circle", "left"),
        ("white", "triangle", "shrinking"),
    )
)
TRAINED = tuple(combination for combination in COMBINATIONS if combination not in HELD_OUT)


def signed_distance(shape: str, x: np.ndarray, y: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Distance to the outline in pixels, negative inside; x, y relative to the centre."""
    extent = EXTENT[shape] * radius
    if shape == "circle":
        return np.hypot(x, y) - extent
    if shape == "square":
        return np.maximum(np.abs(x), np.abs(y)) - extent
    return np.maximum(y, np.sqrt(0.75) * np.abs(x) - 0.5 * y) - 0.5 * extent


def coverage(scene: Scene, height: int, width: int, top: float = 0.0, left: float = 0.0) -> np.ndarray:
    """How much of each pixel of a window the shape covers, [T, H, W] in 0..1."""
    y = (np.arange(height) + 0.5 + top)[None, :, None] - scene.centres[:, 1, None, None]
    x = (np.arange(width) + 0.5 + left)[None, None, :] - scene.centres[:, 0, None, None]
    return np.clip(0.5 - signed_distance(scene.shape, x, y, scene.radii[:, None, None]), 0.0, 1.0)


def render(
    scene: Scene, height: int = SIZE, width: int = SIZE, top: float = 0.0, left: float = 0.0
) -> np.ndarray:
    """The clip as float32 [T, H, W, 3] in 0..1."""
    alpha = coverage(scene, height, width, top, left)
    return (alpha[..., None] * np.asarray(scene.rgb)).astype(np.float32)


def draw_scene(rng: np.random.Generator, combination: Combination) -> Scene:
    """A random path that shows the combination and keeps the whole shape in the picture."""
    draw = draw_slide if combination.motion in DIRECTIONS else draw_swell
    centres, radii = draw(rng, combination)
    return Scene(combination.shape, COLOURS[combination.colour], centres, radii)


def draw_slide(rng: np.random.Generator, combination: Combination) -> tuple[np.ndarray, np.ndarray]:
    radius = rng.uniform(7.0, 11.0)
    travel = rng.uniform(18.0, 28.0)
    margin = EXTENT[combination.shape] * radius + 1.0
    low = rng.uniform(margin, SIZE - margin - travel)
    across = rng.uniform(margin, SIZE - margin)
    dx, dy = DIRECTIONS[combination.motion]
    along = np.linspace(low, low + travel, NUM_FRAMES)
    along = along if dx + dy > 0 else along[::-1]
    still = np.full(NUM_FRAMES, across)
    centres = np.stack((along, still) if dx else (still, along), axis=1)
    return centres, np.full(NUM_FRAMES, radius)


def draw_swell(rng: np.random.Generator, combination: Combination) -> tuple[np.ndarray, np.ndarray]:
    small, large = rng.uniform(6.0, 7.5), rng.uniform(13.0, 18.0)
    margin = EXTENT[combination.shape] * large + 1.0
    centre = rng.uniform(margin, SIZE - margin, size=2)
    radii = np.linspace(small, large, NUM_FRAMES)
    radii = radii if combination.motion == "growing" else radii[::-1]
    return np.repeat(centre[None], NUM_FRAMES, axis=0), radii


def draw_prompt(rng: np.random.Generator, combination: Combination) -> str:
    """The plain sentence a third of the time, else a paraphrase."""
    if rng.random() < 1 / 3:
        return combination.prompt
    noun = rng.choice(NOUNS[combination.shape])
    phrase = rng.choice(PHRASES[combination.motion])
    subject = f"{rng.choice(OPENINGS)}{combination.colour} {noun}"
    return f"{subject} {phrase}{rng.choice(ADVERBS)}{rng.choice(ENDINGS)}"


def vocabulary() -> list[str]:
    """Every word the sentences use, in lower case, in a fixed order."""
    sources = (*OPENINGS, *ADVERBS, *ENDINGS, *COLOURS, *sum(NOUNS.values(), ()), *sum(PHRASES.values(), ()))
    words = " ".join(sources).replace(",", " ").replace(".", " ").lower().split()
    return sorted(set(words))
