"""The two checksums with which objects are uploaded, in the words of S3.

CRC64NVME is one of the whole object, however many parts it came in, so that a fetch can be checked against
it. SHA-256, for stores that do not know the former, is for an object in parts the digest of their digests.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from enum import StrEnum

from awscrt import checksums

from wan_runner.store.digests import Digests, to_base64


class Checksum(StrEnum):
    """S3's own names."""

    CRC64NVME = "CRC64NVME"
    SHA256 = "SHA256"

    @property
    def field(self) -> str:
        """Its name in requests and answers."""
        return f"Checksum{self}"

    def of(self, digests: Digests) -> str:
        """That of an object which is sent as a whole."""
        if self is Checksum.CRC64NVME:
            return to_base64(digests.crc64nvme)
        return base64.b64encode(bytes.fromhex(digests.sha256)).decode()

    def of_part(self, data: bytes) -> str:
        """That of one part."""
        if self is Checksum.CRC64NVME:
            return to_base64(checksums.crc64nvme(data))
        return base64.b64encode(hashlib.sha256(data).digest()).decode()

    def of_parts(self, digests: Digests, parts: Sequence[str]) -> str:
        """That of an object in parts, of which those of the parts are given."""
        if self is Checksum.CRC64NVME:
            return to_base64(digests.crc64nvme)
        whole = hashlib.sha256(b"".join(base64.b64decode(part) for part in parts)).digest()
        return base64.b64encode(whole).decode()

    @property
    def kind(self) -> dict[str, str]:
        """What opening and completing an upload in parts say besides."""
        return {"ChecksumType": "FULL_OBJECT"} if self is Checksum.CRC64NVME else {}
