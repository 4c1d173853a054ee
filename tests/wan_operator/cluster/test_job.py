"""The Job of an attempt: what stands in it, what no pod template can change, and what the API server says."""

from __future__ import annotations

import json
from typing import Any

import kubernetes_validate
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wan_operator.cluster.documents import node_document, settings_of
from tests.wan_operator.cluster.jobs import METADATA, job_of
from tests.wan_operator.worlds import UID
from wan_core.api.status import Metadata
from wan_core.task import Task
from wan_operator.cluster.pods import read_job, read_pod

KUBERNETES = "1.36"
NO_GPU = node_document("cpu-1", labels={}, gpus=None)
TINY = {"model": "wan-tiny", "quality": "lossless"}


def pod_of(job: dict[str, Any]) -> dict[str, Any]:
    pod: dict[str, Any] = job["spec"]["template"]["spec"]
    return pod


def runner_of(job: dict[str, Any]) -> dict[str, Any]:
    (container,) = pod_of(job)["containers"]
    assert isinstance(container, dict)
    return container


def templated(**spec: Any) -> dict[str, Any]:
    """A Job made with this pod template."""
    return job_of(settings_of(runner={"image": "i", "podTemplate": {"spec": spec}}))


SETTINGS = [
    pytest.param({}, {}, id="as it comes"),
    pytest.param({"cache": {"type": "claim"}}, {"deadlines": {"run": "1h"}}, id="a claim and a deadline"),
    pytest.param(
        {"cache": {"sizeLimit": "50Gi"}, "s3": {"endpointUrl": "http://s3:9000"}}, TINY, id="on the CPU"
    ),
]


@pytest.mark.parametrize(("settings", "spec"), SETTINGS)
def test_a_job_is_valid_by_the_schema_of_kubernetes(settings: dict[str, Any], spec: dict[str, Any]) -> None:
    kubernetes_validate.validate(job_of(settings_of(**settings), **spec), KUBERNETES, strict=True)


def test_it_runs_one_pod_once() -> None:
    spec = job_of()["spec"]
    assert {key: spec[key] for key in spec if key != "template"} == {
        "backoffLimit": 0,
        "podReplacementPolicy": "Failed",
        "completions": 1,
        "parallelism": 1,
    }


def test_it_belongs_to_its_resource_and_can_be_found() -> None:
    job = job_of()
    (owner,) = job["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"]) == ("VideoGeneration", UID, True)
    assert "blockOwnerDeletion" not in owner
    for labels in (job["metadata"]["labels"], job["spec"]["template"]["metadata"]["labels"]):
        assert labels["wan.video/uid"] == UID
        assert labels["wan.video/attempt"] == "1"
        assert labels["app.kubernetes.io/managed-by"] == "wan-operator"


def test_its_names_fit_into_labels_however_long_the_resources_name() -> None:
    job = job_of(metadata=Metadata(name="a" * 62 + "." + "b" * 190, namespace="wan-video", uid=UID))
    assert len(job["metadata"]["name"]) <= 63
    assert job["metadata"]["labels"]["wan.video/name"] == "a" * 62


def test_what_was_built_is_read_back() -> None:
    job = job_of()
    job["metadata"] |= {"uid": "j", "creationTimestamp": "2026-01-01T12:00:00Z"}
    task = Task.model_validate(
        json.loads(job["spec"]["template"]["metadata"]["annotations"]["wan.video/task"])
    )
    facts = read_job(job)
    assert facts is not None
    assert facts.plans == tuple(rung.plan.label for rung in task.rungs)
    assert facts.task_digest == task.digest()
    pod = read_pod({"metadata": job["spec"]["template"]["metadata"], "spec": pod_of(job), "status": {}})
    assert (pod.plans, pod.task_digest, pod.attempt, pod.gpus) == (facts.plans, facts.task_digest, 1, 1)


def test_the_prompt_stands_in_the_task_alone() -> None:
    text = "a canary on a perch"
    job = job_of(prompt=text)
    annotations = job["spec"]["template"]["metadata"]["annotations"]
    assert text in annotations.pop("wan.video/task")
    assert text not in json.dumps(job)


def test_requests_are_those_of_the_neediest_rung_and_what_python_needs() -> None:
    job = job_of(settings_of(runner={"image": "i", "hostOverheadGib": 2, "cpu": "3"}))
    annotation = job["spec"]["template"]["metadata"]["annotations"]["wan.video/task"]
    most = max(rung["memory"]["hostGib"] for rung in json.loads(annotation)["rungs"])
    resources = runner_of(job)["resources"]
    mib = int(resources["requests"]["memory"].removesuffix("Mi"))
    assert 0 <= mib - (most + 2) * 1024 < 1
    assert resources["limits"] == {"memory": f"{mib}Mi", "nvidia.com/gpu": "1"}
    assert (resources["requests"]["cpu"], resources["requests"]["nvidia.com/gpu"]) == ("3", "1")


