from __future__ import annotations

import pytest

from bench.planning.slices import CASES
from tests.wan_core.plan.worlds import request_of
from wan_core.catalog.models import MODELS
from wan_core.plan.shapes import count_tokens


@pytest.mark.parametrize("name", CASES)
def test_latents_are_those_of_the_shape_that_is_named(name: str) -> None:
    model, (frames, height, width), times = CASES[name]
    resolution, _, count = name.rpartition(" ")[2].rpartition("x")
    request = request_of(model, resolution=resolution, frames=int(count))
    assert frames * height * width // 4 == count_tokens(MODELS[model], request)
    assert times == (frames if "image" in name else 1)
