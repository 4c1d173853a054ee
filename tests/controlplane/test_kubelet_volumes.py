"""What a pod is given: volumes, environment, tokens. On the control plane; the pure parts without it."""

from __future__ import annotations

import base64
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.controlplane import kubelet_volumes
from tests.controlplane.client import Document
from tests.controlplane.control_plane import ControlPlane
from tests.controlplane.kubelet import Image, NodeSpec, ProcessKubelet
from tests.controlplane.kubelet_memory import read_bytes
from tests.controlplane.kubelet_process import expand
from tests.controlplane.kubelet_volumes import Paths, read_field
from tests.controlplane.pods import MESSAGE, PYTHON, RESTRICTED, WAIT_S, Pods, state_of, waiting_reason
from tests.controlplane.process import wait_until

CAT = "import sys; open(sys.argv[1], 'w').write(open(sys.argv[2]).read())"
LIST = "import os, sys; open(sys.argv[1], 'w').write(repr(os.listdir(sys.argv[2])))"
SHOW = "import json, os, sys; open(sys.argv[1], 'w').write(json.dumps(dict(os.environ)))"
AUDIENCE = "wan.video/u-1/1"


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with ControlPlane(tmp_path_factory.mktemp("cluster")) as started:
        started.namespace("films")
        yield started


@pytest.fixture(scope="module")
def kubelet(plane: ControlPlane) -> Iterator[ProcessKubelet]:
    nodes = [NodeSpec("a", {"name": "a"}), NodeSpec("b", {"name": "b"})]
    images = {"python": PYTHON, "env": Image((sys.executable, "-c"), {"A": "b"})}
    with ProcessKubelet(plane, images, nodes) as started:
        yield started


@pytest.fixture
def pods(plane: ControlPlane, kubelet: ProcessKubelet) -> Pods:
    return Pods(plane, "films")


def cat(pods: Pods, name: str, volume: Document, file: str = "file", **more: Any) -> None:
    """A pod that prints a file of this volume."""
    mounts = {"volumeMounts": [{"name": "v", "mountPath": "/etc/given"}]}
    volumes = [{"name": "v", **volume}]
    pods.create(name, CAT, MESSAGE, f"/etc/given/{file}", container=mounts, volumes=volumes, **more)


SOURCES: dict[str, tuple[Document, str]] = {
    "a secret": ({"secret": {"secretName": "keys"}}, "from a secret"),
    "an item of a secret": (
        {"secret": {"secretName": "keys", "items": [{"key": "file", "path": "file"}]}},
        "from a secret",
    ),
    "a config map": ({"configMap": {"name": "settings"}}, "from a config map"),
    "the downward API": (
        {"downwardAPI": {"items": [{"path": "file", "fieldRef": {"fieldPath": "metadata.name"}}]}},
        "cat-3",
    ),
    "a projection": ({"projected": {"sources": [{"configMap": {"name": "settings"}}]}}, "from a config map"),
}


@pytest.mark.slow
@pytest.mark.parametrize("says", SOURCES)
def test_a_file_is_mounted_from(pods: Pods, says: str):
    volume, content = SOURCES[says]
    offer(pods)
    name = f"cat-{list(SOURCES).index(says)}"
    cat(pods, name, volume)
    assert pods.end(name)["message"] == content


def offer(pods: Pods) -> None:
    """The Secret and the ConfigMap that the table speaks of."""
    core = f"/api/v1/namespaces/{pods.namespace}"
    if not pods.plane.api.exists(f"{core}/secrets/keys"):
        secret = {"file": base64.b64encode(b"from a secret").decode()}
        pods.plane.api.create(f"{core}/secrets", {"metadata": {"name": "keys"}, "data": secret})
        settings = {"metadata": {"name": "settings"}, "data": {"file": "from a config map"}}
        pods.plane.api.create(f"{core}/configmaps", settings)


@pytest.mark.slow
def test_a_pod_waits_for_its_secret_with_an_event_and_goes_on(pods: Pods):
    cat(pods, "waits", {"secret": {"secretName": "late"}})
    wait_until(lambda: pods.events("waits", "FailedMount"), WAIT_S, "no event")
    (event,) = pods.events("waits", "FailedMount")
    assert event["message"] == 'MountVolume.SetUp failed for volume "v" : secret "late" not found'
    assert waiting_reason(pods.get("waits")) == "ContainerCreating"
    wait_until(lambda: pods.events("waits", "FailedMount")[0]["count"] > 1, WAIT_S, "it is not repeated")
    data = {"file": base64.b64encode(b"at last").decode()}
    pods.plane.api.create("/api/v1/namespaces/films/secrets", {"metadata": {"name": "late"}, "data": data})
    assert pods.end("waits")["message"] == "at last"


