"""How long a finished resource stays."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.wan_operator.worlds import NOW, ended, failed, result_of, then, words, world_of
from wan_core.api.status import Phase
from wan_core.errors import Category
from wan_operator.decide import decide
from wan_operator.world import World

KEEP = {"retention": {"succeeded": "1h", "failed": "24h"}}
GOOD, BAD = ended(result=result_of()), failed(1, Category.ACCESS_DENIED)


def finished(*attempts: Any, **spec: Any) -> World:
    """A resource that has just finished, its attempts deleted."""
    return replace(then(world_of(*attempts, **spec)), attempts=())


CASES = [
    pytest.param(finished(GOOD, **KEEP), "59m", [], 60, id="it stays for its time"),
    pytest.param(finished(GOOD, **KEEP), "60m", ["delete resource"], None, id="then it is deleted"),
    pytest.param(finished(BAD, **KEEP), "60m", [], 23 * 3600, id="a failed one stays for its own time"),
    pytest.param(finished(BAD, **KEEP), "1441m", ["delete resource"], None, id="a failed one goes too"),
    pytest.param(finished(cancel=True, **KEEP), "1441m", ["delete resource"], None, id="a cancelled one too"),
    pytest.param(finished(GOOD), "99999m", [], None, id="without retention it stays"),
    pytest.param(
        finished(GOOD, retention={"failed": "0s"}),
        "99999m",
        [],
        None,
        id="that is for failures only",
    ),
    pytest.param(finished(BAD, retention={"failed": "0s"}), "0m", ["delete resource"], None, id="at once"),
    pytest.param(finished(problems=("spec.a: wrong",)), "99999m", [], None, id="an unreadable one stays"),
]


@pytest.mark.parametrize(("world", "later", "does", "again"), CASES)
def test_retention(world: World, later: str, does: list[str], again: float | None) -> None:
    decision = decide(world, NOW + timedelta(minutes=int(later.removesuffix("m"))))
    assert (words(decision), decision.requeue_after_s) == (does, again)
    assert decision.status == world.status


@pytest.mark.parametrize(("failed_for", "again"), [("24h", 24 * 3600), ("0s", 0), (None, None)])
def test_whoever_finishes_it_comes_back_when_its_time_is_over(
    failed_for: str | None, again: float | None
) -> None:
    retention = {"failed": failed_for} if failed_for is not None else {}
    decision = decide(world_of(BAD, retention=retention), NOW)
    assert decision.status.phase is Phase.FAILED
    assert decision.requeue_after_s == again


def test_attempts_are_deleted_before_the_resource() -> None:
    world = then(world_of(GOOD, retention={"succeeded": "0s"}))
    assert words(decide(world, NOW)) == ["delete 1"]
    assert words(decide(replace(world, attempts=()), NOW)) == ["delete resource"]


def test_a_retention_may_be_given_after_the_end() -> None:
    world = finished(GOOD)
    assert world.spec is not None
    later = world_of(**KEEP).spec
    assert later is not None
    decision = decide(replace(world, spec=later), NOW)
    assert (words(decision), decision.requeue_after_s) == ([], 3600)
