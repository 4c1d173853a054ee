"""Errors of botocore as ours: one category each, with what S3 said, what is wrong with it, and what helps.

Messages name bucket, key and endpoint; never a secret, whoever says it. What may be otherwise next time (S3
busy, gone, silent) is a NetworkError; what stays (refused, not there, another region, the clock) is not. An
error that is not of this list is botocore's or our own bug, and is left as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from botocore import exceptions as boto_errors
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

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
from wan_runner.store.connection import BAD_CREDENTIALS, Client
from wan_runner.store.credentials import TO_CONFIGURE
from wan_runner.store.location import Location
from wan_runner.store.redact import redacted
from wan_runner.store.renewal import STALE
from wan_runner.store.silence import TO_PROXY, of_proxy, of_silence

_MISSING = frozenset({"NoSuchKey", "NoSuchBucket", "404", "NotFound", "NoSuchUpload"})
_REFUSED = STALE | {"AccessDenied"}
_REGION = frozenset({"PermanentRedirect", "TemporaryRedirect", "301", "307", "AuthorizationHeaderMalformed"})
_DIGEST = frozenset(
    {"BadDigest", "InvalidDigest", "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch"}
)
_TOO_LONG = frozenset({"KeyTooLongError", "KeyTooLong"})
_SKEWED = frozenset({"RequestTimeTooSkewed", "RequestExpired", "RequestNotYetValid"})
_ROLE_CALLS = frozenset({"AssumeRole", "AssumeRoleWithWebIdentity"})
_NO_ANSWER = (
    boto_errors.HTTPClientError,
    boto_errors.ConnectionError,
    boto_errors.IncompleteReadError,
    HTTPError,  # of a body whose TLS breaks: botocore hands on what urllib3 says
)
_BAD_NAME = (boto_errors.ParamValidationError, boto_errors.ValidationError, boto_errors.InvalidHostLabelError)
_TO_RENEW = "Renew the S3 credentials (in a cluster, the Secret: runners take new keys up while they run)."
_TO_TRUST = "Check the role's trust policy, and the keys or the token that ask for it."
_TO_BE_ALLOWED = (
    "Check the S3 credentials, the bucket's policy and the name: "
    "S3 also answers so for missing objects where listing is not allowed."
)


@contextmanager
def translated(client: Client, place: Location, missing: Callable[[str], WanError]) -> Iterator[None]:
    """Errors of botocore as ours. `missing` makes the error for a bucket or object that is not there."""
    where = f"{place.uri} at {redacted(client.meta.endpoint_url)}"
    try:
        yield
    except boto_errors.ClientError as error:
        raise _of_answer(error, place, where, missing) from error
    except BAD_CREDENTIALS as error:
        advice = TO_CONFIGURE if isinstance(error, boto_errors.NoCredentialsError) else None
        raise AccessDenied(
            redacted(f"no usable S3 credentials for {where}: {error}"), advice=advice
        ) from error
    except boto_errors.ProxyConnectionError as error:
        raise of_proxy(error, where) from error
    except _NO_ANSWER as error:
        raise of_silence(error, where, client.meta.endpoint_url) from error
    except ResponseParserError as error:
        advice = "Check the S3 endpoint: another service answers there, such as a console or a proxy."
        raise NetworkError(f"what answers for {where} is not S3", advice=advice) from error
    except _BAD_NAME as error:
        raise InvalidInput(redacted(f"{where} cannot be asked for: {error}")) from error
    except (boto_errors.ChecksumError, boto_errors.FlexibleChecksumError) as error:
        raise IntegrityError(redacted(f"{where}: {error}")) from error


def _of_answer(
    error: boto_errors.ClientError, place: Location, where: str, missing: Callable[[str], WanError]
) -> WanError:
    """Our error for an answer that was not a success."""
    said, status = error.response.get("Error", {}), status_of(error)
    code = str(said.get("Code", ""))
    words = redacted(str(said.get("Message", "")) or code)
    if _headers(error).get("content-type", "").startswith("text/html"):
        words = f"{words}: a web page, as consoles and proxies send, not S3"
    if error.operation_name in _ROLE_CALLS:
        return AccessDenied(f"no role for {where}: STS said {code}: {words}", advice=_TO_TRUST)
    if code == "NoSuchBucket":
        return _without_bucket(missing(f"there is no bucket {place.bucket!r} ({where})"))
    if code in _REFUSED:
        return _refused(code, words, where)
    if code in _MISSING or status == 404:
        return missing(f"there is no {where}")
    if code in _TOO_LONG:
        return InvalidInput(f"{where}: {code}: {words}", advice="Choose a shorter address.")
    if code in _REGION:
        return _elsewhere(error, where, words)
    if code in _SKEWED:
        return _of_clock(error, where, words)
    if status in (401, 403):
        return _refused(code, words, where)
    if code in _DIGEST:
        return IntegrityError(f"{where} received other bytes than were sent: {code}: {words}")
    if status == 400 and code == "400":  # a HEAD has no body to say why; expired tokens are answered so
        return AccessDenied(f"S3 refused {where} without saying why (400)", advice=_TO_RENEW)
    return _of_status(status, code, words, where)


def _without_bucket(error: WanError) -> WanError:
    """What was to be read: nothing can be published there before there is a bucket."""
    if isinstance(error, ModelNotFound):
        error.advice = "Create the bucket, or correct its name; then `wan weights publish SRC S3URI`."
    return error


def _refused(code: str, words: str, where: str) -> WanError:
    advice = _TO_RENEW
    if code in ("403", "AccessDenied"):
        advice = _TO_BE_ALLOWED
    return AccessDenied(f"S3 refused {where}: {code}: {words}", advice=advice)


def _elsewhere(error: boto_errors.ClientError, where: str, words: str) -> WanError:
    """botocore follows by itself where it can; where it cannot, the region is named."""
    region = _headers(error).get("x-amz-bucket-region") or error.response.get("Error", {}).get("Region")
    advice = f"Set AWS_REGION to {region or 'the region of the bucket'} (in a cluster, s3.region)."
    return AccessDenied(f"{where} lies in another region: {words}", advice=advice)


def _of_clock(error: boto_errors.ClientError, where: str, words: str) -> WanError:
    """The machine's fault, and not one that another try on it mends."""
    said = error.response.get("Error", {})
    here = _time_of(said.get("RequestTime")) or datetime.now(UTC)
    there = _time_of(said.get("ServerTime")) or _time_of(_headers(error).get("date"))
    told = "is not S3's"
    if there is not None:
        skew_s = round((here - there).total_seconds())
        told = f"is {abs(skew_s)} s {'ahead of' if skew_s > 0 else 'behind'} S3's"
        told += f" ({here:%H:%M:%S} here, {there:%H:%M:%S} there)"
    return AccessDenied(
        f"S3 refused {where}: this machine's clock {told}: {words}",
        advice="Correct this machine's clock (NTP).",
    )


def _time_of(text: str | None) -> datetime | None:
    """A time as S3 writes it in an answer, or HTTP in a header."""
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            time = read(text or "")
        except ValueError:
            continue
        return time if time.tzinfo else time.replace(tzinfo=UTC)
    return None


def _headers(error: boto_errors.ClientError) -> Mapping[str, str]:
    """Of the answer, names in lower case."""
    return dict(error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {}))


def _of_status(status: int, code: str, words: str, where: str) -> WanError:
    if status == 407:
        return AccessDenied(f"the proxy on the way to {where} wants credentials: {words}", advice=TO_PROXY)
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
    return AccessDenied(f"cannot write: {what}", advice="Create the bucket, or correct its name.")
