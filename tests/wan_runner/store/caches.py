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
from wan_runner.store.download import Receipt
from wan_runner.store.ingest import Fill, Report
from wan_runner.store.tree import Model

CHUNK = 4096
ROOMY = {"WAN_CACHE_HIGH_PERCENT": "100", "WAN_CACHE_LOW_PERCENT": "100"}


def open_roomy(root: Path, **settings: str) -> Cache:
    """A cache whose only limits are the given settings, and the disk."""
    return open_cache(root, ROOMY | settings)


def blob_of(data: bytes) -> Blob:
    """The bytes as a manifest with chunks of CHUNK would know them."""
    pieces = [data[at : at + CHUNK] for at in range(0, len(data), CHUNK)]
    chunks = tuple(checksums.crc64nvme(piece) for piece in pieces)
    name = f"sha256-{hashlib.sha256(data).hexdigest()}"
    return Blob(name, len(data), chunks, checksums.crc64nvme(data), chunk_bytes=CHUNK)


def tensors_of(seed: int, size: int = 3 * CHUNK) -> bytes:
    """A small safetensors file, another one for each seed."""
    return safetensors(hashlib.sha256(str(seed).encode()).digest() * (size // 32))


def model_of(files: Mapping[str, bytes], uri: str = "s3://weights/m") -> Model:
    """A model with these files."""
    blobs = {path: blob_of(data) for path, data in files.items()}
    document = json.dumps({path: blob.name for path, blob in sorted(blobs.items())}).encode()
    uris = {blob.name: f"{uri}/{path}" for path, blob in blobs.items()}
    return Model(uri, hashlib.sha256(document).hexdigest(), blobs, uris, document)


class Source:
    """Fills blobs from memory, and counts what it gave: as little of a download as the cache can see."""

    def __init__(self, *contents: bytes) -> None:
        self.contents = {blob_of(data).name: data for data in contents}
        self.served = 0

    def __call__(self, uri: str, blob: Blob) -> Fill[Receipt]:
        def fill(sink: FileIO, journal: Path, report: Report) -> Receipt:
            data = self.contents[blob.name]
            journal.write_bytes(b"")
            for at in range(0, len(data), CHUNK):
                os.pwrite(sink.fileno(), data[at : at + CHUNK], at)
                report(min(at + CHUNK, len(data)))
            self.served += len(data)
            return Receipt(received=len(data), resumed=0, retries=0)

        return fill


def source_of(files: Mapping[str, bytes]) -> Source:
    return Source(*files.values())


def silent(phase: Phase, done: int, total: int) -> None:
    pass


def never() -> Event:
    """Nobody cancels."""
    return Event()
