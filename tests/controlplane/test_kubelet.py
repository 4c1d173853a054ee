"""The kubelet runs pods as a kubelet does: their processes, their ends, their deletion, their nodes."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.controlplane.commands import Options
from tests.controlplane.control_plane import CommandFailed, ControlPlane
from tests.controlplane.fault_proxy import FaultProxy
from tests.controlplane.kubelet import Image, NodeSpec, ProcessKubelet, Simulation
from tests.controlplane.pods import MESSAGE, PYTHON, RESTRICTED, WAIT_S, Pods, state_of, waiting_reason
from tests.controlplane.process import free_port, wait_until
from tests.wan_runner.tasks import build_task
from wan_core.task import Result

pytestmark = pytest.mark.slow

WRITE = "import sys; open(sys.argv[1], 'w').write('made it')"
SLEEP = "import time; time.sleep(600)"
# Says that it is ready by a line in its log, then ends with 75 on SIGTERM.
POLITE = "import signal; signal.signal(15, lambda *_: exit(75)); print('on', flush=True); " + SLEEP
DEAF = "import signal; signal.signal(15, signal.SIG_IGN); print('on', flush=True); " + SLEEP
FILL = "b = bytearray(200 << 20); b[::4096] = b'x' * len(b[::4096])"


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    options = Options(node_grace_s=15, eviction_s=2)  # 15 s of silence: a busy machine is not taken for it
    with ControlPlane(tmp_path_factory.mktemp("cluster"), options) as started:
        started.namespace("films")
        yield started


@pytest.fixture(scope="module")
def kubelet(plane: ControlPlane) -> Iterator[ProcessKubelet]:
    nodes = [NodeSpec("a"), NodeSpec("b", {"disk": "b"})]
    with ProcessKubelet(plane, {"python": PYTHON}, nodes) as started:
        yield started


@pytest.fixture
def pods(plane: ControlPlane, kubelet: ProcessKubelet) -> Pods:
    return Pods(plane, "films")


def await_log(kubelet: ProcessKubelet, pod: str, text: str) -> None:
    """Until a container of the pod has said so."""
    wait_until(
        lambda: any(text in log.read_text() for log in kubelet.logs.glob(f"*_{pod}_*/*/*.log")), WAIT_S, text
    )


def test_a_job_of_a_restricted_pod_runs_and_its_end_arrives(pods: Pods):
    container = {"name": "main", "image": "python", "args": [WRITE + "; sys.exit(71)", MESSAGE]}
    spec = {"restartPolicy": "Never", "containers": [container | {"securityContext": RESTRICTED}]}
    job = {"metadata": {"name": "job"}, "spec": {"backoffLimit": 0, "template": {"spec": spec}}}
    jobs = "/apis/batch/v1/namespaces/films/jobs"
    pods.plane.api.create(jobs, job)

    def failed() -> bool:
        conditions = pods.plane.api.get(f"{jobs}/job")["status"].get("conditions", [])
        return any(c["type"] == "Failed" for c in conditions)

    wait_until(failed, WAIT_S, "the Job has not failed")
    (pod,) = pods.plane.api.list(pods.path, labelSelector="job-name=job")
    end = state_of(pod)["terminated"]
    assert (end["exitCode"], end["reason"], end["message"]) == (71, "Error", "made it")


ENDS = {
    "success": ("pass", 0, "Completed", "Succeeded"),
    "an exit code": ("import sys; sys.exit(7)", 7, "Error", "Failed"),
    "a signal is 128 and its number": ("import os; os.kill(os.getpid(), 9)", 137, "Error", "Failed"),
}


@pytest.mark.parametrize(("program", "code", "reason", "phase"), ENDS.values(), ids=ENDS.keys())
def test_a_process_ends(pods: Pods, program: str, code: int, reason: str, phase: str):
    name = f"ends-{code}"
    pods.create(name, program)
    end = pods.end(name)
    assert (end["exitCode"], end["reason"], end["phase"]) == (code, reason, phase)


def test_a_termination_message_is_cut_to_4096_bytes(pods: Pods):
    pods.create("verbose", "import sys; open(sys.argv[1], 'w').write('x' * 5000)", MESSAGE)
    assert len(pods.end("verbose")["message"]) == 4096


def test_a_command_that_does_not_exist_fails_to_start(pods: Pods):
    pods.create("lost", "", container={"command": ["/no/such/program"]})
    end = pods.end("lost")
    assert (end["exitCode"], end["reason"]) == (128, "StartError")


def test_what_a_process_leaves_behind_ends_with_it(pods: Pods, kubelet: ProcessKubelet):
    pods.create(
        "parent", f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {SLEEP!r}]).pid)"
    )
    pods.end("parent")
    (log,) = kubelet.logs.glob("*_parent_*/main/0.log")
    child = int(log.read_text())
    wait_until(lambda: not is_running(child), WAIT_S, "the child lives")


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


DELETIONS = {
    "it hears SIGTERM": (POLITE, 30, 75),
    "it does not, and the grace period is over": (DEAF, 2, 137),
}


@pytest.mark.parametrize(("program", "grace_s", "code"), DELETIONS.values(), ids=DELETIONS.keys())
def test_a_pod_is_deleted(pods: Pods, kubelet: ProcessKubelet, program: str, grace_s: int, code: int):
    name = f"deleted-{code}"
    pods.create(name, program, terminationGracePeriodSeconds=grace_s)
    pods.wait_running(name)
    await_log(kubelet, name, "on")
    (pid,) = kubelet.processes(f"films/{name}")
    version = pods.get(name)["metadata"]["resourceVersion"]
    pods.plane.api.delete(f"{pods.path}/{name}")
    seen = []
    selector = f"metadata.name={name}"
    for event in pods.plane.api.watch(pods.path, version, timeout_s=120, fieldSelector=selector):
        if event["type"] == "DELETED":
            break
        seen.append(event["object"])
    end = state_of(seen[-1])["terminated"]
    assert (end["exitCode"], seen[-1]["status"]["phase"]) == (code, "Failed")
    assert not is_running(pid)
    assert not list(kubelet.folder.glob(f"pods/{seen[-1]['metadata']['uid']}"))


def test_a_pod_that_is_removed_by_force_leaves_no_process(pods: Pods, kubelet: ProcessKubelet):
    pods.create("forced", DEAF)
    await_log(kubelet, "forced", "on")
    (pid,) = kubelet.processes("films/forced")
    pods.plane.api.delete(f"{pods.path}/forced", {"gracePeriodSeconds": 0})
    wait_until(lambda: not is_running(pid), WAIT_S, "it lives")


def test_a_pod_may_not_run_longer_than_its_deadline(pods: Pods):
    pods.create("late", POLITE, activeDeadlineSeconds=1)
    end = pods.end("late")
    status = pods.get("late")["status"]
    assert (status["reason"], status["phase"]) == ("DeadlineExceeded", "Failed")
    assert end["exitCode"] in (75, 143)  # 143: before Python could set its handler


@pytest.mark.parametrize("cgroups", [True, False], ids=["by the kernel", "by watching"])
def test_a_process_that_takes_too_much_memory_is_oom_killed(plane: ControlPlane, cgroups: bool):
    name = f"hungry-{cgroups}".lower()
    node = NodeSpec(name, {"only": name})
    with ProcessKubelet(plane, {"python": PYTHON}, [node], cgroups=cgroups) as own:
        pods = Pods(plane, "films")
        limits = {"resources": {"limits": {"memory": "100Mi"}}}
        pods.create(
            name, FILL + "; import time; time.sleep(60)", container=limits, nodeSelector={"only": name}
        )
        end = pods.end(name)
        own.remove_node(name)
    assert (end["exitCode"], end["reason"]) == (137, "OOMKilled")


def test_an_unknown_image_is_told_and_mended(pods: Pods, kubelet: ProcessKubelet):
    pods.create("strange", "pass", container={"image": "nowhere:1"})
    pod = pods.wait("strange", lambda pod: waiting_reason(pod) == "ImagePullBackOff")
    assert state_of(pod)["waiting"]["message"].startswith('Back-off pulling image "nowhere:1"')
    assert pod["status"]["phase"] == "Pending"
    kubelet.images["nowhere:1"] = PYTHON
    assert pods.end("strange")["exitCode"] == 0


def test_a_container_that_crashes_is_started_again(pods: Pods, kubelet: ProcessKubelet):
    pods.create("crashes", "import sys; print('again'); sys.exit(3)", restartPolicy="Always")
    pod = pods.wait(
        "crashes", lambda pod: pod["status"].get("containerStatuses", [{}])[0].get("restartCount", 0) > 1
    )
    assert pod["status"]["phase"] == "Running"
    assert pod["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"] == 3
    assert "again" in pods.plane.kubectl("logs", "-n", "films", "crashes", "--previous")
    pods.plane.api.delete(f"{pods.path}/crashes")
    pods.wait_gone("crashes")


# Answers 200 until the file "sick" is there, beside its working folder.
SERVE = """
import http.server, os, sys
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(500 if os.path.exists(sys.argv[2]) else 200)
        self.end_headers()
