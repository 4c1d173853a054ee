from __future__ import annotations

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wan_core.plan.worlds import UID, request_of, spec_of
from wan_core.catalog.models import MODELS
from wan_core.catalog.shape_rules import largest_size
from wan_core.errors import InvalidInput
from wan_core.plan.request import cannot_run, fill_request, resolve_request

IMAGE = "s3://inputs/a.png"


@pytest.mark.parametrize("model", list(MODELS))
def test_a_silent_spec_takes_the_defaults_of_its_model(model: str) -> None:
    card, request = MODELS[model], resolve_request(spec_of(model), UID)
    d = card.defaults
    assert (request.width, request.height, request.frames, request.fps) == (
        d.width,
        d.height,
        d.frames,
        d.fps,
    )
    assert (request.steps, request.shift, request.negative_prompt) == (d.steps, d.shift, d.negative_prompt)
    assert (request.guidance_high, request.guidance_low) == d.guidance


def test_the_seed_is_32_bits_of_the_uid_unless_given() -> None:
    expected = int(hashlib.sha256(UID.encode()).hexdigest()[:8], 16)
    assert request_of("wan-tiny").seed == expected
    assert request_of("wan-tiny", seed=0).seed == 0


def test_an_empty_negative_prompt_is_not_the_default_one() -> None:
    assert request_of("t2v-A14B", negative_prompt="").negative_prompt == ""


