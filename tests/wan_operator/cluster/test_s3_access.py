"""What a runner's pod is given for S3, for each way to get in."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from wan_operator.cluster.s3_access import build_s3_env, build_s3_mounts, build_s3_volumes, tell_credentials
from wan_operator.cluster.settings import S3Settings

ROLE = "arn:aws:iam::123456789012:role/wan"
TOKEN = "/var/run/secrets/wan.video/s3-token/token"


def read(**given: Any) -> S3Settings:
    """As the chart writes it."""
    return S3Settings.model_validate(given, by_alias=True, by_name=False)


def test_keys_come_from_a_secret_if_it_is_there() -> None:
    s3 = read(secretName="films")
    assert build_s3_env(s3) == {
        "AWS_REGION": "us-east-1",
        "AWS_SHARED_CREDENTIALS_FILE": "/var/run/secrets/wan.video/s3/credentials",
        "AWS_CONFIG_FILE": "/var/run/secrets/wan.video/s3/config",
    }
    (volume,) = build_s3_volumes(s3)
    assert volume["secret"] == {"secretName": "films", "optional": True, "defaultMode": 0o440}


def test_an_endpoint_is_that_of_s3_alone() -> None:
    values = build_s3_env(read(endpointUrl="http://minio:9000", addressingStyle="virtual"))
    assert values["AWS_ENDPOINT_URL_S3"] == "http://minio:9000"
    assert values["WAN_S3_ADDRESSING_STYLE"] == "virtual"
    assert "AWS_ENDPOINT_URL" not in values


def test_web_identity_is_a_token_of_the_service_account_and_no_secret() -> None:
    s3 = read(
        credentials="webIdentity", webIdentity={"roleArn": ROLE, "stsEndpointUrl": "https://sts.example"}
    )
    values = build_s3_env(s3)
    assert (values["AWS_ROLE_ARN"], values["AWS_WEB_IDENTITY_TOKEN_FILE"]) == (ROLE, TOKEN)
    assert values["AWS_ENDPOINT_URL_STS"] == "https://sts.example"
    assert "AWS_SHARED_CREDENTIALS_FILE" not in values
    (volume,) = build_s3_volumes(s3)
    asked = {"path": "token", "audience": "sts.amazonaws.com", "expirationSeconds": 3600}
    assert volume == {"name": "s3-token", "projected": {"sources": [{"serviceAccountToken": asked}]}}


@pytest.mark.parametrize("credentials", ["podIdentity", "nodeRole"])
def test_other_identities_mount_nothing_and_only_the_nodes_is_asked_for(credentials: str) -> None:
    s3 = read(credentials=credentials)
    assert build_s3_volumes(s3) == build_s3_mounts(s3) == []
    assert build_s3_env(s3).get("WAN_S3_NODE_ROLE") == ("true" if credentials == "nodeRole" else None)


@pytest.mark.parametrize(
    ("kind", "source"),
    [
        ("ConfigMap", {"configMap": {"name": "roots", "items": [{"key": "all.pem", "path": "ca.crt"}]}}),
        ("Secret", {"secret": {"secretName": "roots", "items": [{"key": "all.pem", "path": "ca.crt"}]}}),
    ],
)
def test_authorities_are_a_key_of_a_configmap_or_a_secret(kind: str, source: dict[str, Any]) -> None:
    s3 = read(caBundle={"kind": kind, "name": "roots", "key": "all.pem"})
    assert {"name": "s3-ca", **source} in build_s3_volumes(s3)
    assert {"name": "s3-ca", "mountPath": "/etc/wan/s3-ca", "readOnly": True} in build_s3_mounts(s3)
    assert build_s3_env(s3)["AWS_CA_BUNDLE"] == "/etc/wan/s3-ca/ca.crt"


def test_public_buckets_are_named() -> None:
    values = build_s3_env(read(anonymousBuckets=["models", "more"]))
    assert values["WAN_S3_ANONYMOUS_BUCKETS"] == "models,more"


@pytest.mark.parametrize(
    ("credentials", "direct"),
    [("podIdentity", ".svc,10.0.0.0/8"), ("nodeRole", ".svc,10.0.0.0/8,169.254.169.254,fd00:ec2::254")],
)
def test_a_proxy_is_for_both_schemes_and_never_for_the_metadata_service(
    credentials: str, direct: str
) -> None:
    s3 = read(credentials=credentials, proxy={"url": "http://proxy:3128", "noProxy": [".svc", "10.0.0.0/8"]})
    values = build_s3_env(s3)
    assert values["HTTPS_PROXY"] == values["HTTP_PROXY"] == "http://proxy:3128"
    assert values["NO_PROXY"] == direct


def test_web_identity_without_a_role_is_refused() -> None:
    with pytest.raises(ValidationError, match="webIdentity: is not there"):
        read(credentials="webIdentity")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"secretName": "films"}, "Secret films in this namespace"),
        ({"credentials": "webIdentity", "webIdentity": {"roleArn": ROLE}}, ROLE),
        ({"credentials": "podIdentity"}, "pod identity of the runner's service account"),
        ({"credentials": "nodeRole"}, "the node's role"),
    ],
)
def test_advice_names_where_credentials_are_from(given: dict[str, Any], said: str) -> None:
    assert said in tell_credentials(read(**given))
