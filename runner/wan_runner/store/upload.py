"""Files into S3: with checksums, verified afterwards, and a finished video never over another object.

Small files go in one request, large ones in parts; S3 compares each with the checksum that we send along.
Every object carries the SHA-256 of the whole in its metadata too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

from botocore.exceptions import ClientError

from wan_core.errors import IntegrityError, Interrupted, InvalidInput, NetworkError
from wan_runner.store import s3
from wan_runner.store.blob import CHUNK_BYTES
from wan_runner.store.checksums import Checksum
from wan_runner.store.digests import Digests, digest_file, digest_stream
from wan_runner.store.multipart import checksum_of, send_parts

Progress = Callable[[int, int], None]

PART_BYTES = CHUNK_BYTES  # S3 takes at most 10,000 parts: files up to 625 GiB


@dataclass(frozen=True)
class UploadedObject:
    """An object that was uploaded and verified: `sha256` in hex. `checksum` is what the store keeps of it."""

    uri: str
    bytes: int
    sha256: str
    checksum: Checksum | None = None


@dataclass(frozen=True)
class Content:
    """A file to upload: in parts, each a chunk, if it has several."""

    path: Path
    digests: Digests

    @property
    def size(self) -> int:
        return self.digests.bytes

    def part_size(self, number: int) -> int:
        """Bytes of a part, by its number from 1."""
        return min(self.digests.chunk_bytes, self.size - (number - 1) * self.digests.chunk_bytes)


@dataclass(frozen=True)
class Target:
    """Where and how an upload goes. `exclusive`: only if nothing is there; `resumes`: over several
    connections, and from where an upload that was left open has come.
    """

    client: s3.Client
    place: s3.Location
    content_type: str
    metadata: Mapping[str, str]
    exclusive: bool
    resumes: bool
    checksum: Checksum = Checksum.SHA256

    @property
    def name(self) -> dict[str, str]:
        return {"Bucket": self.place.bucket, "Key": self.place.key}

    @property
    def condition(self) -> dict[str, str]:
        return {"IfNoneMatch": "*"} if self.exclusive else {}

    def described(self, content: Content) -> dict[str, Any]:
        metadata = {**self.metadata, s3.DIGEST_KEY: content.digests.sha256}
        return {"ContentType": self.content_type, "Metadata": metadata}

    def stop_if(self, cancel: Event) -> None:
        if cancel.is_set():
            raise Interrupted(f"told to stop while uploading {self.place.uri}")


def upload(
    path: Path,
    uri: str,
    content_type: str,
    metadata: Mapping[str, str] | None = None,
    *,
    cancel: Event | None = None,
    on_progress: Progress | None = None,
    part_bytes: int = PART_BYTES,
) -> UploadedObject:
    """Uploads `path` to `uri` if nothing is there yet; done already if our own bytes are there.

    Raises InvalidInput if another object is there, AccessDenied (also for a missing bucket), NetworkError,
    IntegrityError. Interrupted once `cancel` is set: then nothing of ours is left at `uri`, nor open parts.
    """
    client, place = s3.connect(), s3.parse_uri(uri, "output")
    target = Target(client, place, content_type, dict(metadata or {}), exclusive=True, resumes=False)
    content = Content(path, digest_file(path, chunk_bytes=part_bytes))
    uploaded = send(target, content, cancel or Event(), on_progress)
    if cancel is not None and cancel.is_set():
        withdraw(uploaded)
        raise Interrupted(f"told to stop after uploading {uri}; it was removed again")
    return uploaded


def withdraw(uploaded: UploadedObject) -> None:
    """Removes an object that `upload` made."""
    client, place = s3.connect(), s3.parse_uri(uploaded.uri)
    with s3.translated(client, place, s3.missing_target):
        client.delete_object(Bucket=place.bucket, Key=place.key)


def is_there(target: Target) -> bool:
    """Whether any object lies at the target."""
    try:
        target.client.head_object(**target.name)
    except ClientError as error:
        if s3.status_of(error) == 404:
            return False
        raise
    return True


def is_stored(target: Target, content: Content) -> bool:
    """Whether these very bytes are at the target already: by size, and by checksum or the digest with it."""
    try:
        head = target.client.head_object(**target.name, ChecksumMode="ENABLED")
    except ClientError as error:
        if s3.status_of(error) == 404:
            return False
        raise
    if head["ContentLength"] != content.size:
        return False
    stored = head.get(Checksum.CRC64NVME.field)
    if stored is not None and target.checksum is Checksum.CRC64NVME:
        return bool(stored == Checksum.CRC64NVME.of(content.digests))
    return bool(head.get("Metadata", {}).get(s3.DIGEST_KEY) == content.digests.sha256)


def send(
    target: Target, content: Content, cancel: Event, on_progress: Progress | None = None
) -> UploadedObject:
    """Uploads `content`, in parts if it has several, and verifies what is there then."""
    tell = on_progress or (lambda done, total: None)
    target.stop_if(cancel)
    expected = target.checksum.of(content.digests)
    with s3.translated(target.client, target.place, s3.missing_target):
        try:
            if len(content.digests.chunks) > 1:
                expected = send_parts(target, content, cancel, tell)
            else:
                _send_whole(target, content, expected)
        except ClientError as error:
            _settle_conflict(error, target, content)
            expected = checksum_of(target, content)
        stored = _verify(target, content, expected)
    tell(content.size, content.size)
    return UploadedObject(target.place.uri, content.size, content.digests.sha256, stored)


def _send_whole(target: Target, content: Content, checksum: str) -> None:
    with content.path.open("rb") as file:
        target.client.put_object(
            **target.name,
            **target.condition,
            **target.described(content),
            Body=file,
            ChecksumAlgorithm=str(target.checksum),
            **{target.checksum.field: checksum},
        )


def _settle_conflict(error: ClientError, target: Target, content: Content) -> None:
    """Returns if our bytes are there, by an attempt whose answer was lost. Raises what is true otherwise."""
    code = error.response["Error"].get("Code", "")
    if code not in ("PreconditionFailed", "ConditionalRequestConflict", "NoSuchUpload", "412", "409"):
        raise error
    if is_stored(target, content):
        return
    if code in ("PreconditionFailed", "412"):
        raise InvalidInput(
            f"output: another object lies at {target.place.uri}; it is never overwritten",
            advice="Choose another output prefix, or remove that object.",
        ) from error
    raise NetworkError(f"somebody else wrote to {target.place.uri} at the same time: {code}") from error


def _verify(target: Target, content: Content, expected: str) -> Checksum | None:
    """Size and checksum of the object as S3 has them now, against the file's; the checksum that S3 keeps.

    A store that keeps none, or another, is read back.
    """
    head = target.client.head_object(**target.name, ChecksumMode="ENABLED")
    stored = head.get(target.checksum.field, "").partition("-")[0]  # in parts: digest, dash, how many
    kept = target.checksum if stored else None
    if head["ContentLength"] == content.size and not stored:
        expected, stored = content.digests.sha256, _read_back(target).sha256
    if head["ContentLength"] != content.size or stored != expected:
        raise IntegrityError(
            f"{target.place.uri} has {head['ContentLength']} bytes and checksum {stored or 'unknown'} "
            f"after the upload of {content.size} bytes and {expected}",
            advice="The store or the way to it damages data: try again, then ask who runs it.",
        )
    return kept


def _read_back(target: Target) -> Digests:
    with closing(target.client.get_object(**target.name)["Body"]) as body:
        return digest_stream(body)
