"""It goes away: deleting at any moment leaves no Job, no pod, no video, no manifest and no open upload."""

from __future__ import annotations

import time

import pytest

from tests.e2e.bed import GRACE_S, SYSTEM, Bed, Options, wait_until
from tests.e2e.films import TINY, Films
from tests.e2e.witness import GENERATIONS

BED = Options(namespaces=12)
LONG = {**TINY, "steps": 200}
GONE_S = GRACE_S + 10


def assert_gone(films: Films, uid: str) -> None:
    """Job and pod are gone within grace + 10 s, and S3 holds nothing of it."""
    wait_until(
        lambda: not films.jobs() and not films.pods(),
        GONE_S,
        lambda: f"left: {[o['metadata']['name'] for o in (*films.jobs(), *films.pods())]}",
    )
    assert films.bed.s3.keys("videos", f"{films.namespace}/{uid}") == []
    assert films.bed.s3.open_uploads("videos") == []


def test_deleted_while_planned(films: Films) -> None:
    films.apply("early", **TINY, suspend=True)
    uid = films.get("early")["metadata"]["uid"]
    films.wait_phase("early", "Suspended")
    films.delete("early")
    assert_gone(films, uid)


@pytest.mark.parametrize("phase", ["Starting", "Loading", "Running", "Uploading"])
def test_deleted_while_it_works(films: Films, phase: str) -> None:
    spec = LONG if phase != "Uploading" else TINY
    name = f"deleted-{phase.lower()}"
    uid = films.apply(name, **spec)["metadata"]["uid"]
    if phase == "Uploading":
        slow_down_s3(films)
    wait_until(lambda: phase in films.witness.phases(films.namespace, name), 90, lambda: films.told(name))
    films.delete(name)
    if phase == "Uploading":
        films.bed.s3.process.resume()
    assert_gone(films, uid)


def test_deleted_and_created_again_under_the_same_name(films: Films) -> None:
    first = films.apply("again", **LONG)["metadata"]["uid"]
    films.wait_phase("again", "Running")
    films.delete("again")
    second = films.apply("again", **TINY)["metadata"]["uid"]
    status = films.wait_end("again", "Succeeded")
    assert f"/{second}/1/" in status["output"]["uri"]
    assert films.bed.s3.keys("videos", f"{films.namespace}/{first}") == []


def test_a_namespace_that_is_deleted_does_not_hang(films: Films, bed: Bed) -> None:
    films.apply("inside", **LONG)
    films.wait_phase("inside", "Running")
    bed.control.kubectl("delete", "namespace", films.namespace, "--wait=false")
    wait_until(lambda: not bed.api.exists(f"/api/v1/namespaces/{films.namespace}"), 60, lambda: "it hangs")


def test_upgrade_uninstall_and_reinstall_while_it_runs(films: Films, bed: Bed) -> None:
    uid = films.apply("steady", **LONG)["metadata"]["uid"]
    films.wait_phase("steady", "Running")
    bed.install(logLevel="DEBUG")
    assert films.status("steady")["phase"] == "Running"
    bed.control.helm("uninstall", "wan", "-n", SYSTEM)
    wait_until(lambda: not bed.operator_pods(), 60, lambda: "the operator is still there")
    assert films.get("steady")["metadata"]["uid"] == uid
    assert films.wait_running_pod()
    bed.install()
    status = films.wait_end("steady", "Succeeded", timeout_s=180)
    assert [a["outcome"] for a in status["attempts"]] == ["Succeeded"]


def test_deleted_while_the_operator_is_down(films: Films, bed: Bed) -> None:
    uid = films.apply("orphan", **LONG)["metadata"]["uid"]
    films.wait_phase("orphan", "Running")
    scale(bed, 0)
    try:
        films.delete("orphan")
        assert_gone(films, uid)
    finally:
        scale(bed, 1)
        bed.wait_for_operator()
    kinds = [m.kind for m in films.witness.of(GENERATIONS, films.namespace, "orphan")]
    assert kinds[-1] == "DELETED"


def scale(bed: Bed, replicas: int) -> None:
    bed.control.kubectl("scale", "deployment/wan-operator", "-n", SYSTEM, f"--replicas={replicas}")
    if replicas == 0:
        wait_until(lambda: not bed.operator_pods(), 60, lambda: "the operator does not end")


def slow_down_s3(films: Films) -> None:
    """S3 stands still as soon as the upload begins, so that the phase can be seen."""
    wait_until(
        lambda: "Running" in films.witness.phases(films.namespace, films_name(films)),
        90,
        lambda: "not running",
    )
    films.bed.s3.process.halt()
    time.sleep(0)


def films_name(films: Films) -> str:
    return films.witness.of(GENERATIONS, films.namespace)[-1].name
