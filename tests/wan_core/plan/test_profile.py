"""What runs on a GPU, and where a model runs."""

from __future__ import annotations

import pytest

from wan_core.api.spec import Quality
from wan_core.catalog.gpus import GPUS, find_gpu
from wan_core.catalog.models import MODELS
from wan_core.plan.ladder import build_ladder
from wan_core.plan.profile import Setting, compatibility, one_node, profile, request_for

SMALL = {"16 GB": "RTX 4080", "10 GB": "RTX 3080 10GB", "8 GB": "RTX 3070"}
RUNNABLE = [card for card in MODELS.values() if not card.cannot_run]


@pytest.mark.parametrize("name", SMALL.values(), ids=SMALL)
def test_small_cards_have_settings_that_fit(name: str) -> None:
    gpu = find_gpu(name)
    assert gpu is not None
    fitting = [setting for setting in profile(gpu) if setting.fits]
    assert {"ti2v-5B", "t2v-1.3B"} <= {setting.model for setting in fitting}
    for setting in fitting:
        assert setting.rung.need.peak_gib <= gpu.memory_gib
        assert setting.rung.time is not None


@pytest.mark.parametrize("name", ["H100 SXM", "RTX 4090", "RTX 3070", "T4", "MI300X"])
def test_its_plan_is_the_one_that_the_ladder_takes(name: str) -> None:
    gpu = find_gpu(name)
    assert gpu is not None
    for setting in profile(gpu):
        card = MODELS[setting.model]
        shape = {"width": setting.width, "height": setting.height, "frames": setting.frames}
        request = request_for(card, setting.quality).model_copy(update=shape)
        ladder = build_ladder((request,), one_node(gpu))
        assert bool(ladder.runnable) == setting.fits
        if setting.fits:
            assert ladder.runnable[0].plan == setting.rung.plan
            assert ladder.runnable[0].time == setting.rung.time


def pixels(setting: Setting) -> int:
    return setting.width * setting.height * setting.frames


@pytest.mark.parametrize(
    ("name", "both"), [("RTX 4090", set()), ("RTX 4080", set()), ("MI210", {"t2v-A14B", "i2v-A14B"})]
)
def test_a_lower_quality_is_told_about_only_where_it_makes_more(name: str, both: set[str]) -> None:
    gpu = find_gpu(name)
    assert gpu is not None
    lossless, near = (
        {s.model: s for s in profile(gpu) if s.fits and s.quality is quality}
        for quality in (Quality.LOSSLESS, Quality.NEAR)
    )
    assert lossless.keys() & near.keys() == both
    assert all(pixels(near[model]) > pixels(lossless[model]) for model in both)


def test_more_host_memory_takes_no_model_away() -> None:
    gpu = find_gpu("RTX 4090")
    assert gpu is not None
    few, many = ({s.model for s in profile(gpu, host_memory_gib=gib) if s.fits} for gib in (64, 256))
    assert few < many


def test_where_nothing_fits_the_reason_has_its_number() -> None:
    gpu = find_gpu("T4")
    assert gpu is not None
    refused = [setting for setting in profile(gpu, host_memory_gib=8) if not setting.fits]
    assert len(refused) == 4
    assert all(any(digit.isdigit() for digit in setting.rung.reason) for setting in refused)


def test_a_model_is_told_about_on_every_gpu() -> None:
    places = compatibility(MODELS["wan-tiny"])
    assert {place.gpu for place in places} == {card.name for card in GPUS}
    assert {card.vendor for card in GPUS if card.name in {p.gpu for p in places if not p.fits}} == {"Intel"}


@pytest.mark.slow
@pytest.mark.parametrize("card", RUNNABLE, ids=lambda card: card.id)
def test_every_model_that_can_run_fits_some_gpu(card: object) -> None:
    assert any(place.fits for place in compatibility(card))  # type: ignore[arg-type]
