"""Of those that wait for room a few are looked at, and fewer made anew, each in its turn."""

from __future__ import annotations

from dataclasses import replace

from tests.wan_operator.worlds import NOW, world_of
from wan_core.api.status import Phase, Status
from wan_core.plan.inventory import Inventory
from wan_operator.cluster.objects import Key
from wan_operator.cluster.queued import LOOKS, MADE_ANEW, Queued
from wan_operator.decide import decide
from wan_operator.world import Decision, StopAttempt

QUEUED = Status(phase=Phase.QUEUED, reason="Unschedulable")
LOOKED_AT = replace(world_of(), free=Inventory())
GIVES_WAY = Decision((StopAttempt(1, "another plan fits"),), QUEUED)


def keys(count: int) -> list[Key]:
    return [("films", f"v{number}") for number in range(count)]


def line(count: int) -> Queued:
    queued = Queued()
    for key in keys(count):
        queued.keep(key, QUEUED)
    return queued


def test_each_has_its_turn() -> None:
    queued = line(2 * LOOKS + 1)
    turns = [queued.choose() for _ in range(3)]
    assert [len(turn) for turn in turns] == [LOOKS] * 3
    assert {key for turn in turns for key in turn} == set(keys(2 * LOOKS + 1))


def test_only_those_whose_turn_it_is_may_be_made_anew() -> None:
    queued = line(LOOKS + 1)
    chosen = queued.choose()
    assert [queued.may_be_made_anew(key) for key in keys(LOOKS + 1)] == [k in chosen for k in keys(LOOKS + 1)]


def test_a_few_give_way_and_the_others_wait_for_the_next_turn() -> None:
    queued = line(LOOKS)
    chosen = queued.choose()
    for key in chosen[:MADE_ANEW]:
        queued.note(key, LOOKED_AT, GIVES_WAY)
    assert not any(queued.may_be_made_anew(key) for key in chosen)
    assert set(queued.choose()) == set(chosen[MADE_ANEW:])
    assert queued.may_be_made_anew(chosen[-1])


def test_who_stays_costs_nothing() -> None:
    queued = line(1)
    (key,) = queued.choose()
    queued.note(key, LOOKED_AT, Decision((), QUEUED))
    queued.note(key, world_of(), decide(world_of(), NOW))
    assert queued.may_be_made_anew(key)


def test_who_has_room_or_waits_for_something_else_is_not_in_the_line() -> None:
    queued = line(3)
    first, second, _ = keys(3)
    queued.keep(first, Status(phase=Phase.RUNNING, reason="Denoising"))
    queued.keep(second, Status(phase=Phase.QUEUED, reason="PodRefused"))
    assert queued.choose() == (keys(3)[2],)
