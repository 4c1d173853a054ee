"""Why there was no answer: a name that does not resolve, nobody who listens, a certificate, a proxy.

botocore wraps what urllib3 wraps what the socket said. Here the innermost is found and told.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from urllib.parse import urlsplit

from botocore import exceptions as boto_errors
from urllib3.util.ssl_match_hostname import CertificateError

from wan_core.errors import AccessDenied, NetworkError, WanError
from wan_runner.store.redact import redacted

TO_PROXY = "Check HTTPS_PROXY, HTTP_PROXY and NO_PROXY (in a cluster, s3.proxy)."
_TO_TRUST = (
    "Name a file with the certificates of all authorities that are to be trusted, public ones included, "
    "in AWS_CA_BUNDLE (in a cluster, s3.caBundle)."
)
_TO_RESOLVE = "Check the S3 endpoint's name, and DNS as this machine sees it (in a cluster, egress.dnsCIDRs)."
_TO_RENEW = "Renew the certificate of the S3 endpoint; if it has not ended, correct this machine's clock."
_TO_NAME = (
    "Use the name that the certificate is for as the S3 endpoint, or have a certificate made for this one."
)

_UNTRUSTED = (ssl.SSLCertVerificationError, CertificateError)  # OpenSSL's word, and urllib3's about names
_ENDED, _NOT_YET = 10, 9  # OpenSSL's X509_V_ERR_*
_WRONG_NAME = (62, 64)  # of a host, of an address


def of_silence(error: Exception, where: str, endpoint: str) -> NetworkError:
    """For a request that was sent, or tried to be, without an answer."""
    causes = list(_causes(error))
    host = urlsplit(endpoint).hostname or endpoint
    for cause in causes:
        if isinstance(cause, _UNTRUSTED):
            return _of_certificate(cause, host, where)
    for cause in causes:
        if isinstance(cause, ssl.SSLError):
            advice = "Check that the S3 endpoint speaks TLS on this port, and which versions of it."
            said = getattr(cause, "reason", None) or cause.strerror or str(cause)
            return NetworkError(redacted(f"no TLS connection to {where}: {said}"), advice=advice)
    for cause in causes:
        if isinstance(cause, socket.gaierror):
            said = f"the name {host} does not resolve: {cause.strerror}"
            return NetworkError(f"no answer for {where}: {said}", advice=_TO_RESOLVE)
    return NetworkError(redacted(f"no answer for {where}: {_last_words(error, causes)}"))


def of_proxy(error: boto_errors.ProxyConnectionError, where: str) -> WanError:
    """For a proxy that could not be reached, or would not connect."""
    proxy = urlsplit(str(error.kwargs.get("proxy_url", ""))).netloc.rpartition("@")[2]
    for cause in _causes(error):
        if isinstance(cause, _UNTRUSTED):
            return _of_certificate(cause, urlsplit(f"//{proxy}").hostname or proxy, f"the proxy {proxy}")
    said = _last_words(error, list(_causes(error)))
    kind = AccessDenied if "407" in said else NetworkError
    return kind(redacted(f"the proxy {proxy} on the way to {where}: {said}"), advice=TO_PROXY)


def _of_certificate(
    cause: ssl.SSLCertVerificationError | CertificateError, host: str, where: str
) -> NetworkError:
    code = getattr(cause, "verify_code", _WRONG_NAME[0])
    words = getattr(cause, "verify_message", str(cause))
    if code in (_ENDED, _NOT_YET):
        said = "has ended" if code == _ENDED else "is not valid yet"
        return NetworkError(
            f"no trusted connection to {where}: the certificate of {host} {said}", advice=_TO_RENEW
        )
    if code in _WRONG_NAME:
        said = f"the certificate is not for {host}: {words}"
        return NetworkError(f"no trusted connection to {where}: {said}", advice=_TO_NAME)
    said = f"the certificate of {host} is not by an authority that is trusted here: {words}"
    return NetworkError(f"no trusted connection to {where}: {said}", advice=_TO_TRUST)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """What is inside of an error, outermost first, each once."""
    waiting: list[object] = [error]
    seen: set[int] = set()
    while waiting:
        inner = waiting.pop(0)
        if not isinstance(inner, BaseException) or id(inner) in seen:
            continue
        seen.add(id(inner))
        yield inner
        waiting += [getattr(inner, "kwargs", {}).get("error"), *inner.args]
        waiting += [
            getattr(inner, name, None) for name in ("reason", "original_error", "__cause__", "__context__")
        ]


def _last_words(error: BaseException, causes: list[BaseException]) -> str:
    """What the system said, where it said something; else what botocore makes of it."""
    for cause in reversed(causes):
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
    return str(causes[-1]) if isinstance(error, boto_errors.ProxyConnectionError) else str(error)
