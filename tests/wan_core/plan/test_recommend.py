"""Which model and settings: in the order that is stated, and no surer than what was measured."""

from __future__ import annotations

from typing import Any

import pytest

from wan_core.api.spec import ImageFit
from wan_core.catalog.models import MODELS
from wan_core.plan.by_hand import parse_gpus
from wan_core.plan.duration import TimeEstimate
from wan_core.plan.efficiency import Basis
from wan_core.plan.recommend import Advice, confidence_of, recommend
from wan_core.plan.span import NOTHING, point


def advice_on(gpus: str, host_gib: float = 256, **wish: Any) -> Advice:
    return recommend("a corgi surfing", parse_gpus(gpus, host_memory_gib=host_gib), **wish)


def time_of(denoise_s: float, load_s: float, basis: Basis) -> TimeEstimate:
    return TimeEstimate(
        load_s=point(load_s),
        compile_s=NOTHING,
        text_s=NOTHING,
        denoise_s=point(denoise_s),
        decode_s=NOTHING,
        upload_s=NOTHING,
        seconds_per_step=point(1),
        basis=basis,
    )


def test_models_with_more_parameters_stand_first_and_the_tiny_ones_last() -> None:
    ways = advice_on("H100").recommendations
    real = [way.parameters for way in ways if not way.demonstrates]
    assert len(real) > 1
    assert real == sorted(real, reverse=True)
    assert [way.demonstrates for way in ways] == sorted(way.demonstrates for way in ways)


def test_every_model_is_recommended_or_refused_with_a_reason() -> None:
    advice = advice_on("H100")
    named = [way.spec.model for way in advice.recommendations] + [r.split(":")[0] for r in advice.refused]
    assert sorted(named) == sorted(MODELS)
    assert "i2v-A14B: starts from an image, and there is none" in advice.refused


def test_of_a_model_that_does_not_fit_it_is_told_what_the_device_lacks_that_is_there() -> None:
    (why,) = [text for text in advice_on("cpu", host_gib=1).refused if text.startswith("wan-tiny: ")]
    assert "of host memory, the largest node, a machine without a GPU, has 1.0 GiB" in why


def test_what_is_too_long_for_the_time_is_made_shorter_by_the_models_rule() -> None:
    unhurried = advice_on("RTX4090").recommendations
    hurried = advice_on("RTX4090", within_s=300.0).recommendations
    whole = next(way for way in unhurried if way.spec.model == "ti2v-5B")
    short = next(way for way in hurried if way.spec.model == "ti2v-5B")
    assert whole.rung.seconds is not None
    assert short.rung.seconds is not None
    assert whole.rung.seconds > 300 >= short.rung.seconds
    assert short.within
    assert 1 < short.request.frames < whole.request.frames
    assert short.request.frames in MODELS["ti2v-5B"].frame_rule.choices


def test_an_image_of_another_aspect_is_cut_and_that_is_said() -> None:
    advice = advice_on("H100", image="s3://inputs/a.png", image_size=(1000, 1000))
    way = next(way for way in advice.recommendations if way.spec.model == "ti2v-5B")
    assert way.spec.image_fit is ImageFit.CROP
    assert any(reason.startswith("the image of 1000x1000: takes the box") for reason in way.reasons)


@pytest.mark.parametrize(
    ("denoise_s", "load_s", "basis", "level"),
    [
        pytest.param(80, 20, "measured", "high", id="nearly all was measured"),
        pytest.param(79, 21, "measured", "medium", id="most was measured"),
        pytest.param(100, 0, "published", "medium", id="all was published of others"),
        pytest.param(49, 51, "measured", "low", id="little was measured"),
        pytest.param(100, 0, "unmeasured", "low", id="nothing was"),
    ],
)
def test_confidence_is_the_share_of_the_time_that_was_measured(
    denoise_s: float, load_s: float, basis: Basis, level: str
) -> None:
    found = confidence_of(time_of(denoise_s, load_s, basis))
    assert found.level == level
    known = denoise_s / 100
    assert (found.measured, found.published) == (
        known if basis == "measured" else 0,
        known if basis == "published" else 0,
    )
    assert found.why.startswith(f"{denoise_s} % of the time is denoising")


def test_of_an_unknown_gpu_nothing_is_sure() -> None:
    assert (confidence_of(None).level, confidence_of(None).measured) == ("low", 0.0)
