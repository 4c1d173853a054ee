"""What `make check` asks of the chart: `python -m tests.charts.lint`.

helm lint (strict) and Kubernetes' own schemas for every file of values/; checkov for what a reviewer of
workloads would say. A finding is fixed, or waived here by name with the reason; a waiver that nothing needs
any more is a finding too. checkov runs in an environment of its own, pinned by checkov.txt: its dependencies
would fight with ours.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import kubernetes_validate
import yaml

from tests.charts.render import CHART, FOLDER, KUBERNETES, MINIMAL, NAMES, Document, Refused, documents, helm

PINS = Path(__file__).with_name("checkov.txt")
OTHERS_KINDS = {"CustomResourceDefinition", "ServiceMonitor"}  # kubernetes-validate has no schema for these

BY_THE_ADMINISTRATOR = "the administrator's to choose: image.digest, image.pullPolicy"
SLEEPS = "it sleeps from its start to its end: there is no state to probe"
WAIVED = {
    ("CKV_K8S_8", "DaemonSet"): SLEEPS,
    ("CKV_K8S_9", "DaemonSet"): SLEEPS,
    ("CKV_K8S_11", "DaemonSet"): "a CPU limit only slows it down when the node has time to spare",
    ("CKV_K8S_11", "Deployment"): "a CPU limit only slows it down when the node has time to spare",
    ("CKV_K8S_15", "DaemonSet"): BY_THE_ADMINISTRATOR,
    ("CKV_K8S_15", "Deployment"): BY_THE_ADMINISTRATOR,
    ("CKV_K8S_25", "DaemonSet"): "CHOWN is what its init container is for",
    ("CKV_K8S_38", "Deployment"): "an operator talks to the API server",
    ("CKV_K8S_43", "DaemonSet"): BY_THE_ADMINISTRATOR,
    ("CKV_K8S_43", "Deployment"): BY_THE_ADMINISTRATOR,
}


def problems() -> Iterator[str]:
    """Everything that is wrong with the chart."""
    for name in NAMES:
        yield from lint(name)
    yield from validate()
    yield from check()


def lint(name: str) -> Iterator[str]:
    """What helm says."""
    files = ["-f", str(MINIMAL), "-f", str(FOLDER / f"{name}.yaml")]
    try:
        helm("lint", str(CHART), "--strict", "--quiet", "--kube-version", KUBERNETES, *files)
    except Refused as refused:
        yield f"{name}: {refused}"


def validate() -> Iterator[str]:
    """Where an object is not what Kubernetes' schema says, with no field that it does not know."""
    seen: set[str] = set()
    for name in NAMES:
        for document in documents(name):
            text = json.dumps(document)
            if document["kind"] in OTHERS_KINDS or text in seen:
                continue
            seen.add(text)
            yield from (f"{name}: {_title(document)}: {said}" for said in violations(document))


def violations(document: Document) -> Iterator[str]:
    """Of one object; empty if it is right."""
    try:
        kubernetes_validate.validate(document, KUBERNETES, strict=True)
    except kubernetes_validate.ValidationError as error:
        yield f"{'.'.join(map(str, error.path))}: {error.message}"


def check() -> Iterator[str]:
    """checkov's findings that nobody waived, and waivers without a finding."""
    found = {(f["check_id"], f["resource"].partition(".")[0]): f for f in _findings()}
    for key, finding in found.items():
        if key not in WAIVED:
            yield f"{finding['check_id']} {finding['check_name']}: {finding['resource']}"
    yield from (f"waived and not found: {' '.join(key)}" for key in WAIVED.keys() - found.keys())


def _findings() -> list[dict[str, Any]]:
    with TemporaryDirectory() as folder:
        for name in NAMES:
            kept = [d for d in documents(name) if d["kind"] != "CustomResourceDefinition"]
            Path(folder, f"{name}.yaml").write_text(yaml.dump_all(kept, Dumper=yaml.CSafeDumper))
        uv = str(Path(sys.executable).with_name("uv"))
        tool = [uv, "tool", "run", "--quiet", "--python", sys.executable, "--constraints", PINS, "checkov"]
        options = ["--framework", "kubernetes", "--skip-download", "--soft-fail", "-o", "json", "-d", folder]
        done = subprocess.run([*tool, *options], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"checkov did not run: {done.stderr}")
    report: dict[str, Any] = json.loads(done.stdout)
    return list(report["results"]["failed_checks"])


def _title(document: Document) -> str:
    metadata = document["metadata"]
    return f"{document['kind']} {metadata.get('namespace', '')}/{metadata['name']}"


def main() -> int:
    """Print every problem; exit 1 if there is one."""
    found = list(problems())
    for problem in found:
        print(problem, file=sys.stderr)
    print(f"chart: {len(NAMES)} files of values, {len(WAIVED)} waivers, {len(found)} problems")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
