"""What helm makes of the chart, as documents. Each file of values/ is laid over minimal.yaml."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.controlplane import build
from wan_operator.cluster.settings import ClusterSettings, read_settings

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "wan-operator"
FOLDER = Path(__file__).parent / "values"
MINIMAL = FOLDER / "minimal.yaml"
NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
NAMESPACE = "wan-system"
KUBERNETES = "1.36.0"

Document = dict[str, Any]


class Refused(Exception):
    """helm would not render; the message is what it says."""


def helm(*arguments: str, given: str | None = None) -> str:
    """Its standard output. Raises Refused."""
    command = [str(build.tool("helm")), *arguments]
    done = subprocess.run(command, input=given, capture_output=True, text=True)
    if done.returncode:
        raise Refused(done.stderr)
    return done.stdout


def text(name: str | Path) -> str:
    """The manifests of values/NAME.yaml, as helm prints them; of a file elsewhere as it stands."""
    if isinstance(name, Path):
        return template(str(name))
    return template(str(MINIMAL), str(FOLDER / f"{name}.yaml"))


def template(*files: str, given: str | None = None) -> str:
    """The manifests of these files of values, as helm prints them; `-` is `given`. Raises Refused."""
    values = [word for file in files for word in ("-f", file)]
    command = ("template", "wan", str(CHART), "-n", NAMESPACE, "--kube-version", KUBERNETES)
    return helm(*command, *values, given=given)


@cache
def documents(name: str | Path = "minimal") -> list[Document]:
    """Its documents, in helm's order."""
    return read(text(name))


def render_with(values: Mapping[str, Any]) -> list[Document]:
    """The documents of these values over minimal.yaml. Raises Refused."""
    return read(template(str(MINIMAL), "-", given=json.dumps(values)))


def read(manifests: str) -> list[Document]:
    return [document for document in yaml.load_all(manifests, yaml.CSafeLoader) if document]


class Rendered:
    """One rendering, of a file of values or of `values`, asked by kind and name."""

    def __init__(self, name: str | Path = "minimal", **values: Any) -> None:
        self.documents = render_with(values) if values else documents(name)

    def all(self, kind: str) -> list[Document]:
        return [document for document in self.documents if document["kind"] == kind]

    def one(self, kind: str, name: str | None = None, namespace: str | None = None) -> Document:
        found = [d for d in self.all(kind) if _matches(d["metadata"], name, namespace)]
        assert len(found) == 1, f"{len(found)} {kind} {name} in {namespace}"
        return found[0]

    def names(self, kind: str) -> list[tuple[str | None, str]]:
        """(namespace, name) of each."""
        return [(d["metadata"].get("namespace"), d["metadata"]["name"]) for d in self.all(kind)]

    @property
    def settings(self) -> Document:
        data: Document = yaml.safe_load(self.one("ConfigMap")["data"]["settings.yaml"])
        return data

    def read_settings(self, folder: Path) -> ClusterSettings:
        """As the operator reads them."""
        file = folder / "settings.yaml"
        file.write_text(self.one("ConfigMap")["data"]["settings.yaml"])
        return read_settings(file)

    @property
    def pod(self) -> Document:
        """Of the operator."""
        spec: Document = self.one("Deployment")["spec"]["template"]["spec"]
        return spec

    @property
    def container(self) -> Document:
        """The operator's only one."""
        (container,) = self.pod["containers"]
        return dict(container)

    def job_rules(self) -> Iterator[tuple[str, str]]:
        """(message, expression) of what the Jobs' policy demands."""
        policy = self.one("ValidatingAdmissionPolicy", "wan-operator-jobs")
        for rule in policy["spec"]["validations"]:
            yield rule["message"], rule["expression"]


def _matches(metadata: Document, name: str | None, namespace: str | None) -> bool:
    return name in (None, metadata["name"]) and namespace in (None, metadata.get("namespace"))
