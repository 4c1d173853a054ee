"""What a runner's pod is given for S3: where it is, by which way, whom to trust, who the pod is there. Pure.

Keys never pass through the operator: it names a Secret, a role or an agent, and the runner asks there.
"""

from __future__ import annotations

from posixpath import dirname
from typing import Any

from wan_operator.cluster.names import CA_FILE, S3_FOLDER, S3_TOKEN_FILE
from wan_operator.cluster.settings import S3Settings, WebIdentity

Document = dict[str, Any]

SECRET_MODE = 0o440
TOKEN_LIFE_S = 3600  # the kubelet renews it in time
METADATA_SERVICE = ("169.254.169.254", "fd00:ec2::254")


def build_s3_env(s3: S3Settings) -> dict[str, str]:
    """By variables that every AWS tool knows, and WAN_S3_* where there are none."""
    values = {"AWS_REGION": s3.region, **_identity(s3)}
    if s3.endpoint_url is not None:
        values["AWS_ENDPOINT_URL_S3"] = s3.endpoint_url
    if s3.addressing_style is not None:
        values["WAN_S3_ADDRESSING_STYLE"] = s3.addressing_style
    if s3.anonymous_buckets:
        values["WAN_S3_ANONYMOUS_BUCKETS"] = ",".join(s3.anonymous_buckets)
    if s3.ca_bundle is not None:
        values["AWS_CA_BUNDLE"] = CA_FILE
    return values | _proxies(s3)


def _identity(s3: S3Settings) -> dict[str, str]:
    if s3.credentials == "secret":
        return {
            "AWS_SHARED_CREDENTIALS_FILE": f"{S3_FOLDER}/credentials",
            "AWS_CONFIG_FILE": f"{S3_FOLDER}/config",
        }
    if s3.credentials == "nodeRole":
        return {"WAN_S3_NODE_ROLE": "true"}
    if s3.credentials == "podIdentity":
        return {}  # an agent of the cluster says where it is, when the pod is made
    assert s3.web_identity is not None
    values = {"AWS_ROLE_ARN": s3.web_identity.role_arn, "AWS_WEB_IDENTITY_TOKEN_FILE": S3_TOKEN_FILE}
    if s3.web_identity.sts_endpoint_url is not None:
        values["AWS_ENDPOINT_URL_STS"] = s3.web_identity.sts_endpoint_url
    return values


def _proxies(s3: S3Settings) -> dict[str, str]:
    if s3.proxy is None:
        return {}
    direct = [*s3.proxy.no_proxy, *(METADATA_SERVICE if s3.credentials == "nodeRole" else ())]
    return {"HTTPS_PROXY": s3.proxy.url, "HTTP_PROXY": s3.proxy.url, "NO_PROXY": ",".join(direct)}


def build_s3_mounts(s3: S3Settings) -> list[Document]:
    """Where `build_s3_volumes` lie in the container."""
    folders = {"s3": S3_FOLDER, "s3-token": dirname(S3_TOKEN_FILE), "s3-ca": dirname(CA_FILE)}
    names = [volume["name"] for volume in build_s3_volumes(s3)]
    return [{"name": name, "mountPath": folders[name], "readOnly": True} for name in names]


def build_s3_volumes(s3: S3Settings) -> list[Document]:
    """Keys in a Secret, if it is there; a token for STS; authorities, without which no pod starts."""
    volumes: list[Document] = []
    if s3.credentials == "secret":
        secret = {"secretName": s3.secret_name, "optional": True, "defaultMode": SECRET_MODE}
        volumes.append({"name": "s3", "secret": secret})
    if s3.credentials == "webIdentity" and s3.web_identity is not None:
        volumes.append({"name": "s3-token", "projected": {"sources": [_token(s3.web_identity)]}})
    if s3.ca_bundle is not None:
        items = [{"key": s3.ca_bundle.key, "path": CA_FILE.removeprefix(f"{dirname(CA_FILE)}/")}]
        named = {"ConfigMap": ("configMap", "name"), "Secret": ("secret", "secretName")}
        kind, field = named[s3.ca_bundle.kind]
        volumes.append({"name": "s3-ca", kind: {field: s3.ca_bundle.name, "items": items}})
    return volumes


def _token(identity: WebIdentity) -> Document:
    path = S3_TOKEN_FILE.removeprefix(f"{dirname(S3_TOKEN_FILE)}/")
    asked = {"path": path, "audience": identity.audience, "expirationSeconds": TOKEN_LIFE_S}
    return {"serviceAccountToken": asked}


def tell_credentials(s3: S3Settings) -> str:
    """Where they are from, for whoever has to mend them."""
    if s3.credentials == "webIdentity":
        assert s3.web_identity is not None
        return f"S3 credentials are those of the role {s3.web_identity.role_arn}, by web identity."
    return {
        "secret": f'S3 credentials are read from key "credentials" of Secret {s3.secret_name} in this '
        "namespace.",
        "podIdentity": "S3 credentials are those of the pod identity of the runner's service account.",
        "nodeRole": "S3 credentials are those of the node's role.",
    }[s3.credentials]
