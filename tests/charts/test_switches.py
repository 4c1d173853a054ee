"""Each switch of the chart's values does what its comment says: one file of values/, one test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml

from tests.charts.render import FOLDER, NAMES, Rendered

pytestmark = pytest.mark.slow  # helm may have to be built first

Check = Callable[[Rendered], None]
CHECKS: dict[str, Check] = {}


def turns(name: str) -> Callable[[Check], Check]:
    """The check of values/NAME.yaml."""

    def register(check: Check) -> Check:
        CHECKS[name] = check
        return check

    return register


def values(name: str) -> dict[str, Any]:
    data: dict[str, Any] = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
    return data


def egress_of(rendered: Rendered, namespace: str = "wan-video") -> list[dict[str, Any]]:
    rules: list[dict[str, Any]] = rendered.one("NetworkPolicy", "wan-runner", namespace)["spec"]["egress"]
    return rules


def cidrs(rule: dict[str, Any]) -> list[str]:
    return [peer["ipBlock"]["cidr"] for peer in rule["to"] if "ipBlock" in peer]


def ports(rule: dict[str, Any]) -> list[int]:
    return [port["port"] for port in rule["ports"]]


@turns("minimal")
def everything_is_on(rendered: Rendered) -> None:
    assert rendered.names("Namespace") == [(None, "wan-node-cache"), (None, "wan-video")]
    assert len(rendered.all("ValidatingAdmissionPolicy")) == len(rendered.all("CustomResourceDefinition")) * 2
    assert rendered.all("ServiceMonitor") == []
    assert rendered.settings["runner"]["image"] == "wan-runner:0.1.0"


@turns("image-buckets")
def buckets_are_allowed(rendered: Rendered) -> None:
    assert rendered.settings["imageBuckets"] == ["inputs", "more-inputs"]


@turns("s3-elsewhere")
def s3_is_elsewhere(rendered: Rendered) -> None:
    assert rendered.settings["s3"] == {**values("s3-elsewhere")["s3"], "credentials": "secret"}
    assert ports(egress_of(rendered)[1]) == [9000]
    assert any("v.secret.secretName == 'films-s3'" in rule for _, rule in rendered.job_rules())


@turns("egress-named")
def runners_reach_only_what_is_named(rendered: Rendered) -> None:
    dns, s3, sts, proxy, report, other = egress_of(rendered)
    assert cidrs(dns) == ["169.254.20.10/32"]
    assert (cidrs(s3), ports(s3)) == (["203.0.113.0/24", "2001:db8::/32"], [9000])
    assert (cidrs(sts), ports(sts)) == (["198.51.100.7/32"], [443])
    assert ports(report) == [8081]
    assert cidrs(report) == []
    assert (cidrs(proxy), ports(proxy)) == (["10.1.2.3/32"], [3128])
    assert other == values("egress-named")["egress"]["additional"][0]


@turns("s3-web-identity")
def runners_take_a_role_by_a_token(rendered: Rendered) -> None:
    given = values("s3-web-identity")["s3"]
    assert (
        rendered.settings["s3"].items()
        >= {**given, "caBundle": {"kind": "ConfigMap", **given["caBundle"]}}.items()
    )
    _, _, sts, report = egress_of(rendered)
    assert (cidrs(sts), ports(sts)) == (["0.0.0.0/0", "::/0"], [9443])
    assert ports(report) == [8081]
    volumes = dict(rendered.job_rules())["the pod has a volume that is not a runner's"]
    assert "s.serviceAccountToken.?audience.orValue('') == 'sts.example.com'" in volumes
    assert "(v.name == 's3-ca' && has(v.configMap) && v.configMap.name == 'roots')" in volumes
    assert "v.name == 's3' " not in volumes


@turns("s3-pod-identity")
def runners_ask_the_agent_of_their_node(rendered: Rendered) -> None:
    asked = {"credentials": "podIdentity", "anonymousBuckets": ["open-models"]}
    assert rendered.settings["s3"].items() >= asked.items()
    assert "webIdentity" not in rendered.settings["s3"]
    agent = egress_of(rendered)[2]
    assert (cidrs(agent), ports(agent)) == (["169.254.170.23/32", "fd00:ec2::23/128"], [80])


@turns("s3-node-role")
def runners_are_their_node(rendered: Rendered) -> None:
    given = values("s3-node-role")["s3"]
    assert rendered.settings["s3"]["proxy"] == given["proxy"]
    _, _, metadata, proxy, _ = egress_of(rendered)
    assert (cidrs(metadata), ports(metadata)) == (["169.254.169.254/32", "fd00:ec2::254/128"], [80])
    assert (cidrs(proxy), ports(proxy)) == (["0.0.0.0/0", "::/0"], [3128])
    volumes = dict(rendered.job_rules())["the pod has a volume that is not a runner's"]
    assert "(v.name == 's3-ca' && has(v.secret) && v.secret.secretName == 'roots')" in volumes


@turns("namespaces-several")
def each_namespace_gets_all_that_it_needs(rendered: Rendered) -> None:
    for name in ("films", "trailers"):
        for kind in ("Role", "RoleBinding"):
            assert {n for space, n in rendered.names(kind) if space == name} == {
                "wan-operator",
                "wan-video-user",
            }
        for kind in ("ServiceAccount", "NetworkPolicy", "PersistentVolumeClaim"):
            assert len([1 for space, _ in rendered.names(kind) if space == name]) == 1
        subjects = rendered.one("RoleBinding", "wan-video-user", name)["subjects"]
        assert subjects == values("namespaces-several")["generations"]["users"]
        volume = rendered.one("PersistentVolume", f"wan-cache-{name}")["spec"]
        assert volume["claimRef"]["namespace"] == name
    assert rendered.settings["namespaces"] == ["films", "trailers"]


@turns("namespaces-yours")
def namespaces_that_are_yours_are_not_made(rendered: Rendered) -> None:
    assert (None, "films") not in rendered.names("Namespace")
    assert ("films", "wan-operator") in rendered.names("Role")


@turns("images-by-digest")
def a_digest_wins_over_a_tag(rendered: Rendered) -> None:
    assert rendered.container["image"] == "registry.example.com/wan-operator@sha256:" + "1" * 64
    assert rendered.container["imagePullPolicy"] == "Always"
    assert rendered.pod["imagePullSecrets"] == [{"name": "registry"}]
    runner = "registry.example.com/wan-runner@sha256:" + "2" * 64
    assert rendered.settings["runner"]["image"] == runner
    assert rendered.settings["runner"]["imagePullPolicy"] == "Never"
    assert (f"the image must be {runner}", f"variables.runner.image == '{runner}'") in rendered.job_rules()
    daemon = rendered.one("DaemonSet")["spec"]["template"]["spec"]
    assert daemon["imagePullSecrets"] == [{"name": "registry"}]


@turns("runner")
def the_runner_s_surroundings_are_settings(rendered: Rendered) -> None:
    runner = rendered.settings["runner"]
    assert (runner["cpu"], runner["hostOverheadGib"], runner["gracePeriodS"]) == ("1500m", 2.5, 120)
    assert ("wan-video", "film-runner") in rendered.names("ServiceAccount")
    folder_maker = rendered.one("DaemonSet")["spec"]["template"]["spec"]["initContainers"][0]
    assert folder_maker["command"][-1] == "12345"
    assert 'in ["rush","batch"]' in "".join(rule for _, rule in rendered.job_rules())


@turns("pod-template")
def jobs_may_have_what_the_pod_template_names(rendered: Rendered) -> None:
    rules = dict(rendered.job_rules())
    volumes = rules["the pod has a volume that is not a runner's"]
    assert "(v.name == 'ca' && has(v.configMap) && v.configMap.name == 'ca-bundle')" in volumes
    assert "(v.name == 'shm' && has(v.emptyDir))" in volumes
    assert rules["the pod asks for a priority class that is not allowed"].endswith('in ["nightly"]')
    assert not any("runtimeClassName" in rule or "imagePullSecrets" in rule for rule in rules.values())
    assert any("nodeName" in rule for rule in rules.values())


@turns("cache-node")
def the_cache_is_a_folder_on_each_node(rendered: Rendered) -> None:
    volume = rendered.one("PersistentVolume", "films-cache-wan-video")["spec"]
    assert volume["hostPath"] == {"path": "/mnt/nvme/wan/weights", "type": "Directory"}
    assert "nodeAffinity" not in volume
    assert volume["persistentVolumeReclaimPolicy"] == "Retain"
    claim = rendered.one("PersistentVolumeClaim", "films-cache", "wan-video")["spec"]
    assert claim["volumeName"] == "films-cache-wan-video"
    assert claim["accessModes"] == volume["accessModes"] == ["ReadWriteMany"]
    assert claim["resources"]["requests"] == volume["capacity"] == {"storage": "2Ti"}
    maker = rendered.one("DaemonSet", namespace="film-nodes")["spec"]["template"]["spec"]
    assert maker["volumes"][0]["hostPath"]["path"] == "/mnt/nvme/wan"
    assert maker["initContainers"][0]["command"][3] == "/parent/weights"
    assert maker["nodeSelector"] == {"pool": "gpu"}
    assert maker["tolerations"] == [{"key": "gpu", "operator": "Exists"}]
    labels = rendered.one("Namespace", "film-nodes")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "privileged"


@turns("cache-node-by-hand")
def folders_made_by_hand_need_no_daemonset(rendered: Rendered) -> None:
    assert rendered.all("DaemonSet") == []
    assert rendered.names("Namespace") == [(None, "wan-video")]
    assert len(rendered.all("PersistentVolume")) == 1


@turns("cache-claim")
def a_claim_of_yours_is_only_named(rendered: Rendered) -> None:
    assert rendered.settings["cache"] == {"type": "claim", "claimName": "shared-weights"}
    assert rendered.all("PersistentVolume") + rendered.all("PersistentVolumeClaim") == []
    assert rendered.all("DaemonSet") == []
    assert "claimName == 'shared-weights'" in "".join(rule for _, rule in rendered.job_rules())


@turns("cache-empty-dir")
def a_cache_may_end_with_the_pod(rendered: Rendered) -> None:
    assert rendered.settings["cache"] == {"type": "emptyDir", "sizeLimit": "200Gi"}
    assert rendered.all("PersistentVolume") + rendered.all("DaemonSet") == []
    assert "v.name == 'cache' && has(v.emptyDir)" in "".join(rule for _, rule in rendered.job_rules())


@turns("inventory")
def pods_of_the_whole_cluster_are_read_only_if_asked_for(rendered: Rendered) -> None:
    assert rendered.settings["inventory"] == values("inventory")["inventory"]
    pods = {"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]}
    assert pods in rendered.one("ClusterRole")["rules"]
    assert pods not in rendered.one("Role", "wan-operator")["rules"]
    served = Rendered("minimal")
    assert pods not in served.one("ClusterRole")["rules"]
    assert pods in served.one("Role", "wan-operator")["rules"]


@turns("planning")
def prices_rates_and_measurements_reach_the_planner(rendered: Rendered) -> None:
    assert rendered.settings["planning"] == values("planning")["planning"]


@turns("models")
def an_administrator_s_own_models_are_known(rendered: Rendered) -> None:
    assert rendered.settings["models"] == values("models")["models"]


@turns("addresses")
def addresses_are_chosen(rendered: Rendered) -> None:
    assert rendered.settings["report"] == {"port": 9091, "url": "http://127.0.0.1:9091/v1/progress"}
    assert rendered.settings["healthPort"] == 9090
    assert [p["containerPort"] for p in rendered.container["ports"]] == [9090, 9091]
    assert [s["spec"]["ports"][0]["port"] for s in rendered.all("Service")] == [9091, 9090]
    ingress = rendered.one("NetworkPolicy", "wan-operator")["spec"]["ingress"]
    assert [ports(rule) for rule in ingress] == [[9091], [9090]]
    assert ports(egress_of(rendered)[-1]) == [9091]


@turns("service-monitor")
def prometheus_is_told(rendered: Rendered) -> None:
    monitor = rendered.one("ServiceMonitor")
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    assert monitor["spec"]["endpoints"] == [{"port": "metrics", "interval": "10s"}]
    service = rendered.one("Service", "wan-operator-metrics")
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    other = rendered.one("Service", "wan-operator-report")
    assert not monitor["spec"]["selector"]["matchLabels"].items() <= other["metadata"]["labels"].items()
    metrics = rendered.one("NetworkPolicy", "wan-operator")["spec"]["ingress"][1]
    assert metrics["from"] == values("service-monitor")["networkPolicy"]["metricsFrom"]


@turns("no-network-policies")
def the_network_may_be_left_alone(rendered: Rendered) -> None:
    assert rendered.all("NetworkPolicy") == []


@turns("api")
def pace_and_log_level_are_settings(rendered: Rendered) -> None:
    expected = {"writesPerSecond": 50, "writeBurst": 60, "workers": 8, "resyncS": 60.5}
    assert rendered.settings["api"] == expected
    assert (rendered.settings["stallAfterS"], rendered.settings["logLevel"]) == (90, "DEBUG")
    assert ports(rendered.one("NetworkPolicy", "wan-operator")["spec"]["egress"][1]) == [8443]


@turns("no-crds")
def the_crd_may_be_somebody_else_s(rendered: Rendered) -> None:
    assert rendered.all("CustomResourceDefinition") == []


@turns("no-admission-policies")
def policies_may_be_left_out(rendered: Rendered) -> None:
    assert [d for d in rendered.documents if "AdmissionPolicy" in d["kind"]] == []


@turns("operator-pod")
def the_operator_s_pod_goes_where_it_is_told(rendered: Rendered) -> None:
    given = values("operator-pod")
    fields = ("terminationGracePeriodSeconds", "priorityClassName", "nodeSelector", "tolerations", "affinity")
    for field in fields:
        assert rendered.pod[field] == given[field]
    assert rendered.pod["securityContext"]["runAsUser"] == 54321
    assert rendered.container["image"] == "wan-operator:nightly"
    assert rendered.container["resources"] == given["resources"]
    metadata = rendered.one("Deployment", "films")["spec"]["template"]["metadata"]
    assert metadata["annotations"]["note"] == "here"
    assert metadata["labels"]["team"] == "films"
    assert rendered.settings["runner"]["image"] == "wan-runner:nightly"
    assert rendered.settings["report"]["url"] == "http://films-report.wan-system.svc:8081/v1/progress"
    subject = {"kind": "ServiceAccount", "name": "films", "namespace": "wan-system"}
    assert rendered.one("ClusterRoleBinding")["subjects"] == [subject]
    policy = rendered.one("ValidatingAdmissionPolicy", "films-jobs")["spec"]
    assert "system:serviceaccount:wan-system:films" in policy["matchConditions"][0]["expression"]


@pytest.mark.parametrize("name", NAMES)
def test_the_switch_does_what_it_says(name: str) -> None:
    CHECKS[name](Rendered(name))


def test_every_check_has_its_file() -> None:
    assert sorted(CHECKS) == NAMES
