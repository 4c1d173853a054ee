"""What a model's place in S3 holds: a manifest, or a folder in diffusers layout that was never published.

Without a manifest it must have what its own indexes name, and every object is asked for its checksum:
CRC64NVME of the whole if S3 has it, else there is only size and ETag, which do not show a byte that the way
or a disk changed. The ETag, at least, holds a fetch to the objects that were there when it began.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from contextlib import closing
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from typing import Any

from wan_core.api.words import printable
from wan_core.errors import AccessDenied, IntegrityError, ModelNotFound, WanError
from wan_runner.store import s3
from wan_runner.store.blob import Blob
from wan_runner.store.checksums import Checksum
from wan_runner.store.contents import SETTINGS_MAX_BYTES, parse_json
from wan_runner.store.digests import from_base64, to_hex
from wan_runner.store.manifest import (
    MANIFEST_MAX_BYTES,
    MANIFEST_NAME,
    Manifest,
    read_manifest,
)
from wan_runner.store.model_folder import (
    INDEX,
    SHARDS_INDEX,
    choose_names,
    missing_parts,
    missing_shards,
    missing_weights,
)

OBJECTS_MAX = 10_000  # as many as a manifest may name
SHOWN = 5


@dataclass(frozen=True)
class Unpublished:
    """A file of a model without a manifest."""

    path: str
    found: Blob

    @property
    def key(self) -> str:
        """Where the bytes lie in S3, below the model's own place."""
        return self.path

    @property
    def bytes(self) -> int:
        return self.found.bytes

    def blob(self) -> Blob:
        """The same bytes for who fetches and keeps them."""
        return self.found


@dataclass(frozen=True)
class Unlisted:
    """A model without a manifest. `warning` is a sentence for people."""

    files: tuple[Unpublished, ...]
    warning: str

    @property
    def total_bytes(self) -> int:
        """Bytes of all files, each content counted once."""
        return sum({file.found.name: file.bytes for file in self.files}.values())

    def canonical(self) -> bytes:
        """What is known of each file, in one way of writing it."""
        files = [{"path": file.path, **asdict(file.found)} for file in self.files]
        return json.dumps({"unlisted": files}, sort_keys=True, separators=(",", ":")).encode()

    def digest(self) -> str:
        """A name for these files as they are known: it changes whenever an object is written."""
        return hashlib.sha256(self.canonical()).hexdigest()


def find_published(client: s3.Client, place: s3.Location) -> Manifest | Unlisted:
    """The model at `place`, with a manifest or without.

    Raises ModelNotFound, saying what is there instead, TrustRemoteCode, IntegrityError, AccessDenied,
    NetworkError.
    """
    try:
        return read_published(client, place)
    except ModelNotFound as error:
        try:
            sizes = _list_objects(client, place)
        except (ModelNotFound, AccessDenied):  # we may not list: then there is no more to say
            raise error from None
        if INDEX not in sizes:
            raise ModelNotFound(error.message + _what_is_there(client, place)) from error
    paths = sorted(choose_names(sizes, place.uri))
    _require_whole(client, place, sizes)
    files = tuple(Unpublished(path, _look_at(client, place.child(path), sizes[path])) for path in paths)
    return Unlisted(files, _warn(place, files))


def read_published(client: s3.Client, place: s3.Location) -> Manifest:
    """The manifest of the model at `place`. Raises ModelNotFound if there is none."""
    target = place.child(MANIFEST_NAME)
    with s3.translated(client, target, s3.missing_model):
        answer = client.get_object(Bucket=target.bucket, Key=target.key)
        with closing(answer["Body"]) as body:
            data = body.read(MANIFEST_MAX_BYTES + 1)
    return read_manifest(data, target.uri)


def _list_objects(client: s3.Client, place: s3.Location) -> dict[str, int]:
    """Bytes of each object below `place`. Raises IntegrityError if there are more than a model has."""
    prefix, sizes = place.child("").key, {}
    with s3.translated(client, place, s3.missing_model):
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=place.bucket, Prefix=prefix):
            sizes |= {entry["Key"].removeprefix(prefix): entry["Size"] for entry in page.get("Contents", [])}
            if len(sizes) > OBJECTS_MAX:
                raise IntegrityError(f"{place.uri} holds more than {OBJECTS_MAX} objects: no model does")
    return {path: size for path, size in sizes.items() if path and not path.endswith("/")}


