"""Volumes as host folders: what a pod mounts is laid out below the pod's own folder, or the node's.

Mounting needs privileges; instead every mountPath in command, args and environment is replaced by the host's
folder (`Paths`). Not covered: subPath, sizeLimit of an emptyDir, owners (fsGroup), and updates of what was
laid out, but for tokens, which are renewed in time. An unknown kind of volume is refused, never left out.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.controlplane.kubelet_api import Client, Document, Refused

TOKEN_FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount"
RENEW_AT = 0.8  # of a token's life, as kubelet does


class NotMounted(Exception):
    """A volume cannot be set up yet, or never; the text is what the event says."""


@dataclass(frozen=True)
class Place:
    """Whose volumes these are: the pod, its own folder, and the folder that stands for its node's disk."""

    pod: Document
    folder: Path
    node_folder: Path

    @property
    def namespace(self) -> str:
        return str(self.pod["metadata"]["namespace"])


class Paths:
    """Container paths and the host folders that stand for them."""

    def __init__(self, mounts: Mapping[str, Path]) -> None:
        self._mounts = {path.rstrip("/"): str(host) for path, host in mounts.items()}
        longest_first = sorted(self._mounts, key=len, reverse=True)
        inside = "|".join(re.escape(path) for path in longest_first)
        self._pattern = re.compile(rf"(?<![\w./-])(?:{inside})(?![\w.-])")

    def translate(self, text: str) -> str:
        """`text` with every mounted path replaced, each once."""
        return self._pattern.sub(lambda m: self._mounts[m[0]], text) if self._mounts else text


async def mount(client: Client, place: Place, volume: Document) -> tuple[Path, float | None]:
    """Lay a volume out: its host folder, and in how many seconds to do it anew. Raises NotMounted."""
    kinds = [kind for kind in volume if kind != "name"]
    target = place.folder / "volumes" / volume["name"]
    match kinds:
        case ["emptyDir"]:
            target.mkdir(parents=True, exist_ok=True)
            return target, None
        case ["hostPath"]:
            return _on_node(place, volume["hostPath"]["path"]), None
        case ["persistentVolumeClaim"]:
            return await _claimed(client, place, volume["persistentVolumeClaim"]["claimName"]), None
        case ["secret" | "configMap" | "downwardAPI" as kind]:
            files = await _files_of(client, place, kind, volume[kind])
            write_files(target, files, volume[kind].get("defaultMode", 0o644))
            return target, None
        case ["projected"]:
            return target, await _project(client, place, volume["projected"], target)
    raise NotMounted(f"process-kubelet has no volumes of kind {', '.join(kinds)}")


def _on_node(place: Place, path: str) -> Path:
    folder = place.node_folder / path.lstrip("/")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


async def _claimed(client: Client, place: Place, name: str) -> Path:
    """The host folder of the bound volume."""
    claim = await _find(client, place.namespace, "persistentvolumeclaim", name)
    if claim is None or claim["status"].get("phase") != "Bound":
        raise NotMounted(f'persistentvolumeclaim "{name}" is not bound')
    volume = await client.get(f"/api/v1/persistentvolumes/{claim['spec']['volumeName']}")
    source = volume["spec"].get("hostPath") or volume["spec"].get("local")
    if source is None:
        raise NotMounted("process-kubelet has no persistent volumes but of kind hostPath and local")
    return _on_node(place, source["path"])


async def _project(client: Client, place: Place, projected: Document, target: Path) -> float | None:
    """Several sources in one folder; the seconds until the soonest token must be renewed."""
    files: dict[str, bytes] = {}
    renew: list[float] = []
    for source in projected["sources"]:
        for kind, body in source.items():
            if kind == "serviceAccountToken":
                token, life_s = await _request_token(client, place, body)
                files[body["path"]] = token.encode()
                renew.append(RENEW_AT * life_s)
            else:
                files |= await _files_of(client, place, kind, body)
    write_files(target, files, projected.get("defaultMode", 0o644))
    return min(renew, default=None)


