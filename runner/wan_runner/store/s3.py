"""How we speak to S3, for the rest of the store: places, the client, its errors as ours, small objects.

Who we are is in `credentials`, the client in `connection`, its errors in `answers`. Everything is configured
by the environment. Messages name bucket, key and endpoint, never a secret.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from botocore import exceptions as boto_errors

from wan_core.errors import IntegrityError, InvalidInput, WanError
from wan_runner.store.answers import missing_model, missing_target, status_of, translated
from wan_runner.store.connection import Client, connect
from wan_runner.store.location import Location, parse_uri

__all__ = [
    "DIGEST_KEY",
    "Client",
    "Location",
    "connect",
    "copy_to",
    "missing_model",
    "missing_target",
    "parse_uri",
    "read_input",
    "require_bucket",
    "status_of",
    "translated",
]

DIGEST_KEY = "sha256"  # metadata of every object that we upload: the SHA-256 of the whole, in hex


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
