"""The control plane behaves as a cluster's does where the project leans on it."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.controlplane import commands
from tests.controlplane.client import ApiError
from tests.controlplane.control_plane import APISERVER, ETCD, CommandFailed, ControlPlane
from tests.controlplane.process import Process, free_port, wait_until

pytestmark = pytest.mark.slow

CONTAINER = {
    "name": "main",
    "image": "some:1",
    "securityContext": {
        "allowPrivilegeEscalation": False,
        "runAsNonRoot": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    },
}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with ControlPlane(tmp_path_factory.mktemp("cluster")) as started:
        started.namespace("films")
        yield started


def pod(name: str, **spec: object) -> dict[str, object]:
    return {"metadata": {"name": name}, "spec": {"containers": [CONTAINER], **spec}}


PODS = "/api/v1/namespaces/films/pods"


def test_a_restricted_namespace_refuses_a_pod_with_a_host_path(cluster: ControlPlane):
    with pytest.raises(ApiError, match="restricted volume types") as refusal:
        cluster.api.create(PODS, pod("host", volumes=[{"name": "v", "hostPath": {"path": "/"}}]))
    assert (refusal.value.status, refusal.value.reason) == (403, "Forbidden")


def test_a_pod_without_a_node_waits_with_the_scheduler_telling_why(cluster: ControlPlane):
    path = f"{PODS}/{cluster.api.create(PODS, pod('waits'))['metadata']['name']}"

    def unschedulable() -> bool:
        conditions = cluster.api.get(path)["status"].get("conditions", [])
        return any(c.get("reason") == "Unschedulable" for c in conditions)

    wait_until(unschedulable, 120, "the scheduler says nothing about the pod")


def test_a_job_gets_its_pod_and_both_go_when_the_job_is_deleted(cluster: ControlPlane):
    jobs = "/apis/batch/v1/namespaces/films/jobs"
    template = {"spec": {"containers": [CONTAINER], "restartPolicy": "Never"}}
    cluster.api.create(jobs, {"metadata": {"name": "once"}, "spec": {"template": template}})

    def pods() -> list[object]:
        return cluster.api.list(PODS, labelSelector="job-name=once")  # type: ignore[return-value]

    wait_until(pods, 120, "the Job has no pod")
    cluster.api.delete(f"{jobs}/once")
    wait_until(lambda: not pods() and not cluster.api.exists(f"{jobs}/once"), 120, "Job or pod stays")


def test_a_service_account_token_opens_what_its_role_grants_and_nothing_else(cluster: ControlPlane):
    api = cluster.api_as(cluster.service_account_token("films", "default"))
    with pytest.raises(ApiError, match="cannot list resource") as refusal:
        api.list(PODS)
    assert refusal.value.status == 403
    cluster.kubectl("-n", "films", "create", "role", "reader", "--verb=list", "--resource=pods")
    grant = ("create", "rolebinding", "reader", "--role=reader", "--serviceaccount=films:default")
    cluster.kubectl("-n", "films", *grant)
    wait_until(lambda: api.may_list(PODS), 60, "the grant does not take effect")


def test_a_token_for_an_audience_is_good_for_that_audience_only(cluster: ControlPlane):
    token = cluster.service_account_token("films", "default", ["wan.video/some"])
    assert _claims(token)["aud"] == ["wan.video/some"]
    reviews = "/apis/authentication.k8s.io/v1/tokenreviews"
    answers = [
        cluster.api.create(reviews, {"spec": {"token": token, "audiences": [audience]}})["status"]
        for audience in ("wan.video/some", "wan.video/other")
    ]
    assert [answer.get("authenticated", False) for answer in answers] == [True, False]


def _claims(token: str) -> dict[str, object]:
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def test_a_node_may_not_touch_another_node(cluster: ControlPlane):
    told = cluster.kubeconfig_for("system:node:one", ["system:nodes"])
    with pytest.raises(CommandFailed, match="not allowed to modify node"):
        cluster.kubectl("--kubeconfig", str(told), "create", "-f", "-", input=_node("two"))
    cluster.kubectl("--kubeconfig", str(told), "create", "-f", "-", input=_node("one"))
    cluster.api.delete("/api/v1/nodes/one")


def _node(name: str) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})


def test_a_watch_tells_of_what_comes_after_the_version_it_was_given(cluster: ControlPlane):
    path = "/api/v1/namespaces/films/configmaps"
    version = cluster.api.get(path)["metadata"]["resourceVersion"]
    cluster.api.create(path, {"metadata": {"name": "seen"}, "data": {"a": "b"}})
    events = cluster.api.watch(path, version, timeout_s=20)
    assert next(e for e in events if e["type"] == "ADDED")["object"]["data"] == {"a": "b"}
    events.close()  # type: ignore[attr-defined]


def test_a_watch_from_a_version_that_was_compacted_is_refused(cluster: ControlPlane):
    path = "/api/v1/namespaces/films/configmaps"
    version = cluster.api.get(path)["metadata"]["resourceVersion"]
    cluster.api.create(path, {"metadata": {"name": "newer"}})
    cluster.compact()
    cluster.stop_apiserver(kill=True)
    cluster.start_apiserver()
    with pytest.raises(ApiError) as refusal:
        next(cluster.api.watch(path, version, timeout_s=20))
    assert (refusal.value.status, refusal.value.reason) == (410, "Expired")


def test_the_audit_log_holds_who_wrote_what_and_no_secret(cluster: ControlPlane):
    path = "/api/v1/namespaces/films"
    cluster.api.create(f"{path}/configmaps", {"metadata": {"name": "told"}, "data": {"k": "plain-words"}})
    cluster.api.create(f"{path}/secrets", {"metadata": {"name": "kept"}, "stringData": {"k": "canary-5d1"}})
    entries = commands.read_audit(cluster.audit_log, ["create"])
    told = [e for e in entries if e.get("objectRef", {}).get("name") == "told"]  # type: ignore[attr-defined]
    assert [e["user"]["username"] for e in told] == ["admin"]  # type: ignore[index]
    assert told[0]["requestObject"]["data"] == {"k": "plain-words"}  # type: ignore[index]
    assert b"canary-5d1" not in cluster.audit_log.read_bytes()


@pytest.mark.parametrize("kill", [False, True], ids=["politely", "SIGKILL"])
def test_the_api_server_comes_back_with_what_it_had(cluster: ControlPlane, kill: bool):
    cluster.api.create("/api/v1/namespaces/films/configmaps", {"metadata": {"name": f"kept-{kill}".lower()}})
    cluster.stop_apiserver(kill=kill)
    with pytest.raises(OSError):  # noqa: PT011 - refused, whatever the system calls it
        cluster.api.get("/api/v1/namespaces/films")
    cluster.start_apiserver()
    assert cluster.api.exists(f"/api/v1/namespaces/films/configmaps/kept-{kill}".lower())


def test_a_killed_etcd_keeps_what_it_acknowledged(cluster: ControlPlane):
    cluster.api.create("/api/v1/namespaces/films/configmaps", {"metadata": {"name": "durable"}})
    cluster.stop(ETCD, kill=True)
    cluster.start(ETCD)
    wait_until(lambda: _found(cluster), 120, "the API server does not come back to etcd")


def _found(cluster: ControlPlane) -> bool:
    try:
        return cluster.api.exists("/api/v1/namespaces/films/configmaps/durable")
    except ApiError as refusal:
        if refusal.status < 500:
            raise
        return False


def test_helm_and_kubectl_know_the_version_that_they_were_built_from(cluster: ControlPlane):
    assert cluster.helm("version", "--short").startswith("v3.19.")
    versions = json.loads(cluster.kubectl("version", "-o", "json"))
    assert versions["clientVersion"]["gitVersion"] == versions["serverVersion"]["gitVersion"] == "v1.36.3"


def test_two_clusters_stand_side_by_side(cluster: ControlPlane, tmp_path: Path):
    with ControlPlane(tmp_path) as other:
        assert not other.api.exists("/api/v1/namespaces/films")
        pids = [process.pid for process in other.processes.values()]
    assert other.url != cluster.url
    assert not any(_lives(pid) for pid in pids)


def test_a_program_dies_with_the_process_that_started_it(tmp_path: Path):
    script = """
        import sys, time
        from pathlib import Path
        from tests.controlplane.process import Process
        child = Process(["sleep", "600"], Path(sys.argv[1]))
        child.start()
        print(child.pid, flush=True)
        time.sleep(600)
    """
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path / "log")],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert _lives(child)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    wait_until(lambda: not _lives(child), 60, "the child outlives its parent")


def test_a_program_that_ignores_sigterm_is_killed(tmp_path: Path):
    stubborn = Process(["sh", "-c", "trap '' TERM; echo up; sleep 600 & wait; sleep 600"], tmp_path / "log")
    stubborn.start()
    wait_until(lambda: "up" in stubborn.tail(), 60, "it does not start")
    assert stubborn.stop(grace_s=0.5) == -signal.SIGKILL
    assert not stubborn.alive


def test_a_program_that_ends_at_once_is_told_with_its_log(tmp_path: Path):
    with ControlPlane(tmp_path / "broken") as broken:
        broken.stop(APISERVER, kill=True)
        broken.processes[APISERVER].command += ("--no-such-flag",)
        with pytest.raises(AssertionError, match="no-such-flag"):
            broken.start_apiserver()


def test_a_free_port_can_be_listened_on():
    assert free_port() in range(20000, 32000)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
