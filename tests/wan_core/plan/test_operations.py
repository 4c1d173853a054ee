from __future__ import annotations

import pytest

from tests.wan_core.plan.worlds import request_of
from wan_core.catalog.models import MODELS
from wan_core.plan.operations import count_operations, step_operations, text_flops


@pytest.mark.parametrize(
    ("model", "tokens", "tera"),
    [("t2v-A14B", 32_760, 1678), ("t2v-A14B", 75_600, 6523), ("ti2v-5B", 27_280, 517)],
)
def test_operations_of_a_forward_come_to_the_published_table(model: str, tokens: int, tera: int) -> None:
    assert count_operations(MODELS[model].transformer, tokens).total / 1e12 == pytest.approx(tera, rel=0.002)


def test_attention_is_most_of_a_long_video() -> None:
    found = count_operations(MODELS["t2v-A14B"].transformer, 75_600)
    assert found.attention / found.total == pytest.approx(0.72, abs=0.01)


def test_a_text_encoder_computes_nothing_for_its_embedding_table() -> None:
    assert text_flops(MODELS["t2v-A14B"]) / 1e12 == pytest.approx(2 * 2 * 4.63e9 * 512 / 1e12, rel=0.01)


@pytest.mark.parametrize(
    ("guidance", "passes"),
    [
        pytest.param({"high": 4, "low": 3}, 2, id="both"),
        pytest.param({"high": 2, "low": 1}, 2, id="one of two"),
        pytest.param({"high": 1, "low": 1}, 1, id="none"),
    ],
)
def test_guidance_doubles_the_forwards(guidance: dict[str, float], passes: int) -> None:
    card, request = MODELS["t2v-A14B"], request_of("t2v-A14B", guidance=guidance)
    assert request.passes == passes
    step, forward = step_operations(card, request), count_operations(card.transformer, 75_600)
    assert step.total == pytest.approx(passes * forward.total)
