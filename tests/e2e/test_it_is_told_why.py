"""It is told why: what keeps a resource waiting stands in its status, verbatim and soon; and it goes on."""

from __future__ import annotations

import pytest

from tests.controlplane.client import ApiError
from tests.e2e.bed import RUNNERS, TAG, Bed, Options, wait_until
from tests.e2e.films import BIG, TINY, Films, script
from tests.e2e.gpus import h200

BED = Options(runner="scripted", nodes=(h200("h200-1"), h200("h200-2")), namespaces=10)
SHORT = {**BIG, "prompt": script({"seconds": 1})}
SOON_S = 120


def test_an_image_that_cannot_be_pulled(films: Films, bed: Bed) -> None:
    bed.install(runner={"image": {"repository": "absent"}})
    try:
        films.apply("image", **SHORT)
        status = films.wait(
            "image", lambda s: s.get("reason") in ("ErrImagePull", "ImagePullBackOff"), SOON_S, "the reason"
        )
        assert f"absent:{TAG}" in status["message"]
        assert status["phase"] == "Starting"
        wait_until(lambda: films.status("image")["message"] == kubelet_says(films), 120, lambda: "its words")
        bed.images[f"absent:{TAG}"] = RUNNERS["scripted"]
        films.wait_end("image", "Succeeded")
    finally:
        bed.install()


def test_an_image_that_the_administrator_mends_in_the_values(films: Films, bed: Bed) -> None:
    """What waits is of yesterday's values: it is made anew, uncharged."""
    bed.install(runner={"image": {"repository": "mistyped"}})
    try:
        films.apply("typo", **SHORT)
        films.wait("typo", lambda s: s.get("reason") in ("ErrImagePull", "ImagePullBackOff"), SOON_S)
    finally:
        bed.install()
    status = films.wait_end("typo", "Succeeded", timeout_s=300)
    assert [a["outcome"] for a in status["attempts"]] == ["Cancelled", "Succeeded"]
    assert "settings have changed" in status["attempts"][0]["message"]


def test_a_secret_that_is_missing(films: Films, bed: Bed) -> None:
    volume = {"name": "ca", "secret": {"secretName": "company-ca"}}
    bed.install(runner={"podTemplate": {"spec": {"volumes": [volume]}}})
    try:
        films.apply("secret", **SHORT)
        status = films.wait_reason("secret", "FailedMount", SOON_S)
        assert status["message"] in events(films, "FailedMount")
        assert 'secret "company-ca" not found' in status["message"]
        bed.control.kubectl(
            "create", "secret", "generic", "company-ca", "-n", films.namespace, "--from-literal=ca.crt=x"
        )
        films.wait_end("secret", "Succeeded")
    finally:
        bed.install()


def test_a_quota_that_is_exceeded(films: Films, bed: Bed) -> None:
    quota = films.forbid("requests.nvidia.com/gpu", "gpus")
    films.apply("quota", **SHORT)
    status = films.wait_reason("quota", "PodRefused", SOON_S)
    assert status["message"] in events(films, "FailedCreate")
    assert "exceeded quota: gpus, requested: requests.nvidia.com/gpu=1" in status["message"]
    bed.api.delete(quota)
    films.wait_end("quota", "Succeeded", timeout_s=300)


def test_jobs_that_a_quota_forbids(films: Films, bed: Bed) -> None:
    quota = films.forbid("count/jobs.batch", "jobs")
    films.apply("none", **SHORT)
    status = films.wait_reason("none", "JobRefused", SOON_S)
    assert "exceeded quota: jobs" in status["message"]
    bed.api.delete(quota)
    films.wait_end("none", "Succeeded", timeout_s=300)


def test_a_pod_that_pod_security_refuses(films: Films, bed: Bed) -> None:
    host_path = {"name": "disk", "hostPath": {"path": "/var/log"}}
    bed.install(runner={"podTemplate": {"spec": {"volumes": [host_path]}}})
    try:
        films.apply("security", **SHORT)
        status = films.wait_reason("security", "PodRefused", SOON_S)
        assert status["message"] in events(films, "FailedCreate")
        assert 'violates PodSecurity "restricted' in status["message"]
        assert "hostPath" in status["message"]
        told = bed.control.kubectl("describe", "vgen", "security", "-n", films.namespace)
        assert told.count('violates PodSecurity "restricted') >= 2, "status and Events tell it"
        label = "pod-security.kubernetes.io/enforce=privileged"
        bed.control.kubectl("label", "namespace", films.namespace, label, "--overwrite")
        films.wait_end("security", "Succeeded", timeout_s=300)
    finally:
        bed.install()


def test_a_namespace_that_is_not_served_answers_at_once(bed: Bed) -> None:
    bed.control.namespace("elsewhere")
    path = "/apis/wan.video/v1alpha1/namespaces/elsewhere/videogenerations"
    document = {
        "apiVersion": "wan.video/v1alpha1",
        "kind": "VideoGeneration",
        "metadata": {"name": "lost"},
        "spec": TINY,
    }
    with pytest.raises(ApiError) as refusal:
        bed.api.create(path, document)
    assert "elsewhere" in refusal.value.message
    assert bed.namespaces[0] in refusal.value.message


def test_a_namespace_that_the_administrator_adds_is_served_and_no_more_once_it_is_taken_out(
    films: Films, bed: Bed
) -> None:
    """By the values alone: nobody restarts anything, and what runs goes on."""
    more = Films(bed, films.witness, "added-later")
    films.apply("meanwhile", **{**BIG, "prompt": script({"seconds": 40})})
    films.wait_phase("meanwhile", "Running")
    bed.install(generations={"namespaces": [*bed.namespaces, more.namespace]})
    try:
        bed.give_secret(more.namespace)
        wait_until(lambda: refusal_of(more, "new") == "", SOON_S, lambda: refusal_of(more, "new"))
        status = more.wait_end("new", "Succeeded")
        assert f"/{more.namespace}/" in status["output"]["uri"]
    finally:
        bed.install()
    wait_until(lambda: more.namespace in refusal_of(more, "newer"), SOON_S, lambda: "it is still served")
    status = films.wait_end("meanwhile", "Succeeded")
    assert [(a["number"], a["outcome"]) for a in status["attempts"]] == [(1, "Succeeded")]
    films.witness.check(more.namespace)


def refusal_of(films: Films, name: str) -> str:
    """Why it may not be created there; empty if it was."""
    try:
        films.apply(name, **SHORT)
    except ApiError as refusal:
        return refusal.message
    return ""


def kubelet_says(films: Films) -> str | None:
    """Why the one container of the one pod does not run."""
    (pod,) = films.pods()
    (container,) = pod["status"].get("containerStatuses") or ({},)
    message: str | None = container.get("state", {}).get("waiting", {}).get("message")
    return message


def events(films: Films, reason: str) -> list[str]:
    """What the Events of that reason in the namespace say, but those of the operator itself."""
    found = films.bed.api.list(f"/api/v1/namespaces/{films.namespace}/events")
    return [
        e["message"] for e in found if e["reason"] == reason and e["involvedObject"]["kind"] in ("Job", "Pod")
    ]
