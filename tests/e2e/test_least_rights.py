"""Least rights: what the operator may do is what it does, and secrets and prompts stay where they belong.

The audit log is the judge: it holds every request of the operator's service account.
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterable
from typing import Any

import pytest

from tests.controlplane.client import Document
from tests.e2e.bed import SYSTEM, Bed, Options, wait_until
from tests.e2e.films import TINY, Films

BED = Options(namespaces=2)
OPERATOR = f"system:serviceaccount:{SYSTEM}:wan-operator"
CANARY = "canary-in-the-prompt-7f3a"
Right = tuple[str, str, str]  # verb, group, resource (with its subresource)


def granted(bed: Bed) -> set[Right]:
    """Every right that the chart binds to the operator's account, anywhere."""
    group = "/apis/rbac.authorization.k8s.io/v1"
    roles: list[Document] = []
    for kind, bindings in (("clusterroles", "clusterrolebindings"), ("roles", "rolebindings")):
        for binding in bed.api.list(f"{group}/{bindings}"):
            subjects = [(s.get("namespace"), s["name"]) for s in binding.get("subjects", [])]
            if (SYSTEM, "wan-operator") not in subjects:
                continue
            namespace = binding["metadata"].get("namespace")
            inside = f"/namespaces/{namespace}" if kind == "roles" else ""
            roles.append(bed.api.get(f"{group}{inside}/{kind}/{binding['roleRef']['name']}"))
    return {
        (verb, api, resource)
        for role in roles
        for rule in role["rules"]
        for api in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def used(bed: Bed) -> Iterable[dict[str, Any]]:
    """The operator's own requests, from the audit log."""
    for line in bed.control.audit_log.read_text().splitlines():
        event = json.loads(line)
        if event["user"]["username"] == OPERATOR and "objectRef" in event:
            yield event


def right_of(event: dict[str, Any]) -> Right:
    ref = event["objectRef"]
    resource = "/".join(part for part in (ref["resource"], ref.get("subresource")) if part)
    return event["verb"], ref.get("apiGroup", ""), resource


@pytest.fixture(scope="module")
def lived(beds: Any) -> Films:
    """A namespace in which everything that the operator can do has happened."""
    bed, witness = beds
    films = Films(bed, witness, bed.take_namespace())
    films.apply("whole", **{**TINY, "prompt": f"{TINY['prompt']} {CANARY}"}, retention={"succeeded": "1h"})
    films.wait_end("whole", "Succeeded")
    films.apply("brief", **TINY, retention={"succeeded": "0s"})
    wait_until(lambda: all(i["metadata"]["name"] != "brief" for i in bed.api.list(films.path)), 120)
    films.apply("stopped", **{**TINY, "steps": 200})
    films.wait_phase("stopped", "Running")
    films.bed.control.kubectl("delete", "job", "-n", films.namespace, "--all", "--wait=false")
    films.wait("stopped", lambda s: s.get("interruptions") == 1, what="an interruption")
    films.edit("stopped", cancel=True)
    films.wait_end("stopped", "Cancelled")
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}}
    path = f"/api/v1/namespaces/{films.namespace}/resourcequotas"
    bed.api.create(path, {**quota, "spec": {"hard": {"pods": "0"}}})
    films.apply("refused", **TINY)
    films.wait_reason("refused", "PodRefused", timeout_s=60)
    bed.api.delete(f"{path}/none")
    films.wait_end("refused", "Succeeded", timeout_s=180)
    return films


def test_the_rights_granted_are_the_rights_used(bed: Bed, lived: Films) -> None:
    missing = granted(bed) - {right_of(event) for event in used(bed)}
    assert not missing, f"granted and never used: {sorted(missing)}"


def test_nothing_was_ever_forbidden(bed: Bed, lived: Films) -> None:
    refused = [e for e in used(bed) if e.get("responseStatus", {}).get("code") == 403]
    jobs = [e for e in refused if e["objectRef"]["resource"] != "jobs"]
    assert not jobs, [right_of(event) for event in jobs]


def test_no_secret_is_ever_asked_for(bed: Bed, lived: Films) -> None:
    assert not [e for e in used(bed) if e["objectRef"]["resource"] in ("secrets", "configmaps")]


def test_the_runner_never_calls_the_api_server(bed: Bed, lived: Films) -> None:
    account = f"system:serviceaccount:{lived.namespace}:wan-runner"
    lines = bed.control.audit_log.read_text().splitlines()
    assert not [e for e in map(json.loads, lines) if e["user"]["username"] == account]


def test_the_prompt_stays_in_spec_and_task(bed: Bed, lived: Films) -> None:
    """Not in logs, events, metrics, nor in the status."""
    told = [
        bed.operator_log(),
        json.dumps(bed.api.list(f"/api/v1/namespaces/{lived.namespace}/events")),
        metrics(bed),
        json.dumps(lived.status("whole")),
    ]
    assert [CANARY in text for text in told] == [False] * len(told)


def test_the_secret_is_nowhere_but_in_its_secret(bed: Bed, lived: Films) -> None:
    secret = bed.s3.secret_key
    objects = [
        *bed.api.list(lived.path),
        *bed.api.list(f"/api/v1/namespaces/{lived.namespace}/pods"),
        *bed.api.list(f"/apis/batch/v1/namespaces/{lived.namespace}/jobs"),
        *bed.api.list(f"/api/v1/namespaces/{lived.namespace}/events"),
    ]
    moments = [m.object for m in lived.witness.moments if m.namespace == lived.namespace]
    told = [json.dumps(o) for o in (*objects, *moments)] + [bed.operator_log(), metrics(bed)]
    assert not [text[:200] for text in told if secret in text]


def test_a_user_may_make_videos_there_and_nothing_else(bed: Bed, lived: Films) -> None:
    ask = bed.control.kubectl
    who = (f"--as=system:serviceaccount:{lived.namespace}:wan-runner", "-n", lived.namespace)
    with pytest.raises(AssertionError):  # kubectl auth can-i exits 1 for no
        ask("auth", "can-i", "create", "pods", *who)
    with pytest.raises(AssertionError):
        ask("auth", "can-i", "get", "videogenerations.wan.video", *who)


def metrics(bed: Bed) -> str:
    """What Prometheus would scrape."""
    with urllib.request.urlopen(f"http://127.0.0.1:{bed.health_port}/metrics", timeout=10) as answer:
        return str(answer.read().decode())
