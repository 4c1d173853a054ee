"""How we speak to S3: one client, one way of naming objects, one place where its errors become ours.

Everything is configured by the ordinary AWS environment. Messages name bucket, key and endpoint, never
a secret. Transfers are plain get_object and put_object calls: boto3's transfer layer, whose CRT switch
ignores the endpoint, is not used.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
import re
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import boto3
from botocore import exceptions as boto_errors
from botocore.config import Config

from wan_core.errors import (
    AccessDenied,
    InsufficientDiskSpace,
    IntegrityError,
    InternalError,
    InvalidInput,
    ModelNotFound,
    NetworkError,
    WanError,
)

Client = Any  # botocore makes its client classes at run time, so there is no type to name

CONNECT_TIMEOUT_S = 5
READ_TIMEOUT_S = 20  # silence longer than this ends a request; SIGTERM leaves a pod 30 s
DIGEST_KEY = "sha256"  # metadata of every object that we upload: the SHA-256 of the whole, in hex
ATTEMPTS = 3  # botocore's own default for the mode "standard"

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_MISSING = {"NoSuchKey", "NoSuchBucket", "404", "NotFound", "NoSuchUpload"}
_REFUSED = {"InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "AccessDenied"}
_BAD_CREDENTIALS = (
    boto_errors.NoCredentialsError,
    boto_errors.PartialCredentialsError,
    boto_errors.CredentialRetrievalError,
    boto_errors.TokenRetrievalError,
    boto_errors.ProfileNotFound,
    boto_errors.SSOError,
    boto_errors.LoginError,
    boto_errors.InvalidConfigError,
)
_NO_ANSWER = (
    boto_errors.HTTPClientError,
    boto_errors.ConnectionError,
    boto_errors.IncompleteReadError,
)
_BAD_NAME = (boto_errors.ParamValidationError, boto_errors.ValidationError, boto_errors.InvalidHostLabelError)


class Location(NamedTuple):
    """A place in S3. `key` has no leading slash and may be empty where a prefix is meant."""

    bucket: str
    key: str

    @property
    def uri(self) -> str:
        return f"s3://{self.bucket}/{self.key}"

    def child(self, path: str) -> Location:
        """The place `path` below this one."""
        return Location(self.bucket, f"{self.key.rstrip('/')}/{path}" if self.key else path)


def parse_uri(uri: str, field: str = "uri") -> Location:
    """`s3://bucket/key` as a Location. Raises InvalidInput, naming `field`."""
    scheme, found, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    if scheme != "s3" or not found:
        raise InvalidInput(f"{field}: {uri!r} is not an S3 address; expected s3://bucket/key")
    if not _BUCKET.fullmatch(bucket):
        raise InvalidInput(f"{field}: {bucket!r} is not a bucket name; 3 to 63 of a-z, 0-9, dot and dash")
    if len(key.encode("utf-8", "surrogatepass")) > 1024 or any(not c.isprintable() for c in key):
        raise InvalidInput(f"{field}: the key of {uri[:80]!r} is longer than 1024 bytes or not printable")
    return Location(bucket, key)


def connect() -> Client:
    """The S3 client that the AWS environment asks for. Raises AccessDenied, InvalidInput."""
    names = [
        name for name in sorted(os.environ) if name.startswith("AWS_") or name.lower().endswith("_proxy")
    ]
    return _client(tuple((name, os.environ[name]) for name in names))


@lru_cache(maxsize=4)  # a client takes 0.1 s to build, serves all threads and renews its own credentials
def _client(settings: tuple[tuple[str, str], ...]) -> Client:
    """The client for these settings, which are those of the environment: boto3 reads most of them itself."""
    known = dict(settings)
    endpoint = known.get("AWS_ENDPOINT_URL_S3") or known.get("AWS_ENDPOINT_URL")
    try:
        session = boto3.session.Session()
        region = known.get("AWS_REGION") or session.region_name or "us-east-1"
        return session.client("s3", endpoint_url=endpoint, region_name=region, config=_config(endpoint))
    except _BAD_CREDENTIALS as error:
        raise AccessDenied(f"S3 credentials cannot be read: {error}") from error
    except ValueError as error:
        raise InvalidInput(f"AWS_ENDPOINT_URL: {error}; expected http(s)://host[:port]") from error


def _config(endpoint: str | None) -> Config:
    """Path style and no checksum trailers where an endpoint is set: what S3-compatible stores understand."""
    loopback = endpoint is not None and _is_loopback(endpoint)
    return Config(
        connect_timeout=CONNECT_TIMEOUT_S,
        read_timeout=READ_TIMEOUT_S,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        s3={"addressing_style": "path" if endpoint else "auto"},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        proxies={} if loopback else None,
    )


def _is_loopback(endpoint: str) -> bool:
    host = urlsplit(endpoint).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@contextmanager
def translated(client: Client, place: Location, missing: Callable[[str], WanError]) -> Iterator[None]:
    """Errors of botocore as ours. `missing` makes the error for a bucket or object that is not there."""
    where = f"{place.uri} at {client.meta.endpoint_url}"
    try:
        yield
    except boto_errors.ClientError as error:
        raise _of_answer(error, place, where, missing) from error
    except _BAD_CREDENTIALS as error:
        raise AccessDenied(f"no usable S3 credentials for {where}: {error}") from error
    except boto_errors.SSLError as error:
        advice = "Check the endpoint's certificate; name your authority's file in AWS_CA_BUNDLE."
        raise NetworkError(f"no trusted connection to {where}: {error}", advice=advice) from error
    except _NO_ANSWER as error:
        raise NetworkError(f"no answer for {where}: {error}") from error
    except _BAD_NAME as error:
        raise InvalidInput(f"{where} cannot be asked for: {error}") from error
    except (boto_errors.ChecksumError, boto_errors.FlexibleChecksumError) as error:
        raise IntegrityError(f"{where}: {error}") from error


def _of_answer(
    error: boto_errors.ClientError, place: Location, where: str, missing: Callable[[str], WanError]
) -> WanError:
    """Our error for an answer of S3 that was not a success."""
    code = str(error.response.get("Error", {}).get("Code", ""))
    words = str(error.response.get("Error", {}).get("Message", "")) or code
    status = status_of(error)
    if code == "NoSuchBucket":
        return missing(f"there is no bucket {place.bucket!r} ({where})")
    if code in _MISSING or status == 404:
        return missing(f"there is no {where}")
    if code in _REFUSED or status in (401, 403):
        advice = None
        if code in ("403", "AccessDenied"):
            advice = (
                "Check the S3 credentials, the bucket's policy and the name: "
                "S3 also answers so for missing objects where listing is not allowed."
            )
        return AccessDenied(f"S3 refused {where}: {code}: {words}", advice=advice)
    if status in (301, 307, 400) and code in ("PermanentRedirect", "301", "AuthorizationHeaderMalformed"):
        return AccessDenied(
            f"{where} lies in another region: {words}", advice="Set AWS_REGION to the bucket's region."
        )
    if code in ("BadDigest", "InvalidDigest", "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch"):
        return IntegrityError(f"{where} received other bytes than were sent: {code}: {words}")
    if status == 400 and code == "400":  # a HEAD has no body to say why; expired tokens are answered so
        return AccessDenied(f"S3 refused {where} without saying why (400)")
    if status == 507:
        return InsufficientDiskSpace(
            f"the store behind {where} is full: {words}", advice="Free space in the store."
        )
    if status == 501:
        advice = "Use a store that knows conditional writes (If-None-Match) and SHA-256 checksums."
        return AccessDenied(f"{where}: the store cannot do this: {words}", advice=advice)
    if status >= 500 or status in (408, 409, 412, 429) or code in ("SlowDown", "RequestTimeout"):
        return NetworkError(f"S3 failed for {where}: {status} {code}: {words}")
    return InternalError(f"S3 did not understand us for {where}: {status} {code}: {words}")


def status_of(error: boto_errors.ClientError) -> int:
    """The HTTP status of an answer, 0 if it has none."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def missing_model(what: str) -> WanError:
    """For objects that belong to a model's weights."""
    return ModelNotFound(f"weights: {what}")


