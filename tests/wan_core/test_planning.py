"""The documented functions: each answers its question, without torch, and none says what another denies."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.wan_core.plan.worlds import inventory_of, spec_of
from wan_core import planning
from wan_core.api.spec import Quality
from wan_core.catalog.gpus import GPUS
from wan_core.catalog.models import ENTRIES, MODELS
from wan_core.plan.profile import one_node

QUESTIONS = ("capabilities", "profile", "compatibility", "validate", "recommend", "explain", "fallbacks")
H100 = next(card for card in GPUS if card.name == "H100 SXM")


def test_each_function_stands_in_the_table_with_its_question() -> None:
    assert planning.__doc__ is not None
    for name in QUESTIONS:
        assert f"`{name}` |" in planning.__doc__
        assert callable(getattr(planning, name))


@pytest.mark.slow
def test_they_need_the_light_half_alone() -> None:
    code = (
        "import sys, wan_core.planning\n"
        "print([m for m in ('torch', 'numpy', 'boto3', 'kopf', 'aiohttp', 'rich') if m in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"


def test_every_entry_of_the_catalogue_has_capabilities() -> None:
    for card in ENTRIES.values():
        can = planning.capabilities(card)
        assert can.id == card.id
        assert can.licence.name
        assert can.components


def test_what_is_recommended_is_what_explains_as_the_best() -> None:
    inventory = one_node(H100)
    for way in planning.recommend("a corgi", inventory).recommendations:
        said = planning.explain(way.spec, inventory)
        assert said.ladder.runnable[0].plan == way.rung.plan


def test_what_is_recommended_is_valid() -> None:
    advice = planning.recommend("a corgi", one_node(H100), image="s3://inputs/a.png", image_size=(1024, 768))
    for way in advice.recommendations:
        manifest = (
            '{"apiVersion": "wan.video/v1alpha1", "kind": "VideoGeneration", "metadata": {"name": "v"},'
            f' "spec": {way.spec.model_dump_json(by_alias=True, exclude_defaults=True)}}}'
        )
        (document,) = planning.validate(manifest).documents
        assert document.valid, document.problems


def test_of_a_model_by_area_the_image_is_not_cut() -> None:
    advice = planning.recommend("x", one_node(H100, 256), image="s3://inputs/a.png", image_size=(1000, 1000))
    way = next(way for way in advice.recommendations if way.spec.model == "i2v-A14B")
    assert way.request.width == way.request.height


def test_a_profile_says_of_a_model_what_compatibility_says_of_the_gpu() -> None:
    of_gpu = {s.model: s for s in planning.profile(H100)}
    for model, setting in of_gpu.items():
        assert setting in planning.compatibility(MODELS[model], [H100])


@pytest.mark.parametrize("quality", [Quality.LOSSLESS, Quality.NEAR])
def test_nothing_is_recommended_that_loses_more_than_is_allowed(quality: Quality) -> None:
    rtx = next(card for card in GPUS if card.name == "RTX 3070")
    for way in planning.recommend("x", one_node(rtx), quality=quality).recommendations:
        assert way.rung.tier.rank <= quality.rank


def test_an_explanation_says_what_comes_after_each_failure() -> None:
    said = planning.explain(spec_of("t2v-1.3B"), inventory_of("NVIDIA-H100-80GB-HBM3"))
    assert said.fallbacks == planning.fallbacks(said.ladder)
    assert said.conclusion.startswith(said.ladder.runnable[0].plan.label)
