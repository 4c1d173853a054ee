"""Where the API server is and who we are there: the file of KUBECONFIG, or else the pod's service account.

Both are read as the kubernetes client reads them, exec plugins included. Not used: proxies, impersonation.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from kubernetes.client.configuration import Configuration
from kubernetes.config import ConfigException
from kubernetes.config.incluster_config import InClusterConfigLoader
from kubernetes.config.kube_config import load_kube_config

from wan_core.errors import InvalidInput

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
TOKEN_REREAD_S = 30.0  # the kubelet renews a projected token at 80 % of its life

# What the loaders raise for a file that is missing or is no kubeconfig.
UNREADABLE = (ConfigException, yaml.YAMLError, OSError, ValueError, TypeError, KeyError, AttributeError)


@dataclass
class Token:
    """A bearer token, and how to read it again: it is renewed in its file."""

    load: Callable[[], str] | None = None
    text: str = ""
    _read: float = field(default=float("-inf"), repr=False)

    def read(self) -> str:
        """The token as of now; the last one if its file is being replaced."""
        if self.load is not None and time.monotonic() - self._read > TOKEN_REREAD_S:
            self.refresh()
        return self.text

    def refresh(self) -> None:
        """Read it again, whenever it was read last."""
        if self.load is None:
            return
        self._read = time.monotonic()
        try:
            self.text = self.load()
        except InvalidInput:
            if not self.text:
                raise


@dataclass(frozen=True)
class Connection:
    """The server's address, how to trust it, and our token; `tls` None for plain HTTP."""

    server: str
    token: Token
    tls: ssl.SSLContext | None = None
    ca_path: str | None = None
    certificate_path: str | None = None
    private_key_path: str | None = None
    insecure: bool = False


def read_connection(
    environment: Mapping[str, str], account: Path = SERVICE_ACCOUNT, context: str | None = None
) -> Connection:
    """The current or the named context of KUBECONFIG, else in a pod its service account.

    Raises InvalidInput.
    """

    def load() -> Configuration:
        return load_configuration(environment, account, context)

    found = load()
    insecure = not found.verify_ssl
    files = {
        "ca_path": found.ssl_ca_cert,
        "certificate_path": found.cert_file,
        "private_key_path": found.key_file,
    }
    tls = build_tls(**files, insecure=insecure) if found.host.startswith("https:") else None
    token = Token(lambda: bearer_of(load()))
    return Connection(found.host.rstrip("/"), token, tls, **files, insecure=insecure)


def load_configuration(
    environment: Mapping[str, str], account: Path, context: str | None = None
) -> Configuration:
    """Everything read anew. Raises InvalidInput."""
    configuration = Configuration()
    path = environment.get("KUBECONFIG")
    if not path and not environment.get("KUBERNETES_SERVICE_HOST"):
        raise InvalidInput("neither KUBECONFIG nor KUBERNETES_SERVICE_HOST is set: which cluster is meant?")
    try:
        if path:
            load_kube_config(  # type: ignore[no-untyped-call]
                path, context=context, client_configuration=configuration, persist_config=False
            )
        else:
            files = str(account / "token"), str(account / "ca.crt")
            loader = InClusterConfigLoader(*files, environ=environment)  # type: ignore[no-untyped-call]
            loader.load_and_set(configuration)  # type: ignore[no-untyped-call]
    except UNREADABLE as error:
        raise InvalidInput(f"{path or account}: {error}") from error
    if configuration.host == Configuration().host:
        raise InvalidInput(f"{path}: the current context names no server")
    return configuration


def bearer_of(configuration: Configuration) -> str:
    """The bare token; empty where there is none."""
    header = str(configuration.api_key.get("BearerToken", ""))
    return header.split(maxsplit=1)[1].strip() if " " in header else ""


def build_tls(
    ca_path: str | None, certificate_path: str | None, private_key_path: str | None, *, insecure: bool
) -> ssl.SSLContext:
    """The TLS context of these files. Raises InvalidInput."""
    try:
        context = ssl.create_default_context(cafile=ca_path)
        if insecure:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if certificate_path:
            context.load_cert_chain(certificate_path, private_key_path)
    except OSError as error:  # ssl.SSLError is one
        files = ", ".join(f for f in (ca_path, certificate_path, private_key_path) if f)
        raise InvalidInput(f"certificates of the API server's connection ({files}): {error}") from error
    return context
