"""Files into S3: with checksums, verified afterwards, and a finished video never over another object.

Small files go in one request, large ones in parts; S3 compares each with the SHA-256 that we send along.
Every object carries the SHA-256 of the whole in its metadata too: for parts, S3 has a digest of digests.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from wan_core.errors import IntegrityError, Interrupted, InvalidInput, NetworkError
from wan_runner.store import s3

Progress = Callable[[int, int], None]

PART_BYTES = 64 * 1024 * 1024  # S3 takes at most 10,000 parts: files up to 625 GiB


@dataclass(frozen=True)
class UploadedObject:
    """An object that was uploaded and verified: `sha256` in hex."""

    uri: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Content:
    """A file to upload. `parts` has the parts' digests, and is empty if it goes in one request."""

    path: Path
    size: int
    sha256: bytes
    parts: tuple[bytes, ...]
    part_bytes: int

    @property
    def composite(self) -> bytes:
        """What S3 calls the SHA-256 of an object in parts: the digest of the parts' digests."""
        return hashlib.sha256(b"".join(self.parts)).digest()


@dataclass(frozen=True)
class Target:
    """Where and how an upload goes. `exclusive`: only if nothing is there."""

    client: s3.Client
    place: s3.Location
    content_type: str
    metadata: Mapping[str, str]
    exclusive: bool

    @property
    def name(self) -> dict[str, str]:
        return {"Bucket": self.place.bucket, "Key": self.place.key}

    @property
    def condition(self) -> dict[str, str]:
        return {"IfNoneMatch": "*"} if self.exclusive else {}

    def described(self, content: Content) -> dict[str, Any]:
        metadata = {**self.metadata, s3.DIGEST_KEY: content.sha256.hex()}
        return {"ContentType": self.content_type, "Metadata": metadata}


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
    target = Target(client, place, content_type, dict(metadata or {}), exclusive=True)
    content = read_content(path, part_bytes)
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


def read_content(path: Path, part_bytes: int = PART_BYTES) -> Content:
    """Size and digests of the file at `path`, read once; in parts only if it is larger than one."""
    whole, parts, size = hashlib.sha256(), [], path.stat().st_size
    with path.open("rb") as file:
        while part := file.read(part_bytes):
            whole.update(part)
            if size > part_bytes:
                parts.append(hashlib.sha256(part).digest())
    return Content(path, size, whole.digest(), tuple(parts), part_bytes)


def is_stored(target: Target, content: Content) -> bool:
    """Whether these very bytes are at the target already, as size and metadata of the object there say."""
    try:
        head = target.client.head_object(**target.name)
    except ClientError as error:
        if s3.status_of(error) == 404:
            return False
        raise
    known = head.get("Metadata", {}).get(s3.DIGEST_KEY)
    return bool(head["ContentLength"] == content.size and known == content.sha256.hex())


def send(
    target: Target, content: Content, cancel: Event, on_progress: Progress | None = None
) -> UploadedObject:
    """Uploads `content`, in parts if it has several, and verifies what is there then."""
    _stop_if(cancel, target)
    with s3.translated(target.client, target.place, s3.missing_target):
        try:
            if content.parts:
                _send_parts(target, content, cancel, on_progress)
            else:
                _send_whole(target, content)
        except ClientError as error:
            _settle_conflict(error, target, content)
        _verify(target, content)
    if on_progress is not None:
        on_progress(content.size, content.size)
    return UploadedObject(target.place.uri, content.size, content.sha256.hex())


def _send_whole(target: Target, content: Content) -> None:
    with content.path.open("rb") as file:
        target.client.put_object(
            **target.name,
            **target.condition,
            **target.described(content),
            Body=file,
            ChecksumAlgorithm="SHA256",
            ChecksumSHA256=_base64(content.sha256),
        )


def _send_parts(target: Target, content: Content, cancel: Event, on_progress: Progress | None) -> None:
    with _multipart(target, content) as name, content.path.open("rb") as file:
        finished = []
        for number, digest in enumerate(content.parts, start=1):
            _stop_if(cancel, target)
            checksum = {"ChecksumSHA256": _base64(digest)}
            part = file.read(content.part_bytes)
            answer = target.client.upload_part(
                **name, PartNumber=number, Body=part, ChecksumAlgorithm="SHA256", **checksum
            )
            finished.append({"PartNumber": number, "ETag": answer["ETag"], **checksum})
            if on_progress is not None:
                on_progress(file.tell(), content.size)
        _stop_if(cancel, target)
        target.client.complete_multipart_upload(
            **name, **target.condition, MultipartUpload={"Parts": finished}
        )


@contextmanager
def _multipart(target: Target, content: Content) -> Iterator[dict[str, str]]:
    """An open upload in parts, named; whatever goes wrong inside, it does not stay open."""
    answer = target.client.create_multipart_upload(
        **target.name, **target.described(content), ChecksumAlgorithm="SHA256"
    )
    name = {**target.name, "UploadId": answer["UploadId"]}
    try:
        yield name
    except BaseException as error:
        try:
            target.client.abort_multipart_upload(**name)
        except (ClientError, BotoCoreError) as trouble:
            error.add_note(f"the upload {name['UploadId']} could not be aborted either: {trouble}")
        raise


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


def _verify(target: Target, content: Content) -> None:
    """Size and checksum of the object as S3 has them now, against the file's."""
    head = target.client.head_object(**target.name, ChecksumMode="ENABLED")
    expected = _base64(content.composite if content.parts else content.sha256)
    stored = head.get("ChecksumSHA256", "").partition("-")[0]  # in parts: digest, dash, number of parts
    if head["ContentLength"] == content.size and not stored:  # a store without checksums: read it back
        expected, stored = _base64(content.sha256), _base64(_read_back(target))
    if head["ContentLength"] != content.size or stored != expected:
        raise IntegrityError(
            f"{target.place.uri} has {head['ContentLength']} bytes and SHA-256 {stored or 'unknown'} "
            f"after the upload of {content.size} bytes and {expected}",
            advice="The store or the way to it damages data: try again, then ask who runs it.",
        )


def _read_back(target: Target) -> bytes:
    digest = hashlib.sha256()
    with closing(target.client.get_object(**target.name)["Body"]) as body:
        for chunk in body.iter_chunks(1024 * 1024):
            digest.update(chunk)
    return digest.digest()


def _stop_if(cancel: Event, target: Target) -> None:
    if cancel.is_set():
        raise Interrupted(f"told to stop while uploading {target.place.uri}")


def _base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()
