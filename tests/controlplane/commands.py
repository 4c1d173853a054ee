"""The command lines and files of the control plane's programs. Builds and writes; starts nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.controlplane.certificates import Pair

SERVICE_RANGE = "10.0.0.0/24"
ISSUER = "https://kubernetes.default.svc"


@dataclass(frozen=True)
class Options:
    """What a test may want otherwise. Times in seconds."""

    fsync: bool = False  # True: etcd keeps what it acknowledged through SIGKILL of the machine, and is slower
    audit: bool = True
    node_grace_s: int = 40  # silence after which a node counts as lost
    eviction_s: int = 300  # how long pods stay on a lost node; for ever while every node is lost
    qps: int = 500  # of the controllers and the scheduler; the upstream value of 20 limits load tests


def etcd(program: Path, folder: Path, port: int, peer_port: int, options: Options) -> list[str]:
    client = f"http://127.0.0.1:{port}"
    return [
        str(program),
        f"--data-dir={folder}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls=http://127.0.0.1:{peer_port}",
        "--quota-backend-bytes=8589934592",
        *([] if options.fsync else ["--unsafe-no-fsync"]),
    ]


def apiserver(
    program: Path,
    folder: Path,
    port: int,
    etcd_port: int,
    *,
    ca: Path,
    serving: Pair,
    kubelet_client: Pair,
    token_keys: Pair,
    options: Options,
) -> list[str]:
    audit = [
        f"--audit-policy-file={folder / 'audit-policy.json'}",
        f"--audit-log-path={folder / 'audit.log'}",
        "--audit-log-maxsize=100000",
    ]
    return [
        str(program),
        f"--etcd-servers=http://127.0.0.1:{etcd_port}",
        f"--secure-port={port}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        "--endpoint-reconciler-type=none",
        f"--tls-cert-file={serving.certificate}",
        f"--tls-private-key-file={serving.key}",
        f"--client-ca-file={ca}",
        f"--token-auth-file={folder / 'tokens.csv'}",
        f"--service-account-issuer={ISSUER}",
        f"--service-account-key-file={token_keys.certificate}",
        f"--service-account-signing-key-file={token_keys.key}",
        f"--service-cluster-ip-range={SERVICE_RANGE}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        f"--kubelet-certificate-authority={ca}",
        f"--kubelet-client-certificate={kubelet_client.certificate}",
        f"--kubelet-client-key={kubelet_client.key}",
        "--kubelet-preferred-address-types=InternalIP",
        f"--default-not-ready-toleration-seconds={options.eviction_s}",
        f"--default-unreachable-toleration-seconds={options.eviction_s}",
        *(audit if options.audit else []),
    ]


def controller_manager(
    program: Path, kubeconfig: Path, authority: Pair, token_key: Path, options: Options
) -> list[str]:
    return [
        str(program),
        f"--kubeconfig={kubeconfig}",
        "--use-service-account-credentials=true",
        f"--service-account-private-key-file={token_key}",
        f"--root-ca-file={authority.certificate}",
        f"--cluster-signing-cert-file={authority.certificate}",
        f"--cluster-signing-key-file={authority.key}",
        "--leader-elect=false",
        "--secure-port=0",
        "--concurrent-job-syncs=20",
        "--concurrent-gc-syncs=20",
        "--node-monitor-period=1s",
        f"--node-monitor-grace-period={options.node_grace_s}s",
        # A quota of a kind that is younger than 30 s is counted at a sync only, upstream after 5 minutes.
        "--resource-quota-sync-period=10s",
        "--node-eviction-rate=1",  # ten times the upstream value: a lost node is emptied within a second
        *_rates(options),
    ]


def scheduler(program: Path, kubeconfig: Path, options: Options) -> list[str]:
    return [
        str(program),
        f"--kubeconfig={kubeconfig}",
        "--leader-elect=false",
        "--secure-port=0",
        *_rates(options),
    ]


def _rates(options: Options) -> list[str]:
    return [f"--kube-api-qps={options.qps}", f"--kube-api-burst={2 * options.qps}"]


def audit_policy() -> Mapping[str, object]:
    """Metadata of every request, and the bodies of writes but for those that hold secrets."""
    secret = [
        {"group": "", "resources": ["secrets", "serviceaccounts/token"]},
        {"group": "authentication.k8s.io", "resources": ["tokenreviews"]},
    ]
    writes = ["create", "update", "patch", "delete", "deletecollection"]
    return {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [
            {"level": "Metadata", "resources": secret},
            {"level": "Request", "verbs": writes},
            {"level": "Metadata"},
        ],
    }


def kubeconfig(url: str, ca: Path, user: Mapping[str, str]) -> str:
    """One cluster, one user, one context. JSON, which is YAML."""
    cluster = {"server": url, "certificate-authority": str(ca)}
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "testbed", "cluster": cluster}],
            "users": [{"name": "user", "user": dict(user)}],
            "contexts": [{"name": "testbed", "context": {"cluster": "testbed", "user": "user"}}],
            "current-context": "testbed",
        },
        indent=1,
    )


def by_certificate(pair: Pair) -> dict[str, str]:
    return {"client-certificate": str(pair.certificate), "client-key": str(pair.key)}


def read_audit(log: Path, verbs: Sequence[str] = ()) -> list[dict[str, object]]:
    """The requests in an audit log, of these verbs if any are named. The last line may be half written."""
    lines = log.read_bytes().split(b"\n")[:-1]
    entries = [json.loads(line) for line in lines]
    return [entry for entry in entries if not verbs or entry["verb"] in verbs]