@pytest.mark.slow
def test_an_optional_secret_that_is_missing_is_an_empty_folder(pods: Pods):
    mounts = {"volumeMounts": [{"name": "v", "mountPath": "/etc/given"}]}
    volumes = [{"name": "v", "secret": {"secretName": "never", "optional": True}}]
    pods.create("empty", LIST, MESSAGE, "/etc/given", container=mounts, volumes=volumes)
    assert pods.end("empty")["message"] == "[]"


@pytest.mark.slow
def test_a_projected_token_is_accepted_for_its_audience_and_names_its_pod(pods: Pods):
    token = {"serviceAccountToken": {"audience": AUDIENCE, "path": "file", "expirationSeconds": 600}}
    cat(pods, "bearer", {"projected": {"sources": [token]}})
    review = {"spec": {"token": pods.end("bearer")["message"], "audiences": [AUDIENCE]}}
    answer = pods.plane.api.create("/apis/authentication.k8s.io/v1/tokenreviews", review)["status"]
    assert answer["authenticated"] is True
    assert answer["user"]["username"] == "system:serviceaccount:films:default"
    uid = pods.get("bearer")["metadata"]["uid"]
    assert answer["user"]["extra"]["authentication.kubernetes.io/pod-uid"] == [uid]
    other = review | {"spec": review["spec"] | {"audiences": ["wan.video/u-1/2"]}}
    path = "/apis/authentication.k8s.io/v1/tokenreviews"
    assert not pods.plane.api.create(path, other)["status"].get("authenticated")


@pytest.mark.slow
def test_a_token_is_renewed_before_it_ends(pods: Pods, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(kubelet_volumes, "RENEW_AT", 0.001)  # of 600 s, the shortest life there is
    program = """
import sys, time
read = lambda: open(sys.argv[1]).read()
first = read()
while read() == first: time.sleep(0.1)
"""
    token = {"serviceAccountToken": {"audience": AUDIENCE, "path": "file", "expirationSeconds": 600}}
    container = {"volumeMounts": [{"name": "v", "mountPath": "/token"}]}
    volumes = [{"name": "v", "projected": {"sources": [token]}}]
    pods.create("patient", program, "/token/file", container=container, volumes=volumes)
    assert pods.end("patient")["exitCode"] == 0


@pytest.mark.slow
def test_a_claim_is_shared_on_a_node_and_not_between_nodes(pods: Pods, kubelet: ProcessKubelet):
    access = {"accessModes": ["ReadWriteMany"], "storageClassName": ""}
    volume = {"capacity": {"storage": "1Gi"}, "hostPath": {"path": "/var/cache/films"}, **access}
    claim = {"resources": {"requests": {"storage": "1Gi"}}, "volumeName": "cache", **access}
    pods.plane.api.create("/api/v1/persistentvolumes", {"metadata": {"name": "cache"}, "spec": volume})
    claims = "/api/v1/namespaces/films/persistentvolumeclaims"
    pods.plane.api.create(claims, {"metadata": {"name": "cache"}, "spec": claim})
    write = f"{LIST}; open(sys.argv[2] + '/x', 'w')"
    mounts = {"volumeMounts": [{"name": "v", "mountPath": "/var/cache/wan"}]}
    volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": "cache"}}]
    found = []
    for name, node in (("first", "a"), ("second", "a"), ("third", "b")):
        pods.create(
            name,
            write,
            MESSAGE,
            "/var/cache/wan",
            container=mounts,
            volumes=volumes,
            nodeSelector={"name": node},
        )
        found.append(pods.end(name)["message"])
    assert found == ["[]", "['x']", "[]"]
    assert (kubelet.node_folder("b") / "var/cache/films/x").exists()


@pytest.mark.slow
def test_a_service_account_is_reached_by_the_kubeconfig_of_its_environment(pods: Pods):
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]
    rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/films"
    pods.plane.api.create(f"{rbac}/roles", {"metadata": {"name": "look"}, "rules": rules})
    binding = {
        "metadata": {"name": "look"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "look"},
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": "films"}],
    }
    pods.plane.api.create(f"{rbac}/rolebindings", binding)
    program = """
import sys
from kubernetes import client, config
config.load_kube_config()
names = [pod.metadata.name for pod in client.CoreV1Api().list_namespaced_pod('films').items]
open(sys.argv[1], 'w').write(str('operator' in names))
"""
    pods.create("operator", program, MESSAGE, automountServiceAccountToken=True)
    assert pods.end("operator")["message"] == "True"


