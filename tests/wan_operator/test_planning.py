"""From a spec to requests."""

from __future__ import annotations

from tests.wan_operator.worlds import world_of
from wan_operator.planning import Planned, plan_request


def test_a_model_named_twice_has_its_rungs_once() -> None:
    planned = plan_request(world_of(fallback={"models": ["t2v-1.3B", "t2v-1.3B"]}))
    assert isinstance(planned, Planned)
    labels = [rung.plan.label for rung in planned.ladder.rungs]
    assert len(labels) == len(set(labels))