def _require_whole(client: s3.Client, place: s3.Location, present: Collection[str]) -> None:
    """Raises ModelNotFound that names what the folder's indexes name and it lacks."""
    index = _read_settings(client, place.child(INDEX))
    problems = [
        f"{INDEX} names {part}, of which there are no files" for part in missing_parts(index, present)
    ]
    problems += [f"{part} has no .safetensors file" for part in missing_weights(index, present)]
    for path in sorted(path for path in present if path.endswith(SHARDS_INDEX)):
        missing = missing_shards(path, _read_settings(client, place.child(path)), present)
        problems += [f"{path} names {printable(shard)}, which is not there" for shard in missing]
    if problems:
        more = f"; and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        raise ModelNotFound(
            f"{place.uri} is not whole: {'; '.join(problems[:SHOWN])}{more}",
            advice=f"Upload what is missing, or all of it: `wan weights publish SRC {place.uri}`.",
        )


def _read_settings(client: s3.Client, place: s3.Location) -> dict[str, Any]:
    """A small object of JSON, before it is fetched like the others."""
    with s3.translated(client, place, s3.missing_model):
        answer = client.get_object(Bucket=place.bucket, Key=place.key)
        with closing(answer["Body"]) as body:
            data = body.read(SETTINGS_MAX_BYTES + 1)
    if len(data) > SETTINGS_MAX_BYTES:
        raise IntegrityError(f"{place.uri} has more than {SETTINGS_MAX_BYTES} bytes")
    return parse_json(data, place.uri)


def _look_at(client: s3.Client, place: s3.Location, size: int) -> Blob:
    """The object as S3 knows it now."""
    with s3.translated(client, place, s3.missing_model):
        head = client.head_object(Bucket=place.bucket, Key=place.key, ChecksumMode="ENABLED")
    size, etag = head.get("ContentLength", size), head["ETag"]
    stored = head.get(Checksum.CRC64NVME.field)
    if stored is None:
        named = hashlib.sha256("\0".join((place.bucket, place.key, etag)).encode()).hexdigest()
        return Blob(f"etag-{named}-{size}", size, etag=etag)
    try:
        crc = from_base64(stored)
    except ValueError as error:
        raise IntegrityError(f"{place.uri}: its stored CRC64NVME is none: {error}") from error
    return Blob(f"crc64nvme-{to_hex(crc)}-{size}", size, crc64nvme=crc, etag=etag)


def _warn(place: s3.Location, files: tuple[Unpublished, ...]) -> str:
    bare = sum(file.found.tier == "etag" for file in files)
    known = (
        f"of {bare} of its {len(files)} files only size and ETag are known, so damage would not be noticed"
        if bare
        else "its files are checked as wholes, so one flipped byte costs a whole file"
    )
    return f"{place.uri} has no {MANIFEST_NAME}: {known}; publish it: wan weights publish SRC {place.uri}"


def _what_is_there(client: s3.Client, place: s3.Location) -> str:
    """The end of a message: the model folders beside `place`, and the nearest name."""
    parent, _, name = place.key.rstrip("/").rpartition("/")
    prefix = f"{parent}/" if parent else ""
    try:
        with s3.translated(client, place, s3.missing_model):
            listing = client.list_objects_v2(Bucket=place.bucket, Prefix=prefix, Delimiter="/", MaxKeys=200)
    except WanError:  # no such bucket, or we may not list it: then there is no more to say
        return ""
    folders = [entry["Prefix"][len(prefix) :].rstrip("/") for entry in listing.get("CommonPrefixes", [])]
    if name in folders:
        return (
            f"; the folder has files but neither {MANIFEST_NAME} nor {INDEX}: "
            "it is no model, or its publication was stopped"
        )
    if not folders:
        return f"; no model is published under s3://{place.bucket}/{prefix}"
    near = get_close_matches(name, folders, n=1, cutoff=0.5)
    others = ", ".join(sorted(folders)[:12])
    return f"; published there: {others}" + (f"; nearest: {near[0]}" if near else "")
