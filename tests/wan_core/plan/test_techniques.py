from __future__ import annotations

import pytest
from pydantic import ValidationError

from wan_core.api.spec import Quality
from wan_core.catalog.gpu_card import Capability
from wan_core.catalog.models import MODELS
from wan_core.plan.candidates import list_plans
from wan_core.plan.techniques import GROUPS, TECHNIQUES, Plan, suits


def test_every_technique_says_what_it_costs_and_what_it_loses() -> None:
    for key, technique in TECHNIQUES.items():
        assert key == technique.id
        assert all((technique.summary, technique.loses, technique.memory, technique.time, technique.devices))
        assert bool(technique.quality) == (technique.tier is not Quality.LOSSLESS)
        assert bool(technique.needs.beyond) == (technique.needs.max_capability is not None)


def test_the_order_of_the_table_is_that_of_its_groups() -> None:
    groups = [technique.group for technique in TECHNIQUES.values()]
    assert groups == sorted(groups, key=GROUPS.index)


FP32 = ("fp32", "block-streaming", "vae-tiling")
BF16 = ("bf16", "resident")


@pytest.mark.parametrize(
    ("techniques", "kind", "capability", "why"),
    [
        pytest.param(BF16, "cuda", (8, 0), "", id="bf16 on Ampere"),
        pytest.param(BF16, "cuda", (12, 0), "", id="bf16 on Blackwell"),
        pytest.param(
            BF16, "cuda", (7, 5), "needs compute capability 8.0 for bf16, T4 has 7.5", id="bf16 on Turing"
        ),
        pytest.param(BF16, "cuda", None, "", id="bf16 where nothing is known"),
        pytest.param(FP32, "cuda", (7, 5), "", id="fp32 on Turing"),
        pytest.param(FP32, "cuda", (5, 2), "", id="fp32 on Maxwell"),
        pytest.param(
            FP32, "cuda", (3, 7), "needs compute capability 5.0 for fp32, T4 has 3.7", id="fp32 on Kepler"
        ),
        pytest.param(
            FP32,
            "cuda",
            (8, 0),
            "is for compute capability 7.5 or less (later ones have bf16), T4 has 8.0",
            id="fp32 on Ampere",
        ),
        pytest.param(
            FP32,
            "cuda",
            None,
            "is for compute capability 7.5 or less (later ones have bf16), that of T4 is unknown",
            id="fp32 where nothing is known",
        ),
        pytest.param(BF16, "cpu", None, "is for cuda, T4 is cpu", id="another kind of device"),
    ],
)
def test_what_suits_a_device_and_why_it_does_not(
    techniques: tuple[str, ...], kind: str, capability: Capability | None, why: str
) -> None:
    plan = Plan(model="m", device="cuda", techniques=techniques)
    assert suits(plan, kind, capability, "T4") == why
    assert suits(TECHNIQUES[techniques[0]], kind, capability, "T4") == (
        why if kind == "cuda" or techniques[0] != "bf16" else ""
    )


@pytest.mark.parametrize("major", range(5, 13))
@pytest.mark.parametrize("minor", range(10))
def test_each_gpu_has_one_precision(major: int, minor: int) -> None:
    suited = [t for t in ("bf16", "fp32") if not suits(TECHNIQUES[t], "cuda", (major, minor))]
    assert len(suited) == (0 if (7, 5) < (major, minor) < (8, 0) else 1)  # no GPU is between these two


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
