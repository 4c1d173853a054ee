"""Of those that are suspended a few are looked at each time, once for what is busy now."""

from __future__ import annotations

from tests.wan_operator.cluster.test_queued import keys
from wan_core.api.status import Phase, Status
from wan_core.plan.inventory import Inventory
from wan_operator.cluster.suspended import LOOKS, Suspended
from wan_operator.reasons import Reason

HELD = Status(phase=Phase.SUSPENDED, reason=Reason.SUSPENDED)
EMPTY, BUSY = Inventory(), Inventory()


def held(count: int) -> Suspended:
    suspended = Suspended()
    for key in keys(count):
        suspended.keep(key, HELD)
    return suspended


def test_each_is_looked_at_once_for_what_is_busy_now() -> None:
    suspended = held(LOOKS + 1)
    turns = [suspended.choose(lambda: EMPTY) for _ in range(3)]
    assert [len(turn) for turn in turns] == [LOOKS, 1, 0]
    assert len(suspended.choose(lambda: BUSY)) == LOOKS


def test_each_has_its_turn_however_often_something_changes() -> None:
    suspended = held(3 * LOOKS)
    turns = [suspended.choose(Inventory) for _ in range(3)]
    assert {key for turn in turns for key in turn} == set(keys(3 * LOOKS))


def test_where_none_is_suspended_nothing_is_counted() -> None:
    def look() -> Inventory:
        raise AssertionError("it looked")

    suspended = held(1)
    suspended.keep(keys(1)[0], Status(phase=Phase.RUNNING, reason="Denoising"))
    assert suspended.choose(look) == ()
