"""What holds whatever the values are, and values that are refused."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import yaml

from tests.charts.render import NAMES, NAMESPACE, Refused, Rendered, render_with
from wan_core.api import crd
from wan_operator.cluster.names import PART_LABELS

pytestmark = pytest.mark.slow  # helm may have to be built first

KEEP = {"helm.sh/resource-policy": "keep"}


def test_the_crd_is_that_of_the_tree_and_is_kept() -> None:
    rendered = copy.deepcopy(Rendered().one("CustomResourceDefinition"))
    assert rendered["metadata"].pop("annotations") == KEEP
    assert rendered == yaml.safe_load(crd.PATH.read_text())


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("Namespace", "wan-video"),
        ("Namespace", "wan-node-cache"),
        ("ServiceAccount", "wan-runner"),
        ("PersistentVolume", "wan-cache-wan-video"),
        ("PersistentVolumeClaim", "wan-cache"),
        ("NetworkPolicy", "wan-runner"),
        ("CustomResourceDefinition", "videogenerations.wan.video"),
    ],
)
def test_an_uninstall_keeps_what_running_videos_need(kind: str, name: str) -> None:
    assert Rendered().one(kind, name)["metadata"]["annotations"] == KEEP


@pytest.mark.parametrize("name", NAMES)
def test_no_role_has_a_wildcard_or_a_word_about_secrets(name: str) -> None:
    rendered = Rendered(name)
    rules = [rule for role in rendered.all("Role") + rendered.all("ClusterRole") for rule in role["rules"]]
    granted = [word for rule in rules for field in rule.values() for word in field]
    assert not {"*", "secrets", "pods/exec", "pods/log", "serviceaccounts/token"} & set(granted)


@pytest.mark.parametrize("name", NAMES)
def test_every_pod_of_the_chart_is_restricted_but_for_the_one_that_makes_folders(name: str) -> None:
    for workload in Rendered(name).all("Deployment") + Rendered(name).all("DaemonSet"):
        pod = workload["spec"]["template"]["spec"]
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            context = {**pod["securityContext"], **container["securityContext"]}
            assert context["runAsNonRoot"]
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert not context["allowPrivilegeEscalation"]
            assert context["readOnlyRootFilesystem"]
        for container in pod.get("initContainers", []):
            assert container["name"] == "make-folder"
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["CHOWN"]}


@pytest.mark.parametrize("name", NAMES)
def test_served_namespaces_enforce_the_restricted_standard(name: str) -> None:
    rendered = Rendered(name)
    for namespace in rendered.all("Namespace"):
        if namespace["metadata"]["name"] in rendered.settings["namespaces"]:
            labels = namespace["metadata"]["labels"]
            levels = {labels[f"pod-security.kubernetes.io/{mode}"] for mode in ("enforce", "audit", "warn")}
            assert levels == {"restricted"}


def test_there_is_one_operator_and_never_two_at_once() -> None:
    spec = Rendered().one("Deployment")["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})


def test_network_policies_speak_of_the_labels_that_runners_carry() -> None:
    rendered = Rendered()
    runner = rendered.one("NetworkPolicy", "wan-runner")["spec"]
    assert runner["podSelector"]["matchLabels"] == PART_LABELS
    report = rendered.one("NetworkPolicy", "wan-operator")["spec"]["ingress"][0]
    assert report["from"][0]["podSelector"]["matchLabels"] == PART_LABELS


def test_runners_are_kept_from_the_clouds_credentials() -> None:
    for name in ("minimal", "s3-web-identity"):
        for rule in Rendered(name).one("NetworkPolicy", "wan-runner")["spec"]["egress"][1:-1]:
            v4, v6 = (peer["ipBlock"] for peer in rule["to"])
            assert {"169.254.0.0/16", "100.100.100.200/32"} <= set(v4["except"])
            assert {"fe80::/10", "fd00:ec2::254/128"} <= set(v6["except"])


def test_what_selects_the_operator_selects_no_other_pod() -> None:
    rendered = Rendered()
    (selector,) = {
        tuple(sorted(found.items()))
        for found in (
            rendered.one("Deployment")["spec"]["selector"]["matchLabels"],
            rendered.one("Service", "wan-operator-report")["spec"]["selector"],
            rendered.one("NetworkPolicy", "wan-operator")["spec"]["podSelector"]["matchLabels"],
        )
    }
    labels = rendered.one("DaemonSet")["spec"]["template"]["metadata"]["labels"]
    assert not set(selector) <= set(labels.items())


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no weights": ({"weights": ""}, "weights is not set: say where published models lie"),
    "no output": ({"output": ""}, "output is not set: say where videos go"),
    "weights elsewhere": ({"weights": "https://example.com/models"}, "at '/weights': '"),
    "no namespace": ({"generations": {"namespaces": []}}, "at '/generations/namespaces': minItems"),
    "its own namespace": (
        {"generations": {"namespaces": [NAMESPACE]}},
        "generations.namespaces names wan-system, where the operator itself is installed",
    ),
    "videos beside the folder maker": (
        {"generations": {"namespaces": ["wan-node-cache"]}},
        "cache.node.namespace: wan-node-cache is privileged",
    ),
    "unknown value": ({"imageBucket": ["a"]}, "additional properties 'imageBucket' not allowed"),
    "unknown value below": ({"cache": {"sise": 1}}, "additional properties 'sise' not allowed"),
    "unknown cache": ({"cache": {"type": "nfs"}}, "value must be one of 'node', 'claim', 'emptyDir'"),
    "cache in the root": ({"cache": {"node": {"path": "/cache"}}}, "at '/cache/node/path'"),
    "web identity without a role": (
        {"s3": {"credentials": "webIdentity"}},
        "s3.webIdentity.roleArn is not set: say which role runners take",
    ),
    "a password in a proxy": (
        {"s3": {"proxy": {"url": "http://me:secret@proxy:3128"}}},
        "at '/s3/proxy/url'",
    ),
    "unknown credentials": (
        {"s3": {"credentials": "iam"}},
        "value must be one of 'secret', 'webIdentity', 'podIdentity', 'nodeRole'",
    ),
    "port": ({"healthPort": 0}, "at '/healthPort': minimum"),
    "digest": ({"image": {"digest": "sha256:1"}}, "at '/image/digest'"),
    "pod template": ({"runner": {"podTemplate": {"containers": []}}}, "'containers' not allowed"),
}


def templated(**spec: Any) -> dict[str, Any]:
    return {"runner": {"podTemplate": {"spec": spec}}}


VALUE_FROM = {"name": "A", "valueFrom": {"secretKeyRef": {"name": "db", "key": "a"}}}
TEMPLATES = {
    "init container": (templated(initContainers=[{"name": "a"}]), "initContainers is not for you to set"),
    "host network": (templated(hostNetwork=True), "hostNetwork is not for you to set"),
    "sidecar": (templated(containers=[{"name": "proxy"}]), "proxy; the only container is runner"),
    "image": (templated(containers=[{"name": "runner", "image": "a"}]), "image of runner is not for you"),
    "env from a secret": (
        templated(containers=[{"name": "runner", "env": [VALUE_FROM]}]),
        "env A of runner must have a value",
    ),
    "the volume of the authorities": (
        templated(volumes=[{"name": "s3-ca", "emptyDir": {}}]),
        "s3-ca is the operator's own",
    ),
    "the operator's volume": (
        templated(volumes=[{"name": "s3", "emptyDir": {}}]),
        "s3 is the operator's own",
    ),
}
REFUSED |= TEMPLATES


@pytest.mark.parametrize(("values", "message"), REFUSED.values(), ids=REFUSED)
def test_values_that_cannot_work_are_refused_in_words(values: dict[str, Any], message: str) -> None:
    with pytest.raises(Refused) as refused:
        render_with(values)
    assert message in str(refused.value)
