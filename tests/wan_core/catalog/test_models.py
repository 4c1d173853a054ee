"""The table of models: whole, sourced, and in agreement with the rules that only see ids."""

from __future__ import annotations

from dataclasses import fields

import pytest

from wan_core.api import rules
from wan_core.api.manifest import read_manifest
from wan_core.catalog.architecture import ModelCard, ModelTask
from wan_core.catalog.consistency import check_card, groups_of
from wan_core.catalog.ids import resolve_model
from wan_core.catalog.models import ENTRIES, MODELS, OTHERS
from wan_core.catalog.own import OWN
from wan_core.catalog.sources import SOURCES

CARDS = pytest.mark.parametrize("card", MODELS.values(), ids=MODELS)
ALL = pytest.mark.parametrize("card", ENTRIES.values(), ids=ENTRIES)
SPELLINGS = ("{}", "wan_implementation:{}")


def spellings(card: ModelCard) -> list[str]:
    """The card's id in every form that stands for it."""
    own = [form.format(name) for form in SPELLINGS for name in (card.id, card.id.upper(), card.id.lower())]
    if card.id.startswith("wan-tiny"):
        return own
    version = "2.1" if card.id == "t2v-1.3B" else "2.2"
    official = f"Wan-AI/Wan{version}-{card.id.upper()}"
    return [*own, official, f"{official}-Diffusers", official.removeprefix("Wan-AI/")]


ALL_IDS = [(card, spelling) for card in MODELS.values() for spelling in spellings(card)]
EVERY_ID = pytest.mark.parametrize(("card", "model_id"), ALL_IDS, ids=[name for _, name in ALL_IDS])


@ALL
def test_every_entry_agrees_with_itself(card):
    assert check_card(card) == ()


def test_every_source_is_used():
    groups = [group for card in ENTRIES.values() for group in groups_of(card)]
    assert {key for group in groups for key in group.source.split()} | {OWN} == set(SOURCES)


def test_what_other_architectures_can_run_on_is_said_by_none():
    assert {card.id for card in OTHERS.values() if card.cannot_run} == {"svd", "svd-xt", "animatediff"}
    assert not set(OTHERS) & set(MODELS)


@pytest.mark.parametrize(
    ("model_id", "words"),
    [
        ("t2v-A14B", "4k+1, at most 161; 1 is a still"),
        ("s2v-14B", "4k, at most 160, at least 4"),
        ("svd", "14, no other number"),
        ("svd-xt", "25, no other number"),
        ("animatediff", "any number, at most 1001; 1 is a still; beyond 16 in windows that overlap"),
    ],
)
def test_each_family_has_its_own_rule_of_frames(model_id, words):
    assert ENTRIES[model_id].frame_rule.words == words


@CARDS
def test_defaults_are_valid_for_their_model(card):
    chosen = card.defaults
    assert chosen.width % card.stride == chosen.height % card.stride == 0
    assert chosen.width * chosen.height <= card.max_pixels
    assert chosen.frames <= card.frame_rule.most
    assert card.experts == 2 or chosen.guidance[0] == chosen.guidance[1]
    assert (card.boundary is not None) == (card.experts == 2)


@CARDS
def test_heads_divide_the_width(card):
    assert card.transformer.dim % card.transformer.heads == 0


@CARDS
def test_channels_hold_noise_and_condition(card):
    z = card.vae.z_channels
    conditioned = card.task in (ModelTask.I2V, ModelTask.ANIMATE)
    assert card.transformer.in_channels == (z + 4 + z if conditioned else z)
    assert card.transformer.out_channels == z


@pytest.mark.parametrize(
    ("model_id", "billions"),
    [("t2v-A14B", 14.29), ("i2v-A14B", 14.29), ("ti2v-5B", 5.00), ("t2v-1.3B", 1.42), ("wan-tiny", 0.0016)],
)
def test_parameter_counts_are_those_that_are_published(model_id, billions):
    assert MODELS[model_id].transformer.parameters / 1e9 == pytest.approx(billions, rel=0.03)


@EVERY_ID
def test_every_spelling_resolves_to_its_card(card, model_id):
    assert resolve_model(model_id).card is card


@EVERY_ID
def test_rules_and_catalogue_agree_on_the_stride(card, model_id):
    assert rules.matches(model_id, rules.STRIDE_32) == (card.stride == 32)
    assert card.stride in (16, 32)


@EVERY_ID
def test_rules_and_catalogue_agree_on_images(card, model_id):
    assert rules.matches(model_id, rules.NEEDS_IMAGE) == resolve_model(model_id).image_required
    assert rules.matches(model_id, rules.TAKES_NO_IMAGE) == (not card.takes_image)


@EVERY_ID
def test_rules_and_catalogue_agree_on_experts(card, model_id):
    assert rules.matches(model_id, rules.TWO_EXPERTS) == (card.experts == 2)
    assert rules.matches(model_id, rules.ONE_EXPERT) == (card.experts == 1)


@EVERY_ID
def test_rules_and_catalogue_agree_on_frames(card, model_id):
    diffusion_alone = card.task in (ModelTask.T2V, ModelTask.I2V, ModelTask.TI2V)
    assert rules.matches(model_id, rules.FRAMES_4K1) == diffusion_alone
    if diffusion_alone:
        assert card.vae.stride_t == 4
        assert card.defaults.frames % 4 == card.frame_rule.most % 4 == 1


@CARDS
def test_a_models_defaults_break_no_rule(card):
    chosen = card.defaults
    high, low = chosen.guidance
    guidance = f"{{high: {high}, low: {low}}}" if card.experts == 2 else f"{{scale: {high}}}"
    image = "image: s3://inputs/a.png" if card.needs_image else ""
    read_manifest(f"""
apiVersion: wan.video/v1alpha1
kind: VideoGeneration
metadata: {{name: a}}
spec:
  model: {card.id}
  prompt: a
  resolution: {chosen.width}x{chosen.height}
  frames: {chosen.frames}
  fps: {chosen.fps}
  steps: {chosen.steps}
  guidance: {guidance}
  shift: {chosen.shift}
  {image}
""")


def test_cards_are_frozen_data():
    assert all(field.init for field in fields(ModelCard))
    assert list(MODELS) == [card.id for card in MODELS.values()]
