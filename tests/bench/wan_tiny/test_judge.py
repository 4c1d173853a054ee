"""The judge names every real clip rightly and refuses what is not a clip of one shape."""

import numpy as np
import pytest

from bench.wan_tiny.clips import COMBINATIONS, SIZE, draw_scene, render
from bench.wan_tiny.judge import UNREADABLE, Verdict, read_clip

SEEDS = range(4)


@pytest.mark.parametrize("combination", COMBINATIONS, ids=lambda item: item.prompt)
def test_a_real_clip_is_read_rightly(combination):
    expected = Verdict(combination.colour, combination.shape, combination.motion)
    for seed in SEEDS:
        assert read_clip(render(draw_scene(np.random.default_rng(seed), combination))) == expected


@pytest.mark.parametrize("combination", COMBINATIONS[::7], ids=lambda item: item.prompt)
def test_a_slightly_noisy_clip_is_read_rightly(combination):
    rng = np.random.default_rng(1)
    clip = render(draw_scene(rng, combination))
    noisy = np.clip(clip + rng.normal(0.0, 0.04, clip.shape), 0.0, 1.0)
    assert read_clip(noisy) == Verdict(combination.colour, combination.shape, combination.motion)


@pytest.mark.parametrize(
    "frames",
    [
        pytest.param(np.zeros((17, SIZE, SIZE, 3)), id="black"),
        pytest.param(np.ones((17, SIZE, SIZE, 3)), id="white"),
        pytest.param(np.random.default_rng(0).random((17, SIZE, SIZE, 3)), id="uniform noise"),
        pytest.param(
            np.clip(np.random.default_rng(0).normal(0.5, 0.2, (17, SIZE, SIZE, 3)), 0, 1), id="grey noise"
        ),
    ],
)
def test_what_shows_no_shape_is_unreadable(frames):
    assert read_clip(frames) == UNREADABLE


def test_a_still_clip_has_no_motion():
    clip = render(draw_scene(np.random.default_rng(0), COMBINATIONS[0]))
    assert read_clip(np.repeat(clip[:1], 17, axis=0)).motion is None


def test_two_shapes_are_no_shape():
    left = render(draw_scene(np.random.default_rng(0), COMBINATIONS[2]))
    assert read_clip(np.maximum(left, left[:, ::-1, ::-1])).shape is None


def test_sparse_speckles_are_no_shape():
    speckles = (np.random.default_rng(0).random((17, SIZE, SIZE, 1)) > 0.9) * np.ones(3)
    assert read_clip(speckles) in (UNREADABLE, Verdict("white", None, None))
