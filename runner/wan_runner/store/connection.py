"""The client that the environment asks for: where S3 is, how it is spoken to, by which way, and as whom.

AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL, AWS_REGION, AWS_CA_BUNDLE, AWS_PROFILE and the proxies mean what they
mean to every AWS tool; `credentials` says who we are. Ours are WAN_S3_ADDRESSING_STYLE (path, virtual or
auto), WAN_S3_ANONYMOUS_BUCKETS (public ones, never asked with a signature) and WAN_S3_NODE_ROLE.
It is botocore's client, which has no upload_file and the like: boto3's transfer layer, whose CRT switch
ignores the endpoint, cannot be used by mistake.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

from botocore import UNSIGNED
from botocore import exceptions as boto_errors
from botocore.config import Config
from botocore.loaders import create_loader
from botocore.session import Session

from wan_core.errors import AccessDenied, InvalidInput
from wan_runner.store.credentials import check_files, use_only_what_is_configured
from wan_runner.store.proxies import choose_proxies
from wan_runner.store.redact import redacted
from wan_runner.store.renewal import Changing, retry_with_newer_keys

Client = Any  # botocore makes its client classes at run time, so there is no type to name
Settings = tuple[tuple[str, str], ...]
AddressingStyle = Literal["path", "virtual", "auto"]

CONNECT_TIMEOUT_S = 5
READ_TIMEOUT_S = 20  # silence longer than this ends a request; SIGTERM leaves a pod 30 s
ATTEMPTS = 3  # botocore's own default for the mode "standard"
CONNECTIONS = 128  # kept open at most: 64 workers that fetch, and what else goes on
_LOADER = create_loader()  # of what botocore knows of S3 and STS, which takes 0.2 s to read: once a process
ADDRESSING_STYLE, ANONYMOUS_BUCKETS = "WAN_S3_ADDRESSING_STYLE", "WAN_S3_ANONYMOUS_BUCKETS"

BAD_CREDENTIALS = (
    boto_errors.NoCredentialsError,
    boto_errors.PartialCredentialsError,
    boto_errors.CredentialRetrievalError,
    boto_errors.TokenRetrievalError,
    boto_errors.ProfileNotFound,
    boto_errors.SSOError,
    boto_errors.LoginError,
    boto_errors.InvalidConfigError,
    boto_errors.MetadataRetrievalError,
)
_PREFIXES = ("AWS_", "WAN_S3_")


def connect(attempts: int | None = None) -> Client:
    """The S3 client that the environment asks for. Raises AccessDenied, InvalidInput.

    `attempts` is how often a request is sent in all: 1 for callers that try again by themselves.
    """
    return _client(read_environment(), attempts or ATTEMPTS)


def read_environment() -> Settings:
    """All that is said about S3 and the way to it."""
    names = (
        name for name in sorted(os.environ) if name.startswith(_PREFIXES) or name.lower().endswith("_proxy")
    )
    return tuple((name, os.environ[name]) for name in names)


@lru_cache(maxsize=4)  # a client serves all threads and renews its own credentials
def _client(settings: Settings, attempts: int) -> Client:
    known = dict(settings)
    try:
        session = _session(settings)
        endpoint = known.get("AWS_ENDPOINT_URL_S3") or known.get("AWS_ENDPOINT_URL") or _of_profile(session)
        _check_endpoint(endpoint)
        config = _config(known, endpoint, attempts)
        client = session.create_client("s3", _region(known, session), endpoint_url=endpoint, config=config)
    except BAD_CREDENTIALS as error:
        raise AccessDenied(redacted(f"S3 credentials cannot be read: {error}")) from error
    except ValueError as error:
        raise InvalidInput(redacted(f"AWS_ENDPOINT_URL: {error}; expected http(s)://host[:port]")) from error
    _leave_unsigned(client, known.get(ANONYMOUS_BUCKETS, ""))
    credentials = session.get_credentials()
    if isinstance(credentials, Changing):
        client.meta.events.register("needs-retry.s3", retry_with_newer_keys(credentials))
    return client


@lru_cache(maxsize=2)  # clients of one environment share their credentials: one question to STS, not two
def _session(settings: Settings) -> Session:
    known, session = dict(settings), Session()
    session.register_component("data_loader", _LOADER)
    _check_bundle(known.get("AWS_CA_BUNDLE"))
    check_files(session)
    use_only_what_is_configured(session, known, _region(known, session))
    return session


def _region(known: Mapping[str, str], session: Session) -> str:
    return known.get("AWS_REGION") or session.get_config_variable("region") or "us-east-1"


def _of_profile(session: Session) -> str | None:
    """The endpoint in the profile, if there is one for all services."""
    return session.get_scoped_config().get("endpoint_url") or None


def _config(known: Mapping[str, str], endpoint: str | None, attempts: int) -> Config:
    """Path style where an endpoint is set, and no checksum trailers: what S3-compatible stores understand."""
    bundle = known.get("AWS_CA_BUNDLE")
    return Config(
        connect_timeout=CONNECT_TIMEOUT_S,
        read_timeout=READ_TIMEOUT_S,
        max_pool_connections=CONNECTIONS,
        retries={"mode": "standard", "total_max_attempts": attempts},
        s3={"addressing_style": _addressing_style(known, endpoint)},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        proxies=choose_proxies(endpoint, known),
        proxies_config={"proxy_ca_bundle": bundle} if bundle else None,
    )


def _addressing_style(known: Mapping[str, str], endpoint: str | None) -> str:
    style = known.get(ADDRESSING_STYLE) or ("path" if endpoint else "auto")
    if style not in get_args(AddressingStyle):
        raise InvalidInput(f"{ADDRESSING_STYLE}: {style!r}; expected {', '.join(get_args(AddressingStyle))}")
    return style


def _check_endpoint(endpoint: str | None) -> None:
    """An endpoint stands in every message; and who you are is not said in it."""
    if "@" in urlsplit(endpoint or "").netloc:
        raise InvalidInput(
            "AWS_ENDPOINT_URL: there is a user or a password in it; expected http(s)://host[:port]",
            advice="Say who you are by AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or by a file.",
        )


def _check_bundle(file: str | None) -> None:
    """botocore would tell of a bad bundle with the first request, as an error without an errno."""
    if not file:
        return
    try:
        ssl.create_default_context(cafile=file)
    except ssl.SSLError as error:
        raise InvalidInput(f"AWS_CA_BUNDLE: {file} holds no certificates (PEM)") from error
    except OSError as error:
        raise InvalidInput(f"AWS_CA_BUNDLE: {file}: {error.strerror}") from error


def _leave_unsigned(client: Client, names: str) -> None:
    """Requests for these buckets carry no signature; all others do."""
    public = {name.strip() for name in names.split(",") if name.strip()}

    def note(params: Mapping[str, Any], context: dict[str, Any], **_: Any) -> None:
        context["wan_unsigned"] = params.get("Bucket") in public

    def choose(context: Mapping[str, Any], **_: Any) -> Any:
        return UNSIGNED if context.get("wan_unsigned") else None

    if public:
        client.meta.events.register("provide-client-params.s3", note)
        client.meta.events.register("choose-signer.s3", choose)
