"""Where the API server is and who we are there: the pod's service account, or else the file of KUBECONFIG.

Read of the current context: server, certificate-authority(-data), insecure-skip-tls-verify, token, tokenFile,
client-certificate(-data), client-key(-data). Not read: exec and auth-provider plugins, proxies, impersonation.
"""

from __future__ import annotations

import base64
import binascii
import ssl
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from wan_core.errors import InvalidInput

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
TOKEN_REREAD_S = 30.0  # the kubelet renews a projected token at 80 % of its life


@dataclass
class Token:
    """A bearer token, read again from its file as it is renewed there."""

    path: Path | None = None
    text: str = ""
    _read: float = field(default=float("-inf"), repr=False)

    def read(self) -> str:
        """The token as of now; the last one if its file is being replaced."""
        if self.path is not None and time.monotonic() - self._read > TOKEN_REREAD_S:
            self.refresh()
        return self.text

    def refresh(self) -> None:
        """Read the file, whenever it was read last."""
        if self.path is None:
            return
        self._read = time.monotonic()
        try:
            self.text = self.path.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            if not self.text:
                raise InvalidInput(f"{self.path}: {error}") from error


@dataclass(frozen=True)
class Connection:
    """The server's address, how to trust it, and our token; `tls` None for plain HTTP."""

    server: str
    token: Token
    tls: ssl.SSLContext | None


def read_connection(environment: Mapping[str, str], account: Path = SERVICE_ACCOUNT) -> Connection:
    """In a pod its service account, else the current context of KUBECONFIG. Raises InvalidInput."""
    path = environment.get("KUBECONFIG")
    if path:
        return _from_kubeconfig(Path(path))
    host, port = environment.get("KUBERNETES_SERVICE_HOST"), environment.get("KUBERNETES_SERVICE_PORT")
    if not host or not port:
        raise InvalidInput("neither KUBECONFIG nor KUBERNETES_SERVICE_HOST is set: which cluster is meant?")
    address = f"[{host}]" if ":" in host else host
    return Connection(
        server=f"https://{address}:{port}",
        token=Token(account / "token"),
        tls=_trust(account, {"certificate-authority": "ca.crt"}),
    )


def _from_kubeconfig(path: Path) -> Connection:
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
        names = next(c["context"] for c in config["contexts"] if c["name"] == config["current-context"])
        cluster = next(c["cluster"] for c in config["clusters"] if c["name"] == names["cluster"])
        user = next(u["user"] or {} for u in config["users"] if u["name"] == names["user"])
        server = str(cluster["server"]).rstrip("/")
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidInput(f"{path}: {error}") from error
    except (KeyError, TypeError, StopIteration) as error:
        raise InvalidInput(f"{path}: no usable current context ({error!r})") from error
    for plugin in ("exec", "auth-provider"):
        if plugin in user:
            raise InvalidInput(f"{path}: users with `{plugin}` are not supported; use a token or tokenFile")
    file = user.get("tokenFile")
    token = Token(path.parent / file) if file else Token(text=str(user.get("token") or ""))
    tls = _trust(path.parent, {**cluster, **user}) if server.startswith("https:") else None
    return Connection(server, token, tls)


def _trust(folder: Path, entries: Mapping[str, Any]) -> ssl.SSLContext:
    """A TLS context from a kubeconfig's entries; paths are relative to `folder`."""
    try:
        authority = _pem(folder, entries, "certificate-authority")
        context = ssl.create_default_context(cadata=authority)
        if entries.get("insecure-skip-tls-verify"):
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        certificate, key = (_pem(folder, entries, name) for name in ("client-certificate", "client-key"))
        if certificate and key:
            with tempfile.NamedTemporaryFile("w", suffix=".pem") as pair:  # mode 0600, gone at once
                pair.write(f"{certificate}\n{key}\n")
                pair.flush()
                context.load_cert_chain(pair.name)
    except (OSError, ValueError, binascii.Error) as error:  # ssl.SSLError is an OSError
        raise InvalidInput(f"certificates of the API server's connection: {error}") from error
    return context


def _pem(folder: Path, entries: Mapping[str, Any], name: str) -> str | None:
    """The PEM text given inline (`NAME-data`) or by path (`NAME`)."""
    if data := entries.get(f"{name}-data"):
        return base64.b64decode(str(data)).decode("ascii")
    if path := entries.get(name):
        return (folder / str(path)).read_text(encoding="ascii")
    return None
