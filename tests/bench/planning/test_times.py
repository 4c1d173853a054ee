from __future__ import annotations

import pytest

from bench.planning.times import ANCHORS, request_of, rows, verdict
from wan_core.catalog.gpus import GPUS
from wan_core.catalog.models import MODELS
from wan_core.plan.shapes import count_tokens
from wan_core.plan.span import Span


def test_every_anchor_is_of_a_card_and_a_shape_that_there_are() -> None:
    assert {anchor.gpu for anchor in ANCHORS} <= {gpu.name for gpu in GPUS}
    assert len(rows()) == len(ANCHORS) + 2
    for anchor in ANCHORS:
        assert count_tokens(MODELS[anchor.model], request_of(anchor)) > 20_000


@pytest.mark.parametrize(
    ("seconds", "words"), [(2.0, "yes"), (1.95, "yes"), (4.0, "**+33%**"), (1.0, "**-50%**")]
)
def test_what_lies_outside_says_by_how_much(seconds: float, words: str) -> None:
    assert verdict(seconds, Span(2.0, 3.0)) == words
