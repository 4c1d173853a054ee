"""A Kubernetes control plane for one test or one session of tests: real programs, one folder, OS-given ports.

There is no kubelet: pods are scheduled and then wait for one (`kubelet.py` brings one that runs processes).
There is no Service network: nothing listens on a Service's address.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.controlplane import build, commands
from tests.controlplane.certificates import Authority
from tests.controlplane.client import Api, ApiError
from tests.controlplane.commands import Options
from tests.controlplane.process import Owner, Process, free_port, wait_until

ETCD, APISERVER = "etcd", "kube-apiserver"
CONTROLLERS, SCHEDULER = "kube-controller-manager", "kube-scheduler"
START_S = 240  # a machine that builds at the same time is slow
ENVIRONMENT = {"GOGC": "300"}  # memory for CPU: the API server spent a fifth of its CPU on garbage


class CommandFailed(AssertionError):
    """kubectl or helm ended with an exit code; `stderr` is what it said."""

    def __init__(self, command: Sequence[str], code: int, stdout: str, stderr: str):
        self.code, self.stdout, self.stderr = code, stdout, stderr
        super().__init__(f"{' '.join(command)} exited {code}: {stderr or stdout}")


class ControlPlane(Owner):
    """Starts on `with`; ends, with everything in it, on leaving, or when this process ends in any way."""

    def __init__(self, folder: Path, options: Options = Options()):  # noqa: B008 - frozen
        self.folder, self.options = folder, options
        folder.mkdir(parents=True, exist_ok=True)
        self.certificates = Authority(folder / "certificates")
        self.ca = self.certificates.ca
        self.audit_log = folder / "audit.log"
        self.kubeconfig = folder / "admin.kubeconfig"
        self.processes: dict[str, Process] = {}
        self._token = secrets.token_urlsafe(24)
        self._write_files()

    def open(self) -> None:
        self._choose_ports()
        for name in (ETCD, APISERVER, CONTROLLERS, SCHEDULER):
            self.start(name)
        wait_until(lambda: self._has_account("default"), START_S, "the controllers do not work")

    def close(self) -> None:
        for process in reversed(list(self.processes.values())):
            if process.alive:
                process.kill()

    # The programs

    def start(self, name: str) -> None:
        """Starts one program and waits until it serves."""
        self.processes[name].start()
        ready = self._ready_checks.get(name)
        if ready:
            self._await(name, ready)

    def stop(self, name: str, *, kill: bool = False) -> None:
        """Ends one program, and waits until it is gone and its port free.

        An API server that is asked politely goes on as long as somebody watches: after 5 s it is killed.
        """
        if kill:
            self.processes[name].kill()
        else:
            self.processes[name].stop(grace_s=5)

    def stop_apiserver(self, *, kill: bool = False) -> None:
        self.stop(APISERVER, kill=kill)

    def start_apiserver(self) -> None:
        self.start(APISERVER)

    def compact(self) -> None:
        """Forgets every version but the newest: after a restart of the API server, older watches get 410."""
        newest = self.api.get("/api/v1/namespaces")["metadata"]["resourceVersion"]
        self._etcd.create("/v3/kv/compaction", {"revision": newest, "physical": True})

    # Access

    def api_as(self, token: str) -> Api:
        return Api(self.url, self.ca, token)

    def kubeconfig_for(self, user: str, groups: Sequence[str] = ()) -> Path:
        """A kubeconfig with a client certificate, such as ("system:node:a", ["system:nodes"])."""
        pair = self.certificates.client(user, groups)
        return self._write_kubeconfig(pair.certificate.stem, commands.by_certificate(pair))

    def service_account_token(
        self,
        namespace: str,
        name: str,
        audiences: Sequence[str] = (),
        *,
        expires_s: int = 3600,
        bound_to: Mapping[str, str] | None = None,
    ) -> str:
        """A token as the kubelet asks for it; `bound_to` is {kind, apiVersion, name, uid} of a pod."""
        spec: dict[str, Any] = {"expirationSeconds": expires_s}
        if audiences:
            spec["audiences"] = list(audiences)
        if bound_to:
            spec["boundObjectRef"] = dict(bound_to)
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        return str(self.api.create(path, request)["status"]["token"])

    def namespace(self, name: str, *, enforce: str = "restricted") -> None:
        """Makes a namespace with a Pod Security level, ready for pods."""
        labels = {"pod-security.kubernetes.io/enforce": enforce}
        self.api.create("/api/v1/namespaces", {"metadata": {"name": name, "labels": labels}})
        wait_until(lambda: self._has_account(name), 120, f"namespace {name} got no default account")

    def kubectl(self, *arguments: str, input: str | None = None) -> str:
        """Its standard output. Raises CommandFailed."""
        return self._command("kubectl", arguments, input)

    def helm(self, *arguments: str, input: str | None = None) -> str:
        """Its standard output. Raises CommandFailed."""
        return self._command("helm", arguments, input)

    def _command(self, name: str, arguments: Sequence[str], given: str | None) -> str:
        command = [str(build.tool(name)), *arguments]
        homes = {
            "KUBECONFIG": str(self.kubeconfig),
            "KUBECACHEDIR": str(self.folder / "kubectl"),
            **{f"HELM_{kind}_HOME": str(self.folder / "helm" / kind) for kind in ("CACHE", "CONFIG", "DATA")},
        }
        done = subprocess.run(
            command, input=given, capture_output=True, text=True, env={**os.environ, **homes}
        )
        if done.returncode:
            raise CommandFailed([name, *arguments], done.returncode, done.stdout, done.stderr)
        return done.stdout

    # Making

    def _write_files(self) -> None:
        (self.folder / "tokens.csv").write_text(f'{self._token},admin,admin,"system:masters"\n')
        (self.folder / "audit-policy.json").write_text(json.dumps(commands.audit_policy()))
        self._serving = self.certificates.serving("apiserver")
        self._kubelet_client = self.certificates.client("kube-apiserver-kubelet-client", ["system:masters"])
        self._token_keys = self.certificates.token_keys()

    def _choose_ports(self) -> None:
        self._etcd_port, port = free_port(), free_port()
        self.url = f"https://127.0.0.1:{port}"
        self.api = Api(self.url, self.ca, self._token)
        self._write_kubeconfig("admin", {"token": self._token})
        self.processes = {
            name: Process(command, self.folder / f"{name}.log", {**os.environ, **ENVIRONMENT})
            for name, command in self._commands(port).items()
        }
        self._etcd = Api(f"http://127.0.0.1:{self._etcd_port}", self.ca)
        self._ready_checks: dict[str, Callable[[], bool]] = {
            ETCD: lambda: '"true"' in self._etcd.text("/health"),
            APISERVER: lambda: self.api.text("/readyz") == "ok",
        }

    def _commands(self, port: int) -> dict[str, list[str]]:
        programs = build.tools(ETCD, APISERVER, CONTROLLERS, SCHEDULER)
        controllers = self.kubeconfig_for("system:kube-controller-manager")
        scheduler = self.kubeconfig_for("system:kube-scheduler")
        return {
            ETCD: commands.etcd(
                programs[ETCD], self.folder / "etcd", self._etcd_port, free_port(), self.options
            ),
            APISERVER: commands.apiserver(
                programs[APISERVER],
                self.folder,
                port,
                self._etcd_port,
                ca=self.ca,
                serving=self._serving,
                kubelet_client=self._kubelet_client,
                token_keys=self._token_keys,
                options=self.options,
            ),
            CONTROLLERS: commands.controller_manager(
                programs[CONTROLLERS],
                controllers,
                self.certificates.pair,
                self._token_keys.key,
                self.options,
            ),
            SCHEDULER: commands.scheduler(programs[SCHEDULER], scheduler, self.options),
        }

    def _write_kubeconfig(self, name: str, user: Mapping[str, str]) -> Path:
        path = self.folder / f"{name}.kubeconfig"
        path.touch(mode=0o600)
        path.write_text(commands.kubeconfig(self.url, self.ca, user))
        return path

    def _await(self, name: str, ready: Callable[[], bool]) -> None:
        process = self.processes[name]

        def served() -> bool:
            if not process.alive:
                raise AssertionError(f"{name} exited {process.exit_code}:\n{process.tail()}")
            try:
                return ready()
            except (OSError, ApiError):
                return False

        wait_until(served, START_S, f"{name} does not serve; see {process.log}")

    def _has_account(self, namespace: str) -> bool:
        return self.api.exists(f"/api/v1/namespaces/{namespace}/serviceaccounts/default")