@pytest.mark.parametrize(
    ("model", "fields", "problem"),
    [
        pytest.param(
            "t2v-A14B", {"frames": 82}, "spec.frames: 82 is not 4k+1; nearest: 81, 85", id="not 4k+1"
        ),
        pytest.param("t2v-A14B", {"frames": 4}, "spec.frames: 4 is not 4k+1; nearest: 1, 5", id="few frames"),
        pytest.param(
            "wan-tiny",
            {"frames": 21},
            "spec.frames: 21 is more than wan-tiny makes, 17; nearest: 17",
            id="too many frames",
        ),
        pytest.param(
            "ti2v-5B",
            {"resolution": "1280x720"},
            "spec.resolution: 1280x720 is not a multiple of 32 for ti2v-5B; nearest: 1280x704",
            id="720 on 32, where 736 would be too large",
        ),
        pytest.param(
            "ti2v-5B",
            {"resolution": "640x360"},
            "spec.resolution: 640x360 is not a multiple of 32 for ti2v-5B; nearest: 640x352, 640x384",
            id="360 on 32",
        ),
        pytest.param(
            "t2v-A14B",
            {"resolution": "1920x1088"},
            "spec.resolution: 1920x1088 is 2088960 pixels, t2v-A14B makes at most 921600; nearest: 1264x720",
            id="too large",
        ),
        pytest.param(
            "t2v-A14B",
            {"image": IMAGE},
            "spec.image: t2v-A14B takes no image; nearest: i2v-A14B, ti2v-5B",
            id="image for text-to-video",
        ),
        pytest.param(
            "wan-tiny",
            {"image": IMAGE},
            "spec.image: wan-tiny takes no image; nearest: wan-tiny-i2v",
            id="image for the tiny text-to-video",
        ),
        pytest.param(
            "i2v-A14B",
            {"image": None},
            "spec.image: missing; i2v-A14B starts from an image: s3://BUCKET/KEY",
            id="no image for image-to-video",
        ),
        pytest.param(
            "I2V-5B",
            {},
            "spec.image: missing; ti2v-5B starts from an image: s3://BUCKET/KEY",
            id="I2V-5B is ti2v-5B with an image",
        ),
        pytest.param(
            "t2v-A14B",
            {"guidance": {"scale": 5}},
            "spec.guidance: t2v-A14B has two experts: give high and low",
            id="scale for two experts",
        ),
        pytest.param(
            "ti2v-5B",
            {"guidance": {"high": 4, "low": 3}},
            "spec.guidance: ti2v-5B has one expert: give scale",
            id="high and low for one expert",
        ),
    ],
)
def test_a_rule_of_the_model_is_told_with_the_nearest_valid_values(
    model: str, fields: dict[str, Any], problem: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        resolve_request(spec_of(model, **fields), UID)
    assert caught.value.problems == (problem,)


@pytest.mark.parametrize(
    ("model", "fields", "problem"),
    [
        ("svd", {}, "spec.model: svd cannot run: it is a U-Net"),
        ("svd", {"frames": 15}, "spec.frames: 15 is more than svd makes, 14; nearest: 14"),
        ("svd-xt", {"frames": 14}, "spec.frames: 14 is fewer than svd-xt makes, 25; nearest: 25"),
        ("svd", {"resolution": "1000x576"}, "spec.resolution: 1000x576 is not a multiple of 64 for svd"),
        ("svd", {"image": None}, "spec.image: missing; svd starts from an image"),
        (
            "animatediff",
            {"image": "s3://inputs/a.png"},
            "spec.image: animatediff takes no image; nearest: i2v-A14B",
        ),
    ],
)
def test_another_architecture_is_refused_by_its_own_rules(model, fields, problem) -> None:
    image = {"image": "s3://inputs/a.png"} if model.startswith("svd") else {}
    with pytest.raises(InvalidInput) as caught:
        resolve_request(spec_of(model, **{**image, **fields}), UID)
    assert any(found.startswith(problem) for found in caught.value.problems), caught.value.problems
    assert caught.value.problems[0].startswith(f"spec.model: {model} cannot run: ")
    assert caught.value.problems[0].split("; ")[-1].startswith("nearest: t")


def test_all_problems_are_told_at_once() -> None:
    wrong = spec_of("ti2v-5B", frames=82, resolution="1280x720", guidance={"high": 4, "low": 3})
    with pytest.raises(InvalidInput) as caught:
        resolve_request(wrong, UID)
    assert [p.split(":")[0] for p in caught.value.problems] == [
        "spec.frames",
        "spec.resolution",
        "spec.guidance",
    ]


def test_guidance_of_one_expert_counts_for_all_steps() -> None:
    request = request_of("ti2v-5B", guidance={"scale": 6.5})
    assert (request.guidance_high, request.guidance_low) == (6.5, 6.5)


def test_ti2v_takes_an_image_or_none() -> None:
    assert request_of("ti2v-5B").image is None
    assert request_of("ti2v-5B", image=IMAGE).image == IMAGE


def test_a_fallback_model_gets_the_users_fields_and_its_own_defaults() -> None:
    spec = spec_of("t2v-A14B", fallback={"models": ["t2v-1.3B"]}, frames=49)
    request = resolve_request(spec, UID, "t2v-1.3B")
    assert (request.model, request.frames, request.steps) == (
        "t2v-1.3B",
        49,
        MODELS["t2v-1.3B"].defaults.steps,
    )


def test_a_fallback_model_that_refuses_the_users_fields_says_so() -> None:
    spec = spec_of("t2v-A14B", fallback={"models": ["ti2v-5B"]}, resolution="1280x720")
    with pytest.raises(InvalidInput, match="multiple of 32 for ti2v-5B"):
        resolve_request(spec, UID, "ti2v-5B")


def test_an_unknown_fallback_model_is_named_by_its_place() -> None:
    spec = spec_of("t2v-A14B", fallback={"models": ["t2v-1.3B", "nonsense"]})
    with pytest.raises(InvalidInput) as caught:
        resolve_request(spec, UID, "nonsense")
    assert caught.value.problems[0].startswith("spec.fallback.models[1]: ")


def test_a_model_that_cannot_run_yet_says_why_and_resolves_all_the_same() -> None:
    assert "audio" in cannot_run(MODELS["s2v-14B"])
    assert cannot_run(MODELS["t2v-A14B"]) == ""
    assert resolve_request(spec_of("s2v-14B"), UID).model == "s2v-14B"


@given(st.sampled_from([c for c in MODELS.values() if not c.cannot_run]), st.integers(1, 1001))
def test_nearest_frames_are_valid_themselves(card: Any, frames: int) -> None:
    near = card.frame_rule.nearest(frames)
    assert near
    for value in near:
        assert fill_request(card, spec_of(card.id, frames=value), UID).frames == value


@given(st.sampled_from(list(MODELS.values())), st.integers(16, 9999), st.integers(16, 9999))
def test_the_largest_size_is_valid_and_no_larger_than_asked(card: Any, width: int, height: int) -> None:
    w, h = largest_size(card, width, height, card.max_pixels)
    assert w % card.stride == 0 == h % card.stride
    assert w <= max(width, card.stride)
    assert h <= max(height, card.stride)