@pytest.mark.parametrize(
    ("cache", "gib"),
    [
        pytest.param("emptyDir", 14, id="weights of t2v-1.3B that end with the pod"),
        pytest.param("claim", 1, id="weights that stay"),
    ],
)
def test_the_disk_that_it_takes_of_its_node_is_requested(cache: str, gib: int) -> None:
    job = job_of(settings_of(cache={"type": cache}))
    requested = runner_of(job)["resources"]["requests"]["ephemeral-storage"]
    assert int(requested.removesuffix("Mi")) // 1024 == gib


@pytest.mark.parametrize(
    ("cache", "told"),
    [
        pytest.param({"type": "claim"}, None, id="unlimited"),
        pytest.param({"type": "claim", "sizeLimit": "500Gi"}, 500 * 2**30, id="of a claim all"),
        pytest.param({"type": "emptyDir", "sizeLimit": "160Gi"}, 150 * 2**30, id="of what ends the pod less"),
    ],
)
def test_the_runner_is_told_how_large_its_cache_may_be(cache: dict[str, str], told: int | None) -> None:
    env = {entry["name"]: entry["value"] for entry in runner_of(job_of(settings_of(cache=cache)))["env"]}
    assert env.get("WAN_CACHE_MAX_BYTES") == (None if told is None else str(told))


def test_a_plan_on_the_cpu_asks_for_no_gpu_and_prefers_a_node_without() -> None:
    job = job_of(nodes=[NO_GPU], **TINY)
    resources = runner_of(job)["resources"]
    assert "nvidia.com/gpu" not in resources["requests"] | resources["limits"]
    assert "tolerations" not in pod_of(job)
    assert pod_of(job)["affinity"] == {
        "nodeAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [
                {
                    "weight": 100,
                    "preference": {
                        "matchExpressions": [{"key": "nvidia.com/gpu.product", "operator": "DoesNotExist"}]
                    },
                }
            ]
        }
    }


def test_volumes_are_mounted_where_the_runner_looks() -> None:
    job = job_of()
    mounts = {m["name"]: m["mountPath"] for m in runner_of(job)["volumeMounts"]}
    volumes = {v["name"]: v for v in pod_of(job)["volumes"]}
    assert set(mounts) == set(volumes) == {"task", "report-token", "s3", "cache", "scratch"}
    arguments = runner_of(job)["args"]
    assert arguments[0] == "run"
    assert arguments[arguments.index("--task") + 1].startswith(mounts["task"])
    assert arguments[arguments.index("--report-token-file") + 1].startswith(mounts["report-token"])
    token = volumes["report-token"]["projected"]["sources"][0]["serviceAccountToken"]
    assert token["audience"] == f"wan.video/{UID}/1"
    assert volumes["s3"]["secret"] == {"secretName": "wan-s3", "optional": True, "defaultMode": 0o440}


def test_the_kubelet_bounds_the_run_if_the_operator_cannot() -> None:
    assert pod_of(job_of(deadlines={"run": "1h"}))["activeDeadlineSeconds"] == 3720
    assert "activeDeadlineSeconds" not in pod_of(job_of())


def test_a_priority_class_is_set_only_if_it_was_asked_for() -> None:
    assert "priorityClassName" not in pod_of(job_of())
    assert pod_of(job_of(scheduling={"priorityClassName": "low"}))["priorityClassName"] == "low"
    assert pod_of(templated(priorityClassName="video"))["priorityClassName"] == "video"


def test_a_pod_template_adds_what_we_do_not_pin() -> None:
    ca = {"name": "ca", "configMap": {"name": "ca"}}
    mount = {"name": "ca", "mountPath": "/etc/ssl/certs"}
    proxy = {"name": "HTTPS_PROXY", "value": "http://proxy:3128"}
    tolerations = [{"key": "pool", "operator": "Exists"}]
    container = {
        "name": "runner",
        "env": [proxy],
        "volumeMounts": [mount],
        "resources": {"limits": {"cpu": "8"}},
    }
    job = templated(
        runtimeClassName="nvidia",
        volumes=[ca],
        containers=[container],
        tolerations=tolerations,
        hostUsers=False,
    )
    pod, runner = pod_of(job), runner_of(job)
    assert (pod["runtimeClassName"], pod["hostUsers"]) == ("nvidia", False)
    assert ca in pod["volumes"]
    assert mount in runner["volumeMounts"]
    assert proxy in runner["env"]
    assert runner["resources"]["limits"]["cpu"] == "8"
    assert [t["key"] for t in pod["tolerations"]] == ["pool", "nvidia.com/gpu"]


def test_labels_and_annotations_of_the_pod_template_come_along() -> None:
    template = {"metadata": {"labels": {"team": "a"}, "annotations": {"karpenter.sh/do-not-disrupt": "true"}}}
    metadata = job_of(settings_of(runner={"image": "i", "podTemplate": template}))["spec"]["template"][
        "metadata"
    ]
    assert metadata["labels"]["team"] == "a"
    assert metadata["annotations"]["karpenter.sh/do-not-disrupt"] == "true"