async def _request_token(client: Client, place: Place, source: Document) -> tuple[str, float]:
    """A token bound to the pod, and its life in seconds."""
    account = place.pod["spec"]["serviceAccountName"]
    metadata = place.pod["metadata"]
    life_s = source.get("expirationSeconds", 3600)
    spec: Document = {
        "expirationSeconds": life_s,
        "boundObjectRef": {
            "apiVersion": "v1",
            "kind": "Pod",
            "name": metadata["name"],
            "uid": metadata["uid"],
        },
        "audiences": [source["audience"]] if "audience" in source else [],
    }
    path = f"/api/v1/namespaces/{place.namespace}/serviceaccounts/{account}/token"
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
    try:
        answer = await client.post(path, body)
    except Refused as error:
        raise NotMounted(f"failed to fetch token: {error.message}") from error
    return answer["status"]["token"], float(life_s)


async def _files_of(client: Client, place: Place, kind: str, source: Document) -> dict[str, bytes]:
    """Path -> content of a secret, configMap or downwardAPI source."""
    if kind == "downwardAPI":
        return {
            item["path"]: read_field(place.pod, item["fieldRef"]["fieldPath"]).encode()
            for item in source.get("items", [])
        }
    name = source.get("name") or source["secretName"]
    found = await _find(client, place.namespace, kind.lower(), name)
    if found is None:
        if source.get("optional"):
            return {}
        raise NotMounted(f'{kind.lower()} "{name}" not found')
    data = read_data(found)
    if "items" not in source:
        return data
    missing = [item["key"] for item in source["items"] if item["key"] not in data]
    if missing and not source.get("optional"):
        raise NotMounted(
            f"references non-existent {'secret' if kind == 'secret' else 'config'} key: {missing[0]}"
        )
    return {item["path"]: data[item["key"]] for item in source["items"] if item["key"] in data}


async def _find(client: Client, namespace: str, kind: str, name: str) -> Document | None:
    try:
        return await client.get(f"/api/v1/namespaces/{namespace}/{kind}s/{name}")
    except Refused as error:
        if error.status == 404:
            return None
        raise


async def read_key(client: Client, namespace: str, kind: str, reference: Document) -> str | None:
    """A key of a Secret or ConfigMap for the environment; None if it is optional and not there."""
    found = await _find(client, namespace, kind, reference["name"])
    if found is not None and reference["key"] in (data := read_data(found)):
        return data[reference["key"]].decode()
    if reference.get("optional"):
        return None
    if found is None:
        raise NotMounted(f'{kind} "{reference["name"]}" not found')
    raise NotMounted(f"couldn't find key {reference['key']} in {kind} {namespace}/{reference['name']}")


def read_data(document: Document) -> dict[str, bytes]:
    """The entries of a Secret or a ConfigMap."""
    binary = document.get("data") if document["kind"] == "Secret" else document.get("binaryData")
    plain = {} if document["kind"] == "Secret" else document.get("data")
    decoded = {key: base64.b64decode(text) for key, text in (binary or {}).items()}
    return decoded | {key: text.encode() for key, text in (plain or {}).items()}


def read_field(pod: Document, path: str) -> str:
    """A field by its path as the downward API spells it: maps as lines key="value"."""
    single = re.fullmatch(r"(metadata\.(?:annotations|labels))\['([^']+)'\]", path)
    value: object = pod
    for part in (single[1] if single else path).split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if single:
        value = value.get(single[2]) if isinstance(value, dict) else None
    if isinstance(value, dict):
        return "\n".join(
            f"{key}={json.dumps(text, ensure_ascii=False)}" for key, text in sorted(value.items())
        )
    return "" if value is None else str(value)


def write_files(folder: Path, files: Mapping[str, bytes], mode: int) -> None:
    """Each file appears whole; a file that is there is replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f"..{path.name}.draft")
        draft.write_bytes(content)
        draft.chmod(mode)
        draft.replace(path)
