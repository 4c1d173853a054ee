from __future__ import annotations

import pytest
from pydantic import ValidationError

from wan_core.api.spec import Quality
from wan_core.catalog.models import MODELS
from wan_core.plan.ladder import list_plans
from wan_core.plan.techniques import TECHNIQUES, Plan


def test_every_technique_says_what_it_costs_and_what_it_loses() -> None:
    for key, technique in TECHNIQUES.items():
        assert key == technique.id
        assert all((technique.summary, technique.loses, technique.memory, technique.time, technique.devices))
        assert bool(technique.quality) == (technique.tier is not Quality.LOSSLESS)


@pytest.mark.parametrize(
    ("device", "techniques", "says"),
    [
        pytest.param("cuda", ("bf16", "resident", "magic"), "no such technique: magic", id="unknown"),
        pytest.param("cuda", ("bf16",), "no technique of group placement", id="no placement"),
        pytest.param("cuda", ("resident",), "no technique of group precision", id="no precision"),
        pytest.param("cuda", ("bf16", "resident", "block-streaming"), "more than one", id="two placements"),
        pytest.param("cuda", ("resident", "bf16"), "not in the order", id="wrong order"),
        pytest.param("cpu", ("bf16", "component-offload"), "not for cpu", id="offload on a CPU"),
        pytest.param("tpu", ("bf16", "resident"), "cuda", id="unknown device"),
    ],
)
def test_an_impossible_plan_cannot_be_written(device: str, techniques: tuple[str, ...], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Plan(model="m", device=device, techniques=techniques)  # type: ignore[arg-type]


def test_labels_are_unique_among_all_plans_of_all_models() -> None:
    labels = [plan.label for card in MODELS.values() for plan in list_plans(card)]
    assert len(labels) == len(set(labels))
    assert "wan-tiny/cpu/bf16+resident" in labels


def test_only_models_for_a_cpu_have_plans_for_it() -> None:
    on_cpu = {card.id for card in MODELS.values() for plan in list_plans(card) if plan.device == "cpu"}
    assert on_cpu == {"wan-tiny", "wan-tiny-i2v"}


def test_the_tier_of_a_plan_is_its_worst_technique() -> None:
    assert Plan(model="m", device="cuda", techniques=("bf16", "resident")).tier is Quality.LOSSLESS
    assert Plan(model="m", device="cuda", techniques=("bf16", "resident", "vae-tiling")).tier is Quality.NEAR
