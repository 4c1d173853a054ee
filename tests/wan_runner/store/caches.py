"""A cache for tests: never full unless a test says so, and filled from memory instead of from S3."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from io import FileIO
from pathlib import Path
from threading import Event

from awscrt import checksums

from tests.wan_runner.store.models import safetensors
from wan_core.phases import Phase
from wan_runner.store.blob import Blob
from wan_runner.store.cache import Cache, open_cache
from wan_runner.store.chunks import Span
from wan_runner.store.download import Receipt
from wan_runner.store.ingest import Fill, Report
from wan_runner.store.journal import Journal, find_true
from wan_runner.store.tree import Model

CHUNK = 4096
ROOMY = {"WAN_CACHE_HIGH_PERCENT": "100", "WAN_CACHE_LOW_PERCENT": "100"}


def open_roomy(root: Path, **settings: str) -> Cache:
    """A cache whose only limits are the given settings, and the disk."""
    return open_cache(root, ROOMY | settings)


def blob_of(data: bytes, chunk_bytes: int = CHUNK) -> Blob:
    """The bytes as a manifest with such chunks would know them."""
    pieces = [data[at : at + chunk_bytes] for at in range(0, len(data), chunk_bytes)]
    chunks = tuple(checksums.crc64nvme(piece) for piece in pieces)
    name = f"sha256-{hashlib.sha256(data).hexdigest()}"
    return Blob(name, len(data), chunks, checksums.crc64nvme(data), chunk_bytes=chunk_bytes)


def tensors_of(seed: int, size: int = 3 * CHUNK) -> bytes:
    """A small safetensors file, another one for each seed."""
    return safetensors(hashlib.sha256(str(seed).encode()).digest() * (size // 32))


def model_of(files: Mapping[str, bytes], uri: str = "s3://weights/m", chunk_bytes: int = CHUNK) -> Model:
    """A model with these files."""
    blobs = {path: blob_of(data, chunk_bytes) for path, data in files.items()}
    document = json.dumps({path: blob.name for path, blob in sorted(blobs.items())}).encode()
    uris = {blob.name: f"{uri}/{path}" for path, blob in blobs.items()}
    return Model(uri, hashlib.sha256(document).hexdigest(), blobs, uris, document)


class Source:
    """Fills blobs from memory as a download does that keeps a journal: what it claims rightly is kept.

    `asked` has the address and first byte of each chunk that was not there. Instead of the bytes there may
    be `error`, or with `lies` zeros.
    """

    def __init__(self, *contents: bytes, error: Exception | None = None, lies: bool = False) -> None:
        self.contents = {blob_of(data).name: data for data in contents}
        self.error, self.lies = error, lies
        self.asked: list[tuple[str, int]] = []
        self.served = 0

    def __call__(self, uri: str, blob: Blob) -> Fill[Receipt]:
        def fill(sink: FileIO, journal: Path, report: Report) -> Receipt:
            if self.error is not None:
                raise self.error
            data, received = self.contents[blob.name], 0
            with Journal(journal, blob) as claims:
                here = {span.start for span in find_true(claims.claims, sink.fileno(), lambda: False)}
                for at in range(0, len(data), CHUNK):
                    piece = data[at : at + CHUNK]
                    if at not in here:
                        self.asked.append((uri, at))
                        os.pwrite(sink.fileno(), bytes(len(piece)) if self.lies else piece, at)
                        claims.claim(Span(at, at + len(piece), checksums.crc64nvme(piece)))
                        received += len(piece)
                    report(at + len(piece))
            self.served += received
            return Receipt(received, len(data) - received)

        return fill


def source_of(files: Mapping[str, bytes]) -> Source:
    return Source(*files.values())


def silent(phase: Phase, done: int, total: int) -> None:
    pass


def never() -> Event:
    """Nobody cancels."""
    return Event()
