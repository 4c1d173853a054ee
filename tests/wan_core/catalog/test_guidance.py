"""One scale for one expert, two for two."""

from __future__ import annotations

from typing import Any

import pytest

from wan_core.api.spec import Guidance
from wan_core.catalog.guidance import choose_scales, guidance_fault
from wan_core.catalog.models import MODELS

ONE, TWO = MODELS["ti2v-5B"], MODELS["t2v-A14B"]
SCALE, PAIR = {"scale": 2}, {"high": 3, "low": 2}


@pytest.mark.parametrize(
    ("card", "given", "fault"),
    [
        pytest.param(ONE, None, "", id="none for one"),
        pytest.param(ONE, SCALE, "", id="a scale for one"),
        pytest.param(ONE, PAIR, "ti2v-5B has one expert: give scale", id="a pair for one"),
        pytest.param(ONE, {}, "ti2v-5B has one expert: give scale", id="nothing in it for one"),
        pytest.param(TWO, None, "", id="none for two"),
        pytest.param(TWO, PAIR, "", id="a pair for two"),
        pytest.param(TWO, SCALE, "t2v-A14B has two experts: give high and low", id="a scale for two"),
        pytest.param(TWO, {"high": 3}, "t2v-A14B has two experts: give high and low", id="half a pair"),
        pytest.param(TWO, SCALE | PAIR, "t2v-A14B has two experts: give high and low", id="all three"),
    ],
)
def test_a_model_takes_as_many_scales_as_it_has_experts(card: Any, given: Any, fault: str) -> None:
    assert guidance_fault(card, None if given is None else Guidance(**given)) == fault


@pytest.mark.parametrize(
    ("card", "given", "scales"),
    [
        pytest.param(ONE, None, (5, 5), id="one's own"),
        pytest.param(ONE, SCALE, (2, 2), id="a scale counts for all noise"),
        pytest.param(TWO, None, (4, 3), id="two's own"),
        pytest.param(TWO, PAIR, (3, 2), id="a pair"),
    ],
)
def test_what_is_not_given_is_the_models_own(card: Any, given: Any, scales: tuple[float, float]) -> None:
    assert choose_scales(card.defaults, None if given is None else Guidance(**given)) == scales