def test_the_required_affinity_of_the_pod_template_holds_beside_ours() -> None:
    pool = [{"key": "pool", "operator": "In", "values": [name]} for name in ("a", "b")]
    terms = [{"matchExpressions": [expression]} for expression in pool]
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    affinity = pod_of(templated(affinity={"nodeAffinity": required, "podAffinity": {}}))["affinity"]
    ours = pod_of(job_of())["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    joined = affinity["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert len(joined) == 2 * len(ours["nodeSelectorTerms"])
    assert all(sum(e in pool for e in term["matchExpressions"]) == 1 for term in joined)
    assert affinity["podAffinity"] == {}


PINNED_POD = (
    "restartPolicy",
    "automountServiceAccountToken",
    "enableServiceLinks",
    "serviceAccountName",
    "terminationGracePeriodSeconds",
)
PINNED_RUNNER = (
    "name",
    "image",
    "imagePullPolicy",
    "args",
    "terminationMessagePath",
    "terminationMessagePolicy",
)
FORBIDDEN_POD = ("initContainers", "ephemeralContainers", "hostNetwork", "hostPID", "hostIPC")
FORBIDDEN_RUNNER = ("command", "envFrom")

junk = st.sampled_from([None, True, False, "x", 0, "Always", [], {}])
IDENTITY = ("runAsUser", "runAsNonRoot", "runAsGroup", "seccompProfile", "fsGroup", "supplementalGroups")
RIGHTS = ("privileged", "capabilities", "allowPrivilegeEscalation", "readOnlyRootFilesystem")
contexts = st.dictionaries(st.sampled_from((*IDENTITY, *RIGHTS)), junk)
containers = st.fixed_dictionaries(
    {"name": st.sampled_from(["runner", "sidecar"])},
    optional={
        **dict.fromkeys((*PINNED_RUNNER[1:], *FORBIDDEN_RUNNER), junk),
        "securityContext": contexts,
        "env": st.lists(st.fixed_dictionaries({"name": st.sampled_from(["HOME", "AWS_REGION", "OTHER"])})),
        "resources": st.fixed_dictionaries(
            {},
            optional={
                kind: st.dictionaries(st.sampled_from(["memory", "cpu", "nvidia.com/gpu", "x"]), st.just("1"))
                for kind in ("requests", "limits")
            },
        ),
        "volumeMounts": st.lists(
            st.fixed_dictionaries(
                {
                    "name": st.just("evil"),
                    "mountPath": st.sampled_from(["/tmp", "/etc/wan/task", "/var/cache/wan"]),
                }
            )
        ),
    },
)
pods = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys((*PINNED_POD, *FORBIDDEN_POD), junk),
        "securityContext": contexts,
        "containers": st.lists(containers, max_size=2, unique_by=lambda c: c["name"]),
        "volumes": st.lists(
            st.fixed_dictionaries(
                {"name": st.sampled_from(["task", "s3", "cache", "more"]), "hostPath": junk}
            )
        ),
    },
)
labels = st.dictionaries(st.sampled_from(["wan.video/uid", "wan.video/attempt", "app"]), st.just("x"))
metadatas = st.fixed_dictionaries({}, optional={"labels": labels, "annotations": labels})


def holds(pinned: dict[str, Any], made: dict[str, Any]) -> bool:
    """Whether all that is pinned stands in what was made."""
    return pinned.items() <= made.items()


def first_by(entries: list[dict[str, Any]], key: str) -> dict[str, Any]:
    """The entries by their key; AssertionError if one of ours is there twice."""
    ours = [entry for entry in entries if entry[key] not in ("OTHER", "more")]
    assert len({entry[key] for entry in ours}) == len(ours)
    return {entry[key]: entry for entry in ours}


@given(pods, metadatas)
def test_whatever_the_pod_template_says_what_is_pinned_stands(spec: dict[str, Any], metadata: Any) -> None:
    template = {"spec": spec, "metadata": metadata}
    plain, job = job_of(), job_of(settings_of(runner={"podTemplate": template}))
    (ours, pod), (mine, runner) = ((f(plain), f(job)) for f in (pod_of, runner_of))
    assert holds({key: ours[key] for key in PINNED_POD}, pod)
    assert holds({key: mine[key] for key in PINNED_RUNNER}, runner)
    assert not {*FORBIDDEN_POD} & {*pod}
    assert not {*FORBIDDEN_RUNNER} & {*runner}
    assert holds(ours["securityContext"], pod["securityContext"])
    assert holds(mine["securityContext"], runner["securityContext"])
    disk = {"ephemeral-storage"}  # the administrator may know better
    for kind, pinned in mine["resources"].items():
        assert holds({k: v for k, v in pinned.items() if k not in disk}, runner["resources"][kind])
    assert holds(first_by(ours["volumes"], "name"), first_by(pod["volumes"], "name"))
    assert holds(first_by(mine["env"], "name"), first_by(runner["env"], "name"))
    assert holds(first_by(mine["volumeMounts"], "mountPath"), first_by(runner["volumeMounts"], "mountPath"))
    for part in ("labels", "annotations"):
        known, made = (j["spec"]["template"]["metadata"][part] for j in (plain, job))
        assert holds(known, made)


def test_a_metadata_without_uid_has_no_attempt() -> None:
    assert read_job(job_of(metadata=METADATA.model_copy(update={"uid": ""})) | {"status": {}}) is None
