"""A published model's headers as a folder: what reads local checkpoints reads it, and no weight was fetched.

Each safetensors file is sparse: the header's bytes, then nothing up to its true size. Settings are whole.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Protocol

from wan_core.errors import IntegrityError
from wan_runner.store import s3
from wan_runner.store.contents import SAFETENSORS_HEADER_MAX_BYTES, SETTINGS_MAX_BYTES

LENGTH_BYTES = 8  # safetensors begins with the length of its header
FIRST_BYTES = 2**20  # of a file at once: the header of most
WEIGHTS = ".safetensors"
SETTINGS = ("config.json", "model_index.json", ".index.json")


class Placed(Protocol):
    """A file of a published model: its path there, its size, where its bytes lie below the model."""

    @property
    def path(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def bytes(self) -> int: ...


def mirror_headers(client: s3.Client, place: s3.Location, files: Iterable[Placed], folder: Path) -> None:
    """Write the headers and settings of `files` below `folder`. Other files, a vocabulary say, are empty.

    Raises IntegrityError for a header or settings that are larger than any may be, or that end too early.
    """
    for file in files:
        target, size = folder / file.path, file.bytes
        target.parent.mkdir(parents=True, exist_ok=True)
        if file.path.endswith(WEIGHTS):
            _mirror(client, place.child(file.key), size, target)
        elif file.path.endswith(SETTINGS):
            if size > SETTINGS_MAX_BYTES:
                raise IntegrityError(f"{file.path}: settings of {size} bytes; at most {SETTINGS_MAX_BYTES}")
            target.write_bytes(_read(client, place.child(file.key), 0, size))
        else:
            target.touch()


def _mirror(client: s3.Client, place: s3.Location, size: int, target: Path) -> None:
    first = _read(client, place, 0, min(size, FIRST_BYTES))
    length = int.from_bytes(first[:LENGTH_BYTES], "little")
    end = LENGTH_BYTES + length
    if length > SAFETENSORS_HEADER_MAX_BYTES or end > size:
        raise IntegrityError(
            f"{place.uri} is not safetensors: a header of {length} bytes in a file of {size}"
        )
    rest = _read(client, place, len(first), end) if end > len(first) else b""
    with target.open("wb") as file:
        file.write((first + rest)[:end])
        file.truncate(size)


def _read(client: s3.Client, place: s3.Location, begin: int, end: int) -> bytes:
    """Bytes `begin` to `end` of an object, all of them."""
    if begin >= end:
        return b""
    with s3.translated(client, place, s3.missing_model):
        answer = client.get_object(Bucket=place.bucket, Key=place.key, Range=f"bytes={begin}-{end - 1}")
        with closing(answer["Body"]) as body:
            data: bytes = body.read()
    if len(data) != end - begin:
        raise IntegrityError(f"{place.uri}: {len(data)} bytes came of {end - begin} that were asked for")
    return data
