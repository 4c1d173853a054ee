"""Who we are to S3: the one source of credentials that is configured, and never another in its place.

In this order, the first that is configured:

    WAN_S3_NODE_ROLE=true             the node's role, from its metadata service, and nothing else
    AWS_ACCESS_KEY_ID                 keys in the environment
    role_arn of the profile           a role that other keys of the profile may take
    AWS_WEB_IDENTITY_TOKEN_FILE       web identity: a token and AWS_ROLE_ARN, for STS
    the profile                       its keys in AWS_SHARED_CREDENTIALS_FILE; SSO, login, credential_process
    AWS_CONTAINER_CREDENTIALS_*_URI   Pod Identity, and whatever else serves containers

A source that is configured and fails is an error. The node's metadata service is not asked unless
WAN_S3_NODE_ROLE says so (or a profile, by its credential_source): a pod would quietly become its node.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from botocore.credentials import CredentialProvider, CredentialResolver, create_credential_resolver
from botocore.credentials import ReadOnlyCredentials as Keys
from botocore.session import Session

from wan_core.errors import InvalidInput
from wan_runner.store.identities import CONTAINER_URIS, TOKEN_FILE, Container, WebIdentity
from wan_runner.store.key_files import FileProvider, NothingInFile, check, read_sections

NODE_ROLE = "WAN_S3_NODE_ROLE"
TO_CONFIGURE = (
    "Give keys (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_SHARED_CREDENTIALS_FILE) or web identity "
    "(AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN), name public buckets in WAN_S3_ANONYMOUS_BUCKETS, "
    f"or set {NODE_ROLE}=true to be the node."
)


def use_only_what_is_configured(session: Session, settings: Mapping[str, str], region: str) -> None:
    """Gives `session` its one source. Raises InvalidInput, AccessDenied."""
    resolver = create_credential_resolver(session, region_name=region)
    usual = {provider.METHOD: provider for provider in resolver.providers}
    if asked_for(settings, NODE_ROLE):
        _refuse_others(settings)
        providers = [usual["iam-role"]]
    else:
        providers = list(_chain(session, settings, region, usual))
    session.register_component("credential_provider", CredentialResolver(providers))


def _chain(
    session: Session, settings: Mapping[str, str], region: str, usual: Mapping[str, Any]
) -> Iterator[CredentialProvider]:
    profile = session.get_config_variable("profile") or "default"
    shared, config = _files(session)
    given = (
        settings.get(name) for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    )
    check(Keys(*given), "AWS_*")
    yield usual["env"]
    yield usual["assume-role"]
    yield WebIdentity(session, settings, region)
    yield usual["sso"]
    yield FileProvider(shared, (profile,))
    yield usual["login"]
    yield usual["custom-process"]
    yield FileProvider(config, (f"profile {profile}", profile))
    yield NothingInFile(shared, profile)
    yield Container(settings)


def check_files(session: Session) -> None:
    """Before botocore reads them: it passes over those that it may not read. Raises AccessDenied."""
    for file in _files(session):
        read_sections(file)


def _files(session: Session) -> list[Path]:
    """The AWS shared files: of keys, and of profiles."""
    names = ("credentials_file", "config_file")
    return [Path(session.get_config_variable(name)).expanduser() for name in names]


def asked_for(settings: Mapping[str, str], name: str) -> bool:
    """Whether a setting says true. Raises InvalidInput if it says anything but true or false."""
    value = settings.get(name, "").strip().lower()
    if value not in ("", "true", "false"):
        raise InvalidInput(f"{name}: {settings[name]!r}; expected true or false")
    return value == "true"


def _refuse_others(settings: Mapping[str, str]) -> None:
    for name in ("AWS_ACCESS_KEY_ID", TOKEN_FILE, *CONTAINER_URIS):
        if settings.get(name):
            raise InvalidInput(f"{NODE_ROLE}=true and {name} are two answers to one question: remove one")