def missing_target(what: str) -> WanError:
    """For a bucket that we were told to write to: it is the administrator's to make."""
    return AccessDenied(
        f"cannot write: {what}", advice="Create the bucket, or correct where to write (--output)."
    )


def require_bucket(uri: str) -> None:
    """Raises `missing_target` if the bucket that is to be written to is not there.

    Who may write may not be allowed to ask: any other refusal says nothing, and the upload will tell.
    """
    place, client = parse_uri(uri), connect()
    with translated(client, place, missing_target):
        try:
            client.head_bucket(Bucket=place.bucket)
        except boto_errors.ClientError as error:
            if status_of(error) == 404:
                where = client.meta.endpoint_url
                raise missing_target(f"there is no bucket {place.bucket!r} at {where}") from error


def read_input(uri: str, *, max_bytes: int, field: str = "spec.image") -> bytes:
    """The whole object that a user's field names. InvalidInput if it is missing or too large."""
    place = parse_uri(uri, field)
    if not place.key or place.key.endswith("/"):
        raise InvalidInput(f"{field}: {uri!r} names no object")
    client = connect()
    with translated(client, place, lambda what: InvalidInput(f"{field}: {what}")):
        answer = client.get_object(Bucket=place.bucket, Key=place.key)
        if answer["ContentLength"] > max_bytes:
            answer["Body"].close()
            raise InvalidInput(
                f"{field}: {uri} has {answer['ContentLength']} bytes; at most {max_bytes} are read"
            )
        with closing(answer["Body"]) as body:
            data: bytes = body.read()
    return data


def copy_to(path: Path, uri: str, missing: Callable[[str], WanError]) -> None:
    """Writes the object at `uri` to the file `path`, and compares the digest that came with it."""
    place, client, digest = parse_uri(uri), connect(), hashlib.sha256()
    with translated(client, place, missing), path.open("wb") as file:
        answer = client.get_object(Bucket=place.bucket, Key=place.key)
        with closing(answer["Body"]) as body:
            for chunk in body.iter_chunks(1024 * 1024):
                digest.update(chunk)
                file.write(chunk)
    expected = answer["Metadata"].get(DIGEST_KEY)
    if expected and expected != digest.hexdigest():
        raise IntegrityError(
            f"{uri} arrived with sha256 {digest.hexdigest()}; it was uploaded with {expected}"
        )
