"""What people call a model."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wan_core.catalog.ids import resolve_model
from wan_core.catalog.models import MODELS
from wan_core.errors import InvalidInput


@pytest.mark.parametrize("model_id", MODELS)
def test_an_id_of_the_catalogue_needs_no_note(model_id):
    resolved = resolve_model(model_id)
    assert (resolved.card.id, resolved.note) == (model_id, "")
    assert resolved.image_required == resolved.card.needs_image


@pytest.mark.parametrize(
    ("model_id", "card", "image_required"),
    [
        ("T2V-A14B", "t2v-A14B", False),
        ("wan_implementation:t2v-A14B", "t2v-A14B", False),
        ("WAN_IMPLEMENTATION:TI2V-5B", "ti2v-5B", False),
        ("Wan-AI/Wan2.2-T2V-A14B", "t2v-A14B", False),
        ("Wan-AI/Wan2.2-T2V-A14B-Diffusers", "t2v-A14B", False),
        ("Wan-AI/Wan2.1-T2V-1.3B-Diffusers", "t2v-1.3B", False),
        ("Wan2.2-Animate-14B", "animate-14B", True),
        ("Wan-AI/Wan2.2-T2V", "t2v-A14B", False),
        ("i2v", "i2v-A14B", True),
        ("ti2v", "ti2v-5B", False),
        ("S2V", "s2v-14B", True),
        ("animate", "animate-14B", True),
        ("I2V-5B", "ti2v-5B", True),
        ("wan_implementation:I2V-5B", "ti2v-5B", True),
        ("Wan-AI/Wan2.2-I2V-5B", "ti2v-5B", True),
        ("Wan-Tiny-I2V", "wan-tiny-i2v", True),
        ("SVD", "svd", True),
        ("stabilityai/stable-video-diffusion-img2vid", "svd", True),
        ("stable-video-diffusion", "svd", True),
        ("stabilityai/stable-video-diffusion-img2vid-xt", "svd-xt", True),
        ("stabilityai/stable-video-diffusion-img2vid-xt-1-1", "svd-xt", True),
        ("svd_xt", "svd-xt", True),
        ("wan_implementation:svd-xt", "svd-xt", True),
        ("guoyww/animatediff", "animatediff", False),
        ("guoyww/animatediff-motion-adapter-v1-5-2", "animatediff", False),
        ("AnimateDiff-v3", "animatediff", False),
    ],
)
def test_a_legacy_id_is_read_and_the_note_says_as_what(model_id, card, image_required):
    resolved = resolve_model(model_id)
    assert (resolved.card.id, resolved.image_required) == (card, image_required)
    assert resolved.note.startswith(f'"{model_id}" is read as {card}')


@pytest.mark.parametrize(
    ("model_id", "what"),
    [
        ("t2v", "is ambiguous; nearest: t2v-A14B, t2v-1.3B"),
        ("wan_implementation:t2v", "is ambiguous; nearest: t2v-A14B, t2v-1.3B"),
        ("Wan-AI/Wan2.1-T2V", "is ambiguous; nearest: t2v-A14B, t2v-1.3B"),
        ("TI2V-1B", "does not exist: no such model was published; nearest: ti2v-5B"),
        ("I2V-1B", "does not exist: no such model was published; nearest: ti2v-5B"),
        ("T2V-1B", "does not exist: no such model was published; nearest: t2v-1.3B"),
        ("Wan-AI/Wan2.1-T2V-14B", "is of Wan2.1 and not in this catalogue; nearest: t2v-A14B"),
        ("Wan-AI/Wan2.1-I2V-14B-720P-Diffusers", "is of Wan2.1 and not in this catalogue; nearest: i2v-A14B"),
        ("Wan-AI/Wan2.1-VACE-1.3B", "is of Wan2.1 and not in this catalogue; nearest: t2v-1.3B"),
        ("Wan-AI/Wan2.2-T2V-1.3B", "is not in the catalogue; nearest: t2v-1.3B, t2v-A14B"),
        ("Wan-AI/Wan2.1-T2V-A14B", "is not in the catalogue; nearest: t2v-A14B, i2v-A14B"),
        ("Wan-AI/Wan9.9-T2V-A14B", "is not in the catalogue; nearest: t2v-A14B, i2v-A14B"),
        ("t2v-A14", "is not in the catalogue; nearest: t2v-A14B, i2v-A14B"),
        (
            "guoyww/animatediff-motion-adapter-sdxl-beta",
            "is for Stable Diffusion XL and not in this catalogue; nearest: animatediff",
        ),
        ("wan-tinny", "is not in the catalogue; nearest: wan-tiny, wan-tiny-i2v"),
        (
            "sora",
            "is not in the catalogue; there are: t2v-A14B, i2v-A14B, ti2v-5B, t2v-1.3B, s2v-14B, animate-14B,"
            " wan-tiny, wan-tiny-i2v",
        ),
    ],
)
def test_an_id_that_stands_for_no_model_is_refused_with_the_nearest(model_id, what):
    with pytest.raises(InvalidInput) as raised:
        resolve_model(model_id)
    assert raised.value.problems == (f'spec.model: "{model_id}" {what}',)


def test_the_refusal_names_the_field_it_is_about():
    with pytest.raises(InvalidInput, match=r"^spec\.fallback\.models\[1\]: "):
        resolve_model("sora", "spec.fallback.models[1]")


def test_models_that_cannot_run_yet_resolve_and_say_why():
    reasons = {card.id: card.cannot_run for card in MODELS.values() if card.cannot_run}
    assert set(reasons) == {"s2v-14B", "animate-14B"}
    assert all("yet" in reason for reason in reasons.values())


def test_an_own_model_is_found_by_its_id_in_any_case():
    own = {**MODELS, "Corgi": replace(MODELS["ti2v-5B"], id="Corgi", weights_of="ti2v-5B")}
    assert resolve_model("corgi", models=own).card is own["Corgi"]
    with pytest.raises(InvalidInput, match=r"nearest: Corgi"):
        resolve_model("corgy", models=own)


@given(st.text(max_size=40))
def test_no_text_is_quietly_taken_for_a_model(text):
    with contextlib.suppress(InvalidInput):
        resolved = resolve_model(text)
        assert resolved.note or text == resolved.card.id
