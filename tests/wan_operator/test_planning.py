"""From a spec to requests."""

from __future__ import annotations

import pytest

from tests.wan_operator.worlds import spec_of, world_of
from wan_core.plan.asked import build_requests
from wan_operator.planning import Planned, plan_request


@pytest.mark.parametrize(
    ("fallback", "models"),
    [
        ([], ["t2v-1.3B"]),
        (["ti2v-5B", "t2v-A14B"], ["t2v-1.3B", "ti2v-5B", "t2v-A14B"]),
        (["t2v-1.3B"] * 8, ["t2v-1.3B"]),
        (["ti2v-5B", "TI2V-5B", "wan_implementation:ti2v-5B"], ["t2v-1.3B", "ti2v-5B"]),
    ],
    ids=["none", "two", "itself eight times", "one by several names"],
)
def test_each_model_is_requested_once(fallback: list[str], models: list[str]) -> None:
    requests = build_requests(spec_of(fallback={"models": fallback}), "uid")
    assert [request.model for request in requests] == models


def test_a_model_named_twice_has_its_rungs_once() -> None:
    planned = plan_request(world_of(fallback={"models": ["t2v-1.3B", "t2v-1.3B"]}))
    assert isinstance(planned, Planned)
    labels = [rung.plan.label for rung in planned.ladder.rungs]
    assert len(labels) == len(set(labels))
