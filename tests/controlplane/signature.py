"""AWS signature version 4 for one S3 request. Standard library, so that a scripted container starts at once.

Source: AWS General Reference, "Create a signed AWS API request". Header signing only; no query, no chunks.
"""

from __future__ import annotations

import configparser
import hashlib
import hmac
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

if TYPE_CHECKING:
    from urllib.request import Request

ALGORITHM = "AWS4-HMAC-SHA256"


def read_credentials() -> tuple[str, str]:
    """Access key and secret key of the default profile of $AWS_SHARED_CREDENTIALS_FILE."""
    profiles = configparser.ConfigParser()
    with open(os.environ["AWS_SHARED_CREDENTIALS_FILE"]) as file:
        profiles.read_file(file)
    default = profiles["default"]
    return default["aws_access_key_id"], default["aws_secret_access_key"]


def sign(request: Request, body: bytes) -> None:
    """Add the headers that prove who asks."""
    access_key, secret = read_credentials()
    region = os.environ.get("AWS_REGION", "us-east-1")
    place = urlsplit(request.full_url)
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    digest = hashlib.sha256(body).hexdigest()
    headers = {"host": place.netloc, "x-amz-content-sha256": digest, "x-amz-date": moment}
    names = ";".join(headers)
    canonical = "\n".join(
        [
            request.get_method(),
            quote(place.path),
            "",
            *(f"{name}:{value}" for name, value in headers.items()),
            "",
            names,
            digest,
        ]
    )
    scope = f"{moment[:8]}/{region}/s3/aws4_request"
    text = "\n".join([ALGORITHM, moment, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signed = hmac.digest(key, text.encode(), "sha256").hex()
    for name, value in headers.items():
        request.add_header(name, value)
    credential = f"Credential={access_key}/{scope}"
    request.add_header(
        "Authorization", f"{ALGORITHM} {credential}, SignedHeaders={names}, Signature={signed}"
    )
