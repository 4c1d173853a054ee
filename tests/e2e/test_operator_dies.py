"""The operator dies: at any moment, at any write, and nothing is lost, doubled or done twice.

It is killed by SIGKILL and started again by the kubelet; runners go on meanwhile, as they must.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest

from tests.controlplane.faults import Asked
from tests.e2e.bed import SEED, Bed, Options, wait_until
from tests.e2e.films import BIG, Films, script
from tests.e2e.gpus import h200
from tests.e2e.rest import restarts
from tests.e2e.witness import FINISHED, check_one_output

BED = Options(
    runner="scripted",
    nodes=tuple(h200(f"h200-{i}", count=8, memory="2Ti") for i in range(4)),
    namespaces=5,
    proxy=True,
    back_off_s=(0.1, 0.3),
)
KILLS = 12
LIVES_MAX = 60  # far more than a life has writes
LAST_WRITE = ("delete", "jobs")
OOM = {"category": "CUDA_OUT_OF_MEMORY", "message": "as scripted"}


@dataclass(frozen=True)
class Life:
    """What the attempts do, and how they and the resource must end."""

    attempts: tuple[dict[str, Any], ...]
    outcomes: tuple[str, ...]
    phase: str = "Succeeded"

    @property
    def spec(self) -> dict[str, Any]:
        return {**BIG, "prompt": script(*self.attempts)}


def draw_life(chance: Random) -> Life:
    """Most succeed at once; some are interrupted, fall back, or fail for good."""
    seconds = round(chance.uniform(0.1, 4.0), 2)
    upload = {"seconds": seconds, "upload": True}
    lives = (
        Life((upload,), ("Succeeded",)),
        Life(({"seconds": seconds, "exit": 75}, upload), ("Interrupted", "Succeeded")),
        Life((OOM, upload), ("Failed", "Succeeded")),
        Life(({"seconds": seconds, "category": "ACCESS_DENIED"},), ("Failed",), "Failed"),
    )
    return chance.choices(lives, weights=(7, 1, 1, 1))[0]


@pytest.mark.timeout(1500)
def test_killed_at_random_moments_while_200_are_made(films: Films, bed: Bed) -> None:
    chance = Random(SEED)
    lives = {f"film-{i:03}": draw_life(chance) for i in range(200)}
    names, hits = list(lives), 0
    for kill in range(KILLS):
        for name in names[kill::KILLS]:
            films.apply(name, **lives[name].spec)
        time.sleep(chance.uniform(0.0, 6.0))  # the moment of the kill
        hits += not all_finished(films)
        bed.kill_operator()
    assert hits > KILLS // 2, "killed too late to show anything"
    wait_until(lambda: all_finished(films), 1000, lambda: told_unfinished(films))
    ends = {v["metadata"]["name"]: v["status"] for v in bed.api.list(films.path)}
    assert {name: end["phase"] for name, end in ends.items()} == {n: x.phase for n, x in lives.items()}
    outcomes = {name: tuple(a["outcome"] for a in end["attempts"]) for name, end in ends.items()}
    assert outcomes == {name: life.outcomes for name, life in lives.items()}
    assert_outputs(films, [name for name, life in lives.items() if life.phase == "Succeeded"])
    films.witness.check_strictly(films.namespace)
    assert sum(restarts(bed).values()) >= KILLS - 1  # the last one may not be told yet


ONE = Life(({"seconds": 1, "upload": True},), ("Succeeded",))
TWO = Life(({"seconds": 0.5, "exit": 75}, {"upload": True}), ("Interrupted", "Succeeded"))
CASES = {
    "its response delivered": (ONE, False),
    "its response lost": (ONE, True),
    "its response lost, of a life with two attempts": (TWO, True),
}


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("life", "is_lost"), CASES.values(), ids=CASES)
def test_killed_after_its_kth_write_for_every_k(films: Films, life: Life, is_lost: bool) -> None:
    """One resource for each k, until a life needs no k-th write.

    Lives differ by a few writes of progress, so one that was short does not count until each attempt's last
    write, the deletion of its Job, has had its turn.
    """
    k, cuts = 1, []
    for number in range(LIVES_MAX):
        write = live_with_a_cut(films, f"life-{number}", life, k, is_lost=is_lost)
        if write is not None:
            print(f"killed after write {k}: {write.verb} {write.resource}")
            cuts.append((write.verb, write.resource))
        elif cuts.count(LAST_WRITE) >= len(life.attempts):
            break
        k += 1 if write is not None else -1
    assert cuts[0] == ("create", "jobs")
    assert cuts.count(LAST_WRITE) >= len(life.attempts), "no life came to its end"
    assert ("patch", "videogenerations") in cuts
    films.witness.check_strictly(films.namespace)


def live_with_a_cut(films: Films, name: str, life: Life, k: int, *, is_lost: bool) -> Asked | None:
    """A life in which the operator dies after its k-th write: which one that was, if there was one."""
    cut = films.bed.proxy.cut_after(k, lose_response=is_lost)
    films.apply(name, **life.spec)
    wait_until(lambda: cut.done.is_set() or is_tidy(films, name), 240, lambda: films.told(name))
    if cut.done.is_set():
        films.bed.kill_operator()
    films.bed.proxy.restore()
    status = films.wait_end(name, life.phase)
    assert tuple(a["outcome"] for a in status["attempts"]) == life.outcomes
    assert status["interruptions"] == life.outcomes.count("Interrupted")
    wait_until(lambda: is_tidy(films, name), 180, lambda: f"its Jobs are still there: {films.told(name)}")
    assert_outputs(films, [name])
    return cut.write


def assert_outputs(films: Films, names: list[str]) -> None:
    """Each of these has one output in S3, and there is no other."""
    keys = films.keys()
    uids = {v["metadata"]["name"]: v["metadata"]["uid"] for v in films.bed.api.list(films.path)}
    for name in names:
        check_one_output(name, [key for key in keys if f"/{uids[name]}/" in key])


def all_finished(films: Films) -> bool:
    return all(v.get("status", {}).get("phase") in FINISHED for v in films.bed.api.list(films.path))


def told_unfinished(films: Films) -> str:
    left = [v for v in films.bed.api.list(films.path) if v.get("status", {}).get("phase") not in FINISHED]
    names = [v["metadata"]["name"] for v in left]
    return f"{len(names)} are not finished: {names[:20]}\n{films.told(names[0])}" if names else "all finished"


def is_tidy(films: Films, name: str) -> bool:
    """Finished, with nothing left to delete."""
    resource = films.get(name)
    finished = resource.get("status", {}).get("phase") in FINISHED
    uid = resource["metadata"]["uid"]
    return finished and not [j for j in films.jobs() if j["metadata"]["labels"]["wan.video/uid"] == uid]
