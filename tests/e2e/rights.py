"""What the operator's account may do, by the roles bound to it, and what it did, by the audit log."""

from __future__ import annotations

from typing import Any

from tests.controlplane.client import Document
from tests.controlplane.commands import read_audit
from tests.e2e.bed import SYSTEM, Bed

OPERATOR = f"system:serviceaccount:{SYSTEM}:wan-operator"
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


def used(bed: Bed, account: str = OPERATOR) -> list[dict[str, Any]]:
    """The requests of an account about objects, from the audit log."""
    entries: list[dict[str, Any]] = read_audit(bed.control.audit_log)  # type: ignore[assignment]
    return [e for e in entries if e["user"]["username"] == account and "objectRef" in e]


def right_of(event: dict[str, Any]) -> Right:
    ref = event["objectRef"]
    resource = "/".join(part for part in (ref["resource"], ref.get("subresource")) if part)
    return event["verb"], ref.get("apiGroup", ""), resource
