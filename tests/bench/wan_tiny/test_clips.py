"""The synthetic world is deterministic, stays in the picture and never trains on what is held out."""

from collections import Counter

import numpy as np
import pytest

from bench.wan_tiny.clips import (
    COLOURS,
    COMBINATIONS,
    HELD_OUT,
    MOTIONS,
    NUM_FRAMES,
    SHAPES,
    SIZE,
    TRAINED,
    draw_prompt,
    draw_scene,
    render,
    vocabulary,
)
from bench.wan_tiny.latents import draw_clips


def test_the_same_seed_renders_the_same_clip():
    first, second = (render(draw_scene(np.random.default_rng(3), COMBINATIONS[17])) for _ in range(2))
    assert first.shape == (NUM_FRAMES, SIZE, SIZE, 3)
    assert np.array_equal(first, second)


def test_another_seed_renders_another_clip():
    first, second = (render(draw_scene(np.random.default_rng(seed), COMBINATIONS[17])) for seed in (3, 4))
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("combination", COMBINATIONS, ids=lambda item: item.prompt)
def test_the_shape_stays_in_the_picture_and_starts_visible(combination):
    for seed in range(5):
        clip = render(draw_scene(np.random.default_rng(seed), combination))
        edges = (clip[:, 0], clip[:, -1], clip[:, :, 0], clip[:, :, -1])
        assert max(float(edge.max()) for edge in edges) == 0.0
        assert (clip[0].max(axis=-1) > 0.1).sum() >= 60


def test_held_out_and_trained_combinations_part_the_world():
    assert len(COMBINATIONS) == 108
    assert len(HELD_OUT) == 12
    assert HELD_OUT.isdisjoint(TRAINED)
    assert HELD_OUT | set(TRAINED) == set(COMBINATIONS)


@pytest.mark.parametrize(
    ("part", "names", "count"), [("colour", COLOURS, 2), ("shape", SHAPES, 4), ("motion", MOTIONS, 2)]
)
def test_every_name_is_held_out_equally_often(part, names, count):
    assert Counter(getattr(item, part) for item in HELD_OUT) == dict.fromkeys(names, count)


def test_the_training_draw_holds_only_trained_combinations(monkeypatch):
    monkeypatch.setattr("bench.wan_tiny.latents.CLIPS_PER_COMBINATION", 1)
    clips, labels = draw_clips(seed=10)
    assert clips.shape == (len(TRAINED), 3, NUM_FRAMES, SIZE, SIZE)
    assert sorted(labels.tolist()) == list(range(len(TRAINED)))


def test_every_paraphrase_is_made_of_vocabulary_words():
    rng, known = np.random.default_rng(0), set(vocabulary())
    for _ in range(500):
        prompt = draw_prompt(rng, COMBINATIONS[rng.integers(len(COMBINATIONS))])
        assert set(prompt.lower().replace(",", " ").replace(".", " ").split()) <= known