@pytest.mark.slow
def test_the_environment_is_what_the_pod_says_and_nothing_of_ours(
    pods: Pods, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("OURS", "secret")
    offer(pods)
    env = [
        {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
        {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "file"}}},
        {"name": "MAYBE", "valueFrom": {"configMapKeyRef": {"name": "no", "key": "no", "optional": True}}},
        {"name": "BOTH", "value": "$(NODE)-$(KEY)-$(UNKNOWN)"},
        {"name": "TMPDIR", "value": "/tmp"},
    ]
    container = {"image": "env", "env": env, "volumeMounts": [{"name": "scratch", "mountPath": "/tmp"}]}
    volumes = [{"name": "scratch", "emptyDir": {}}]
    pods.create("env", SHOW, MESSAGE, container=container, volumes=volumes, nodeSelector={"name": "b"})
    found = json.loads(pods.end("env")["message"])
    assert found["BOTH"] == "b-from a secret-$(UNKNOWN)"
    assert (found["A"], found["HOSTNAME"]) == ("b", "env")
    assert not found.keys() & {"OURS", "MAYBE"}
    assert found["TMPDIR"].endswith("/volumes/scratch")


@pytest.mark.slow
def test_what_it_does_not_know_is_refused(pods: Pods):
    container = {"envFrom": [{"secretRef": {"name": "keys"}}]}
    pods.create("odd", "pass", container=container)
    pod = pods.wait("odd", lambda pod: waiting_reason(pod) == "CreateContainerConfigError")
    assert "envFrom" in state_of(pod)["waiting"]["message"]


@pytest.mark.slow
def test_an_init_container_goes_first(pods: Pods):
    mounts = {"volumeMounts": [{"name": "v", "mountPath": "/shared"}]}
    write = ["import sys; open(sys.argv[1], 'w').write('ready')", "/shared/x"]
    first = {"name": "first", "image": "python", "args": write}
    pods.create(
        "two-steps",
        CAT,
        MESSAGE,
        "/shared/x",
        container=mounts,
        volumes=[{"name": "v", "emptyDir": {}}],
        initContainers=[first | mounts | {"securityContext": RESTRICTED}],
    )
    assert pods.end("two-steps")["message"] == "ready"


PATHS = {
    "a path": ("/tmp", "/h/tmp"),
    "a path below it": ("/tmp/x/y", "/h/tmp/x/y"),
    "the value of an option": ("--cache=/var/cache/wan", "--cache=/h/c"),
    "several in a list": ("/tmp:/var/cache/wan/x", "/h/tmp:/h/c/x"),
    "a longer name": ("/tmpfs", "/tmpfs"),
    "a path that merely contains it": ("/home/tmp", "/home/tmp"),
    "an S3 address": ("s3://bucket/tmp", "s3://bucket/tmp"),
    "the longest mount wins": ("/tmp/in/x", "/h/in/x"),
}


@pytest.mark.parametrize(("text", "becomes"), PATHS.values(), ids=PATHS.keys())
def test_mounted_paths_are_replaced(text: str, becomes: str):
    paths = Paths({"/tmp": Path("/h/tmp"), "/tmp/in": Path("/h/in"), "/var/cache/wan/": Path("/h/c")})
    assert paths.translate(text) == becomes


def test_without_mounts_nothing_is_replaced():
    assert Paths({}).translate("/tmp") == "/tmp"


FIELDS = {
    "metadata.name": "corgi",
    "metadata.annotations['wan.video/task']": '{"a": 1}',
    "metadata.labels": 'a="1"\nb="say \\"hi\\""',
    "spec.nodeName": "",
}


@pytest.mark.parametrize(("path", "text"), FIELDS.items())
def test_a_field_is_read_by_its_path(path: str, text: str):
    labels = {"b": 'say "hi"', "a": "1"}
    metadata = {"name": "corgi", "annotations": {"wan.video/task": '{"a": 1}'}, "labels": labels}
    assert read_field({"metadata": metadata, "spec": {}}, path) == text


EXPANSIONS = {"$(A)": "1", "$$(A)": "$(A)", "$(B)": "$(B)", "x$(A)y$(A)": "x1y1", "$A": "$A"}


@pytest.mark.parametrize(("text", "becomes"), EXPANSIONS.items())
def test_names_are_expanded_as_kubernetes_does(text: str, becomes: str):
    assert expand(text, {"A": "1"}) == becomes


QUANTITIES = {"100Mi": 100 << 20, "1.5Gi": 3 << 29, "2G": 2 * 10**9, "1024": 1024, "128974848000m": 128974848}


@pytest.mark.parametrize(("text", "size"), QUANTITIES.items())
def test_a_quantity_is_a_number_of_bytes(text: str, size: int):
    assert read_bytes(text) == size


def test_what_is_no_quantity_is_refused():
    with pytest.raises(ValueError, match=re.escape("12 parsecs")):
        read_bytes("12 parsecs")