http.server.HTTPServer(('127.0.0.1', int(sys.argv[1])), Answer).serve_forever()
"""


def test_probes_decide_about_readiness_and_restarts(pods: Pods, kubelet: ProcessKubelet):
    port = free_port()
    probe = {"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 1, "failureThreshold": 1}
    container = {
        "ports": [{"name": "http", "containerPort": port}],
        "readinessProbe": probe,
        "livenessProbe": probe | {"initialDelaySeconds": 2, "failureThreshold": 4},  # it may begin slowly
        "volumeMounts": [{"name": "state", "mountPath": "/state"}],
        "args": [SERVE, str(port), "/state/sick"],
    }
    volumes = [{"name": "state", "emptyDir": {}}]
    pods.create(
        "web",
        "",
        container=container,
        volumes=volumes,
        restartPolicy="Always",
        terminationGracePeriodSeconds=1,
    )
    pod = pods.wait("web", lambda pod: pod["status"].get("containerStatuses", [{}])[0].get("ready"))
    uid = pod["metadata"]["uid"]
    (kubelet.folder / "pods" / uid / "volumes" / "state" / "sick").touch()
    pods.wait("web", lambda pod: pod["status"]["containerStatuses"][0]["restartCount"] > 0)
    assert pods.events("web", "Unhealthy")
    pods.plane.api.delete(f"{pods.path}/web")
    pods.wait_gone("web")


def test_kubectl_shows_logs(pods: Pods, kubelet: ProcessKubelet):
    pods.create("talks", "print('one'); print('two', flush=True); import time; time.sleep(600)")
    await_log(kubelet, "talks", "two")
    assert pods.plane.kubectl("logs", "-n", "films", "talks") == "one\ntwo\n"
    assert pods.plane.kubectl("logs", "-n", "films", "talks", "--tail=1") == "two\n"
    kubelet.kill_processes("films/talks")
    assert pods.plane.kubectl("logs", "-n", "films", "talks", "--follow") == "one\ntwo\n"
    with pytest.raises(CommandFailed, match="carry no times"):
        pods.plane.kubectl("logs", "-n", "films", "talks", "--timestamps")


def test_a_silent_node_is_lost_and_its_process_lives(plane: ControlPlane, kubelet: ProcessKubelet):
    pods = Pods(plane, "films")
    kubelet.add_node(NodeSpec("quiet", {"only": "quiet"}))
    pods.create("left", POLITE, nodeSelector={"only": "quiet"}, terminationGracePeriodSeconds=1)
    pods.wait_running("left")
    await_log(kubelet, "left", "on")
    kubelet.silence("quiet")
    pod = pods.wait("left", lambda pod: "deletionTimestamp" in pod["metadata"])
    assert pod["status"]["phase"] == "Running"
    assert [c["reason"] for c in pod["status"]["conditions"] if c["type"] == "DisruptionTarget"] == [
        "DeletionByTaintManager"
    ]
    assert kubelet.processes("films/left")
    kubelet.wake("quiet")
    pods.wait_gone("left")
    wait_until(lambda: is_ready(plane, "quiet"), WAIT_S, "the node has not come back")
    kubelet.remove_node("quiet")


def is_ready(plane: ControlPlane, node: str) -> bool:
    conditions = plane.api.get(f"/api/v1/nodes/{node}")["status"]["conditions"]
    return {"True"} == {c["status"] for c in conditions if c["type"] == "Ready"}


def test_a_node_that_is_gone_takes_its_processes_along(plane: ControlPlane, kubelet: ProcessKubelet):
    pods = Pods(plane, "films")
    kubelet.add_node(NodeSpec("doomed", {"only": "doomed"}))
    pods.create("fallen", DEAF, nodeSelector={"only": "doomed"})
    await_log(kubelet, "fallen", "on")
    (pid,) = kubelet.processes("films/fallen")
    kubelet.remove_node("doomed")
    wait_until(lambda: not is_running(pid), WAIT_S, "it lives")
    assert not plane.api.exists("/api/v1/nodes/doomed")


def test_the_api_server_may_be_away_while_a_process_ends(plane: ControlPlane, kubelet: ProcessKubelet):
    pods = Pods(plane, "films")
    pods.create("unheard", POLITE)
    await_log(kubelet, "unheard", "on")
    (pid,) = kubelet.processes("films/unheard")
    plane.stop_apiserver()
    kubelet.kill_processes("films/unheard", signal.SIGTERM)
    wait_until(lambda: not is_running(pid), WAIT_S, "it lives")
    plane.start_apiserver()
    assert pods.end("unheard")["exitCode"] == 75


@pytest.mark.parametrize("code", [None, 410, 500], ids=["it is cut", "it is too old", "it is broken"])
def test_a_watch_that_ends_loses_no_pod(
    plane: ControlPlane, code: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    name = f"watched-{code}".lower()
    node = NodeSpec(name, {"only": name})
    with FaultProxy(plane) as proxy:
        through = tmp_path / "kubeconfig"
        through.write_text(plane.kubeconfig.read_text().replace(plane.url, proxy.url))
        monkeypatch.setattr(plane, "kubeconfig_for", lambda *_: through)
        with ProcessKubelet(plane, {"python": PYTHON}, [node]) as own:
            wait_until(lambda: proxy.watches("pods"), WAIT_S, "it does not watch")
            proxy.end_watches(code, "pods")
            pods = Pods(plane, "films")
            pods.create(name, "pass", nodeSelector={"only": name})
            assert pods.end(name)["exitCode"] == 0
            own.remove_node(name)


def test_a_drained_node_loses_its_pods_with_grace(plane: ControlPlane, kubelet: ProcessKubelet):
    pods = Pods(plane, "films")
    kubelet.add_node(NodeSpec("full", {"only": "full"}))
    pods.create("moved", POLITE, nodeSelector={"only": "full"})
    await_log(kubelet, "moved", "on")
    plane.kubectl("drain", "full", "--force", "--delete-emptydir-data", "--timeout=120s")
    assert not plane.api.exists(f"{pods.path}/moved")
    kubelet.remove_node("full")


def test_a_simulated_pod_succeeds_with_the_result_of_its_task(plane: ControlPlane):
    task = build_task()
    pod = {
        "metadata": {"name": "simulated", "annotations": {"wan.video/task": json.dumps(task.to_dict())}},
        "spec": {
            "restartPolicy": "Never",
            "nodeSelector": {"only": "simulated"},
            "containers": [{"name": "runner", "image": "none", "securityContext": RESTRICTED}],
        },
    }
    node = NodeSpec("simulated", {"only": "simulated"})
    with ProcessKubelet(plane, {}, [node], simulation=Simulation(0.1)) as own:
        pods = Pods(plane, "films")
        plane.api.create(pods.path, pod)
        end = pods.end("simulated")
        own.remove_node("simulated")
    result = Result.model_validate_json(end["message"], by_alias=True, by_name=False)
    assert (end["exitCode"], result.category, result.task_digest) == (0, None, task.digest())
    assert result.output is not None


def test_nothing_outlives_the_kubelet(plane: ControlPlane):
    node = NodeSpec("brief", {"only": "brief"})
    with ProcessKubelet(plane, {"python": Image(PYTHON.command)}, [node]) as own:
        pods = Pods(plane, "films")
        pods.create("survivor", DEAF, nodeSelector={"only": "brief"})
        await_log(own, "survivor", "on")
        (pid,) = own.processes("films/survivor")
        assert os.getpgid(pid) == pid
    wait_until(lambda: not is_running(pid), WAIT_S, "it lives")
    plane.api.delete("/api/v1/nodes/brief")
