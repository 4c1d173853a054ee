"""The API misbehaves: it is away, refuses, cuts, forgets, is late; nothing is lost, doubled or restless.

Only the operator suffers but for the first test: it reaches the API server through a proxy that misbehaves.
After each test everything has ended as it should, nothing was ever done twice, and all stands still; but for
one test it is still the same operator, and has met no bug of ours.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from tests.controlplane.client import Document
from tests.controlplane.commands import Options as Settings
from tests.controlplane.faults import Faults, Refusal
from tests.e2e.bed import SEED, SYSTEM, Bed, Options, wait_until
from tests.e2e.films import BIG, Films, script
from tests.e2e.gpus import h200
from tests.e2e.rest import assert_still, the_same_operator, versions
from tests.e2e.witness import FINISHED, check_one_output

BED = Options(
    runner="scripted",
    nodes=(h200("h200-1", count=8, memory="2Ti"), h200("h200-2", count=6, memory="2Ti")),
    namespaces=13,
    proxy=True,
    control_plane=Settings(),  # nodes are given up as late as anywhere: an outage is no loss of a node
)
OUTAGE_S = 60
END_S = 500
OOM = {"category": "CUDA_OUT_OF_MEMORY", "message": "as scripted"}
OUTCOMES = {
    "succeeds": ("Succeeded",),
    "interrupted": ("Interrupted", "Succeeded"),
    "falls-back": ("Failed", "Succeeded"),
    "denied": ("Failed",),
}


def attempts_of(kind: str, seconds: float) -> list[dict[str, Any]]:
    upload = {"seconds": seconds, "upload": True}
    scripts: dict[str, list[dict[str, Any]]] = {
        "succeeds": [upload],
        "interrupted": [{"seconds": seconds, "exit": 75}, upload],
        "falls-back": [OOM, upload],
        "denied": [{"seconds": seconds, "category": "ACCESS_DENIED"}],
    }
    return scripts[kind]


def apply_all(films: Films, prefix: str = "", seconds: tuple[float, float] = (0.2, 4.0)) -> None:
    """Eight resources whose attempts end in every way; their names tell which."""
    chance = Random(SEED)
    for number, kind in enumerate((*OUTCOMES, "succeeds", "succeeds", "interrupted", "succeeds")):
        prompt = script(*attempts_of(kind, round(chance.uniform(*seconds), 2)))
        films.apply(f"{prefix}{kind}-{number}", **{**BIG, "prompt": prompt})


@pytest.fixture
def films(films: Films, bed: Bed) -> Iterator[Films]:
    """Once a test is done, the faults end and nothing may be wrong: the strict laws hold."""
    yield films
    bed.proxy.faults = Faults()
    assert_well(films)
    assert_still(films, lambda: (versions(films), writes(bed)), 240)  # a resync may look at them
    films.witness.check_strictly(films.namespace)


@pytest.fixture
def same_operator(bed: Bed) -> Iterator[None]:
    """It outlives the test, and `films` with it."""
    with the_same_operator(bed):
        yield


survives = pytest.mark.usefixtures("same_operator")


def assert_well(films: Films) -> None:
    """All is over as the names say, with one output each where there must be one."""
    wait_until(lambda: not unfinished(films), END_S, lambda: told(films))
    keys = films.keys()
    for video in films.bed.api.list(films.path):
        name, uid, status = video["metadata"]["name"], video["metadata"]["uid"], video["status"]
        (kind,) = [k for k in OUTCOMES if k in name]
        assert tuple(a["outcome"] for a in status["attempts"]) == OUTCOMES[kind], films.told(name)
        own = [key for key in keys if f"/{uid}/" in key]
        if OUTCOMES[kind][-1] == "Succeeded":
            assert status["phase"] == "Succeeded"
            check_one_output(name, own)
        else:
            assert (status["phase"], own) == ("Failed", [])
    wait_until(lambda: not films.jobs(), 180, lambda: "Jobs are left of what is finished")


def writes(bed: Bed) -> int:
    """How often the operator has asked for a change that its progress depends on."""
    return sum(request.asked.weighs for request in bed.proxy.seen)


def unfinished(films: Films) -> list[str]:
    videos: list[Document] = films.bed.api.list(films.path)
    return [v["metadata"]["name"] for v in videos if v.get("status", {}).get("phase") not in FINISHED]


def told(films: Films) -> str:
    left = unfinished(films)
    return f"{len(left)} are not finished: {left}\n{films.told(left[0])}" if left else "all are finished"


@survives
@pytest.mark.timeout(1200)
def test_the_server_is_away_for_a_minute_while_resources_are_in_every_stage(films: Films, bed: Bed) -> None:
    stages = ("Starting", "Fetching", "Loading", "EncodingText", "Denoising", "Decoding", "Uploading")
    for stage in stages:
        for when, seconds in (("during", 25), ("after", OUTAGE_S + 20)):
            attempt = {"seconds": seconds, "stage": stage, "upload": True}
            prompt = script(attempt)
            films.apply(f"succeeds-{when}-{stage.lower()}", **{**BIG, "prompt": prompt})
    queued = [f"succeeds-queued-{n}" for n in range(3)]  # there are 14 cards for 14 + 3
    for name in queued:
        films.apply(name, **{**BIG, "prompt": script({"upload": True})})
    films.apply("succeeds-suspended", **{**BIG, "prompt": script({"upload": True})}, suspend=True)
    films.wait_phase("succeeds-suspended", "Suspended")
    wait_until(lambda: phases(films) >= {"Queued", "Starting", "Loading", "Running", "Uploading"}, 60)
    apply_all(films)
    bed.control.stop_apiserver(kill=True)
    time.sleep(OUTAGE_S)  # the fault itself
    bed.control.start_apiserver()
    films.edit("succeeds-suspended", suspend=False)
    assert unfinished(films), "the outage began too late to show anything"


def phases(films: Films) -> set[str]:
    return {v.get("status", {}).get("phase", "") for v in films.bed.api.list(films.path)}


@survives
@pytest.mark.parametrize("code", [410, None], ids=["ERROR 410", "reset"])
def test_watches_break_off_again_and_again(films: Films, code: int | None) -> None:
    break_watches(films, code)


def test_watches_end_with_an_error_of_the_server(films: Films) -> None:
    """kopf dies of it, and the operator with it: the next one is right at once."""
    break_watches(films, 500)


def break_watches(films: Films, code: int | None) -> None:
    """At many moments of many lives."""
    apply_all(films)
    ended = 0
    for _ in range(20):
        ended += films.bed.proxy.end_watches(code)
        time.sleep(0.3)
    assert ended >= 20, "hardly any watch was open"


REFUSALS = {
    "500 on all": Faults(refusals=(Refusal(500, 0.3),)),
    "429 on all": Faults(refusals=(Refusal(429, 0.3, retry_after_s=1),)),
    "resets before": Faults(reset=0.3),
    "resets after": Faults(lost=0.3),
}


@survives
@pytest.mark.parametrize("faults", REFUSALS.values(), ids=REFUSALS)
def test_three_in_ten_requests_fail(films: Films, bed: Bed, faults: Faults) -> None:
    """While they live, and for as long as it takes: they end under these conditions, not after them."""
    before = len(bed.proxy.seen)
    with bed.proxy.during(faults):
        apply_all(films)
        bed.proxy.end_watches()  # so that lists and watches suffer too
        wait_until(lambda: not unfinished(films), END_S, lambda: told(films))
    failed = [s for s in bed.proxy.seen[before:] if not s.answered or s.status >= 429 or s.status == 0]
    assert len(failed) >= 20, "hardly anything failed"


@survives
def test_events_come_ten_seconds_late(films: Films, bed: Bed) -> None:
    """What the operator sees is always old, and each attempt is over before it is seen to begin."""
    with bed.proxy.during(Faults(delay_events_s=10)):
        apply_all(films)
        time.sleep(12)
        films.apply("succeeds-cancelled-late", **{**BIG, "prompt": script({"upload": True})})
        wait_until(lambda: not unfinished(films), END_S, lambda: told(films))


@survives
def test_events_stop_coming_for_a_while(films: Films, bed: Bed) -> None:
    """A view that is ten seconds old, while attempts begin and end and users interfere; then all at once."""
    apply_all(films, "early-")
    with bed.proxy.during(Faults(hold_events=True)):
        apply_all(films, "unseen-")
        time.sleep(10)  # the fault itself
    wait_until(lambda: not unfinished(films), END_S, lambda: told(films))


@survives
def test_a_job_that_is_taken_away_unseen_is_replaced_once(films: Films, bed: Bed) -> None:
    """The operator still sees the Job, and then no word of it, when it has long been deleted."""
    long_then_short = script({"seconds": 300}, {"upload": True})
    films.apply("interrupted-unseen", **{**BIG, "prompt": long_then_short})
    films.wait_running_pod()
    with bed.proxy.during(Faults(delay_events_s=10)):
        bed.control.kubectl("delete", "job", "-n", films.namespace, "--all", "--wait=false")
        films.edit("interrupted-unseen", retention={"failed": "1h"})  # a change that it must look at
        films.wait_end("interrupted-unseen", "Succeeded")


@survives
def test_its_rights_are_taken_and_given_back(films: Films, bed: Bed) -> None:
    """403 everywhere: it does not crash, says so, and goes on when it may."""
    bound = bindings(bed, films.namespace)
    apply_all(films, "early-", seconds=(1.0, 8.0))
    for path, document in bound:
        bed.api.delete(f"{path}/{document['metadata']['name']}")
    bed.proxy.end_watches()  # they would go on until they are asked for again
    apply_all(films, "meanwhile-")
    before = len(bed.proxy.seen)
    wait_until(
        lambda: [s for s in bed.proxy.seen[before:] if s.status == 403], 120, lambda: "nothing was forbidden"
    )
    time.sleep(15)  # long enough for a crash loop to show
    assert unfinished(films), "it did not need those rights"
    for path, document in bound:
        bed.api.create(path, document)


def bindings(bed: Bed, namespace: str) -> list[tuple[str, Document]]:
    """What binds the operator's account to its rights, there and in the cluster, ready to be made again."""
    group = "/apis/rbac.authorization.k8s.io/v1"
    operator = (SYSTEM, "wan-operator")
    found = []
    for path in (f"{group}/clusterrolebindings", f"{group}/namespaces/{namespace}/rolebindings"):
        for binding in bed.api.list(path):
            if operator in [(s.get("namespace"), s["name"]) for s in binding.get("subjects", ())]:
                metadata = {"name": binding["metadata"]["name"]}
                kept = {key: binding[key] for key in ("roleRef", "subjects")}
                found.append((path, {"metadata": metadata, **kept}))
    assert len(found) == 2, "one binding in the cluster and one in the namespace"
    return found
