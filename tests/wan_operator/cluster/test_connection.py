"""Where the API server is: a pod's service account, or a kubeconfig."""

from __future__ import annotations

import base64
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from wan_core.errors import InvalidInput
from wan_operator.cluster.connection import Token, read_connection


def kubeconfig(folder: Path, cluster: Mapping[str, Any], user: Mapping[str, Any]) -> dict[str, str]:
    path = folder / "config"
    document = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        "clusters": [{"name": "k", "cluster": cluster}],
        "users": [{"name": "u", "user": user}],
    }
    path.write_text(yaml.safe_dump(document))
    return {"KUBECONFIG": str(path)}


def test_a_token_in_the_kubeconfig_is_used(tmp_path: Path) -> None:
    connection = read_connection(kubeconfig(tmp_path, {"server": "http://a:1/"}, {"token": "abc"}))

    assert (connection.server, connection.token.read(), connection.tls) == ("http://a:1", "abc", None)


def test_a_token_file_lies_beside_the_kubeconfig(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("abc\n")
    connection = read_connection(kubeconfig(tmp_path, {"server": "http://a:1"}, {"tokenFile": "token"}))

    assert connection.token.read() == "abc"


def test_a_context_without_credentials_is_fine(tmp_path: Path) -> None:
    assert read_connection(kubeconfig(tmp_path, {"server": "http://a:1"}, {})).token.read() == ""


def test_a_renewed_token_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("old")
    token = Token(path.read_text)
    assert token.read() == "old"
    path.write_text("new")

    assert token.read() == "old"  # not yet: a file is not read for every request
    token.refresh()
    assert token.read() == "new"


def test_a_token_file_that_vanishes_for_a_moment_leaves_the_last_token(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("old")
    connection = read_connection(kubeconfig(tmp_path, {"server": "http://a:1"}, {"tokenFile": "token"}))
    connection.token.read()
    (tmp_path / "token").unlink()
    connection.token.refresh()

    assert connection.token.read() == "old"


def test_in_a_pod_the_service_account_is_used(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("abc")
    (tmp_path / "ca.crt").write_text(next(iter(_certificates())))
    environment = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}

    connection = read_connection(environment, tmp_path)

    assert connection.server == "https://[fd00::1]:443"
    assert connection.token.read() == "abc"
    assert connection.tls is not None
    assert connection.tls.verify_mode is ssl.CERT_REQUIRED


@pytest.mark.parametrize(
    ("cluster", "user", "words"),
    [
        pytest.param({}, {}, "server", id="no server"),
        pytest.param(
            {"server": "https://a", "certificate-authority": "none.crt"},
            {},
            "none.crt",
            id="no such authority",
        ),
        pytest.param(
            {"server": "https://a", "certificate-authority-data": base64.b64encode(b"junk").decode()},
            {},
            "certificates",
            id="a broken authority",
        ),
    ],
)
def test_what_cannot_be_used_is_named(
    tmp_path: Path, cluster: Mapping[str, Any], user: Mapping[str, Any], words: str
) -> None:
    with pytest.raises(InvalidInput, match=words):
        read_connection(kubeconfig(tmp_path, cluster, user))


@pytest.mark.parametrize("text", ["", "[]", "a: b: c", "current-context: none"])
def test_a_file_that_is_no_kubeconfig_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(InvalidInput, match="config"):
        read_connection({"KUBECONFIG": str(path)})


def test_without_any_cluster_it_says_so() -> None:
    with pytest.raises(InvalidInput, match="which cluster"):
        read_connection({})


def _certificates() -> list[str]:
    """Real authorities of this machine, as PEM."""
    context = ssl.create_default_context()
    return [ssl.DER_cert_to_PEM_cert(der) for der in context.get_ca_certs(binary_form=True)]
