"""Places in S3, and their names: `s3://bucket/key`. No I/O here."""

from __future__ import annotations

import re
from typing import NamedTuple

from wan_core.errors import InvalidInput

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


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
    if {".", ".."} & set(key.split("/")):  # S3 has no such folders, and some stores refuse or resolve them
        raise InvalidInput(f"{field}: {uri[:80]!r} has a part that is . or ..; write the address without")
    return Location(bucket, key)
