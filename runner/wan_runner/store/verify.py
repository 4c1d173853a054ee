"""Whether what is published is what its manifest says, and how what is not is made right from the source.

The quick way asks S3 for size and checksum of every object; the deep one reads every byte.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

from botocore.exceptions import ClientError

from wan_core.errors import Interrupted, ModelNotFound
from wan_runner.store import s3
from wan_runner.store.checksums import Checksum
from wan_runner.store.digests import digest_file, digest_stream, from_base64, to_hex
from wan_runner.store.disk import require_space
from wan_runner.store.drafts import draft_folder, files_below
from wan_runner.store.manifest import File, Manifest
from wan_runner.store.prepare_model import Assembly
from wan_runner.store.publish import send_weights, target_of
from wan_runner.store.sources import find_published
from wan_runner.store.upload import Content

Tell = Callable[[str, int, int], None]
"""Which file is looked at, bytes done and bytes in all."""

BYTES, STORED, NOTED, SIZE = "bytes read", "CRC64NVME in S3", "SHA-256 noted at upload", "size only"
SHOWN = 8


@dataclass(frozen=True)
class Fault:
    """A file that is not what the manifest says: `problem` ends a sentence that begins with its path."""

    path: str
    problem: str


@dataclass(frozen=True)
class Verified:
    """What was looked at; `ways` counts the files that are there by how far they were checked."""

    manifest: Manifest
    faults: tuple[Fault, ...]
    ways: Mapping[str, int]

    @property
    def missing(self) -> int:
        return len(self.manifest.files) - sum(self.ways.values())


def verify_published(
    client: s3.Client, place: s3.Location, deep: bool, cancel: Event, tell: Tell
) -> Verified:
    """Compares every object with the manifest at `place`. Raises ModelNotFound if there is none."""
    found = find_published(client, place)
    if not isinstance(found, Manifest):
        raise ModelNotFound(
            f"{place.uri} has no manifest.json to compare its files with",
            advice=f"Publish it: wan weights publish SRC {place.uri}",
        )
    total, done = sum(file.bytes for file in found.files), 0
    faults: list[Fault] = []
    ways: dict[str, int] = {}
    for file in found.files:
        tell(file.path, done, total)
        if cancel.is_set():
            raise Interrupted(f"told to stop while verifying {place.uri}")
        way, problem = _look(client, place.child(file.key), file, deep, cancel)
        if way is not None:
            ways[way] = ways.get(way, 0) + 1
        if problem:
            faults.append(Fault(file.path, problem))
        done += file.bytes
    tell("", done, total)
    return Verified(found, tuple(faults), ways)


def _look(
    client: s3.Client, place: s3.Location, file: File, deep: bool, cancel: Event
) -> tuple[str | None, str]:
    """How the object was checked, None if it is not there, and what is wrong with it: nothing if empty."""
    with s3.translated(client, place, s3.missing_model):
        try:
            head = client.head_object(Bucket=place.bucket, Key=place.key, ChecksumMode="ENABLED")
        except ClientError as error:
            if s3.status_of(error) == 404:
                return None, "is missing"
            raise
        if head["ContentLength"] != file.bytes:
            return SIZE, f"has {head['ContentLength']} bytes, not {file.bytes}"
        if deep:
            return BYTES, _read(client, place, file, cancel)
    return _compare(head, file)


def _compare(head: Mapping[str, Any], file: File) -> tuple[str, str]:
    stored = head.get(Checksum.CRC64NVME.field)
    if stored is not None:
        found = to_hex(from_base64(stored))
        return STORED, "" if found == file.crc64nvme else f"has the checksum {found}, not {file.crc64nvme}"
    noted = head.get("Metadata", {}).get(s3.DIGEST_KEY)
    if noted is None:
        return SIZE, ""
    return NOTED, "" if noted == file.sha256 else f"was uploaded with SHA-256 {noted}, not {file.sha256}"


def _read(client: s3.Client, place: s3.Location, file: File, cancel: Event) -> str:
    """What is wrong with the bytes of an object."""

    def stop_if(count: int) -> None:
        if cancel.is_set():
            raise Interrupted(f"told to stop while reading {place.uri}")

    with closing(client.get_object(Bucket=place.bucket, Key=place.key)["Body"]) as body:
        found = File.of(file.path, digest_stream(body, stop_if))
    wrong = [i for i, (a, b) in enumerate(zip(found.chunks, file.chunks, strict=False)) if a != b]
    if wrong:
        more = f" and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
        named = ", ".join(map(str, wrong[:SHOWN]))
        return f"has wrong bytes in {len(wrong)} of {len(file.chunks)} chunks of 64 MiB: {named}{more}"
    return "" if found.sha256 == file.sha256 else f"has SHA-256 {found.sha256}, not {file.sha256}"


def mend_published(
    client: s3.Client,
    place: s3.Location,
    manifest: Manifest,
    paths: Collection[str],
    model: Assembly,
    scratch: Path,
    cancel: Event,
) -> list[str]:
    """Sends those of the files `paths` again that the source still has, byte for byte; returns them."""

    def tick(done: int, total: int) -> None:
        if cancel.is_set():
            raise Interrupted(f"told to stop while repairing {place.uri}")

    wanted = {file.path: file for file in manifest.files if file.path in paths}
    mended = _send_equal(client, place, wanted, model.files, cancel)
    for made in model.made:
        if set(wanted) - set(mended):
            with draft_folder(scratch) as folder:
                require_space(folder, made.nbytes)
                made.write(folder, tick)
                mended += _send_equal(client, place, wanted, files_below(folder), cancel)
    return mended


def _send_equal(
    client: s3.Client,
    place: s3.Location,
    wanted: Mapping[str, File],
    files: Mapping[str, Path],
    cancel: Event,
) -> list[str]:
    """Sends the wanted files that have the manifest's bytes, whatever is there."""
    sent = []
    for path in sorted(wanted.keys() & files.keys()):
        content = Content(files[path], digest_file(files[path]))
        if content.digests.sha256 != wanted[path].sha256:
            continue
        send_weights(target_of(client, place.child(wanted[path].key)), content, cancel, lambda *told: None)
        sent.append(path)
    return sent
