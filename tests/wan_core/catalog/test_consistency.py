"""An entry that does not agree with itself is told where."""

from __future__ import annotations

from dataclasses import replace

import pytest

from wan_core.catalog.aspects import ASPECTS, aspect_of, ratio_of
from wan_core.catalog.consistency import check_card
from wan_core.catalog.models import MODELS, OTHERS

CARD = MODELS["ti2v-5B"]
DIT, SIZES, RULE, CHOSEN = CARD.transformer, CARD.sizes, CARD.frame_rule, CARD.defaults


@pytest.mark.parametrize(
    ("card", "problem"),
    [
        (replace(CARD, source="hearsay"), "source: ModelCard has hearsay"),
        (replace(CARD, source=""), "source: ModelCard has none"),
        (
            replace(CARD, transformer=replace(DIT, heads=25)),
            "transformer: 25 heads do not divide",
        ),
        (
            replace(CARD, transformer=replace(DIT, in_channels=52)),
            "transformer: 52 channels in and",
        ),
        (replace(CARD, transformer=replace(DIT, text_dim=64)), "transformer.textDim: is 64;"),
        (
            replace(CARD, sizes=replace(SIZES, stride=16)),
            "sizes.stride: is 16; VAE and patch make it 32",
        ),
        (
            replace(CARD, frame_rule=replace(RULE, step=8)),
            "frameRule.step: is 8; the VAE makes it 4",
        ),
        (
            replace(CARD, frame_rule=replace(RULE, trained=(82,))),
            "frameRule.trained: 82 is not 4k+1",
        ),
        (replace(CARD, sizes=replace(SIZES, trained=((1024, 1024),))), "sizes.trained: 1024x1024 is"),
        (replace(CARD, sizes=replace(SIZES, aspects=("16:9",))), "sizes.aspects: 704x1280 is 9:16"),
        (replace(CARD, experts=2), "boundary: None with 2 experts"),
        (replace(CARD, defaults=replace(CHOSEN, frames=120)), "defaults.frames: 120 is not 4k+1"),
        (replace(CARD, defaults=replace(CHOSEN, steps=0)), "defaults.steps: 0 is not from 1 to 200"),
        (
            replace(CARD, defaults=replace(CHOSEN, guidance=(4.0, 3.0))),
            "defaults.guidance: one expert",
        ),
        (replace(CARD, alternatives=("sora",)), "alternatives: sora is no other model"),
        (replace(CARD, alternatives=("svd",)), "alternatives: svd cannot run"),
        (replace(CARD, licence=replace(CARD.licence, name="")), "licence: does not say"),
        (replace(CARD, title=""), "title: is empty"),
        (replace(CARD, devices=()), "devices: there are none"),
        (replace(OTHERS["svd"], cannot_run=""), "cannotRun: is empty"),
        (replace(OTHERS["svd"], parts=()), "parts: one has no parameters, or there are none"),
    ],
    ids=lambda value: value.split(":")[0] if isinstance(value, str) else "",
)
def test_a_disagreement_is_told(card, problem):
    assert any(found.startswith(problem) for found in check_card(card)), check_card(card)


@pytest.mark.parametrize(
    ("size", "aspect"),
    [
        ((832, 480), "16:9"),
        ((1280, 704), "16:9"),
        ((704, 1024), "2:3"),
        ((64, 64), "1:1"),
        ((640, 480), "4:3"),
    ],
)
def test_a_size_has_the_aspect_that_it_is_nearest_to(size, aspect):
    assert aspect_of(*size) == aspect


def test_every_aspect_is_its_own_nearest():
    assert [aspect_of(round(1000 * ratio_of(aspect)), 1000) for aspect in ASPECTS] == list(ASPECTS)
