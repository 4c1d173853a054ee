"""One download in a test: small data with small chunks, into a folder that stays between two tries."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from threading import Event

from awscrt import checksums

from wan_runner.store import s3
from wan_runner.store.blob import Blob
from wan_runner.store.download import Receipt, download
from wan_runner.store.pace import Pace

CHUNK_BYTES = 64 * 1024
PLACE = s3.Location("weights", "m/a.bin")
PATH = "/weights/m/a.bin"


def listed(data: bytes, chunk_bytes: int = CHUNK_BYTES) -> Blob:
    """What a manifest knows of `data`."""
    pieces = [data[at : at + chunk_bytes] for at in range(0, len(data), chunk_bytes)]
    return Blob(
        name=f"sha256-{hashlib.sha256(data).hexdigest()}",
        bytes=len(data),
        chunks=tuple(checksums.crc64nvme(piece) for piece in pieces),
        crc64nvme=checksums.crc64nvme(data),
        chunk_bytes=chunk_bytes,
    )


def unlisted(data: bytes, etag: str, *, checksum: bool = True) -> Blob:
    """What S3 knows of `data`, without a manifest."""
    crc = checksums.crc64nvme(data)
    name = f"crc64nvme-{crc:016x}-{len(data)}" if checksum else f"etag-{'0' * 64}-{len(data)}"
    known = crc if checksum else None
    return Blob(name, len(data), crc64nvme=known, etag=etag, chunk_bytes=CHUNK_BYTES)


def quick(workers: int = 4, patience_s: float = 30.0) -> Pace:
    """A pace for small data: pieces of a quarter of a chunk, and no search for more workers."""
    return Pace(steps=(workers,), patience_s=patience_s, piece_bytes=CHUNK_BYTES // 4)


@dataclass
class Fetch:
    """A download into `folder`; `told` is what was reported."""

    folder: Path
    blob: Blob
    pace: Pace = field(default_factory=quick)
    cancel: Event = field(default_factory=Event)
    told: list[int] = field(default_factory=list)

    @property
    def part(self) -> Path:
        return self.folder / "x.part"

    @property
    def journal(self) -> Path:
        return self.folder / "x.journal"

    def run(self) -> Receipt:
        handle = os.open(self.part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
        with FileIO(handle, "rb+") as sink:
            client = s3.connect(attempts=1)
            return download(
                client, PLACE, self.blob, sink, self.journal,
                cancel=self.cancel, report=self.told.append, pace=self.pace,
            )  # fmt: skip
