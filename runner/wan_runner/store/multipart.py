"""Large files into S3 in parts: those that an upload before this one left there are not sent again.

An upload that a dead process or a failing network left open is found by its parts' checksums. One that is
ended here by anything else is aborted: open parts cost as much as objects, and are in no listing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

from awscrt import checksums
from botocore.exceptions import BotoCoreError, ClientError

from wan_core.errors import InvalidInput
from wan_runner.store import s3
from wan_runner.store.digests import to_base64

if TYPE_CHECKING:
    from threading import Event

    from wan_runner.store.upload import Content, Progress, Target

CONNECTIONS = 4  # for weights: 256 MiB of parts in memory; a video goes over one
MAY_NOT_LIST = (403, 405, 501)  # then nothing is found, and all parts are sent

Parts = Mapping[int, Mapping[str, Any]]
"""What S3 says of each part that it has, by number from 1."""


def send_parts(target: Target, content: Content, cancel: Event, on_progress: Progress) -> str:
    """Uploads a file in parts; returns the checksum that the object has to have then."""
    with _opened(target, content) as (name, there), content.path.open("rb") as file:
        finished = _send_all(target, content, file, name, there, cancel, on_progress)
        target.stop_if(cancel)
        parts = [part[target.checksum.field] for part in finished]
        whole = target.checksum.of_parts(content.digests, parts)
        stated = {**target.checksum.kind, target.checksum.field: whole} if target.checksum.kind else {}
        target.client.complete_multipart_upload(
            **name, **target.condition, **stated, MultipartUpload={"Parts": finished}
        )
    return whole


def _send_all(
    target: Target,
    content: Content,
    file: BinaryIO,
    name: Mapping[str, str],
    there: Parts,
    cancel: Event,
    on_progress: Progress,
) -> list[dict[str, Any]]:
    """Every part, over several connections; a part is in memory only while it is sent."""
    finished: dict[int, dict[str, Any]] = {}
    running: dict[Future[dict[str, Any]], int] = {}
    at_once = CONNECTIONS if target.resumes else 1

    def finish(most: int) -> None:
        """Waits until at most so many are under way."""
        while len(running) > most:
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                number = running.pop(future)
                finished[number] = future.result()
                on_progress(sum(map(content.part_size, finished)), content.size)

    with ThreadPoolExecutor(at_once, "upload") as pool:
        for number in range(1, len(content.digests.chunks) + 1):
            target.stop_if(cancel)
            part = _read_part(file, content, number)
            running[pool.submit(_put_part, target, name, number, part, there.get(number))] = number
            finish(at_once - 1)
        finish(0)
    return [finished[number] for number in sorted(finished)]


def checksum_of(target: Target, content: Content) -> str:
    """The checksum of an object that these bytes would be, in parts if they are several."""
    if len(content.digests.chunks) < 2:
        return target.checksum.of(content.digests)
    with content.path.open("rb") as file:
        parts = iter(lambda: file.read(content.digests.chunk_bytes), b"")
        return target.checksum.of_parts(content.digests, [target.checksum.of_part(part) for part in parts])


def _read_part(file: BinaryIO, content: Content, number: int) -> bytes:
    """The next part, which must be as it was when the digests were taken."""
    part = file.read(content.digests.chunk_bytes)
    if checksums.crc64nvme(part) != content.digests.chunks[number - 1]:
        raise InvalidInput(f"{content.path} has changed since it was read: part {number} is another")
    return part


def _put_part(
    target: Target, name: Mapping[str, str], number: int, part: bytes, there: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Sends a part unless it is there; returns what completing the upload has to say of it."""
    checksum = {target.checksum.field: target.checksum.of_part(part)}
    if there is not None:
        return {"PartNumber": number, "ETag": there["ETag"], **checksum}
    answer = target.client.upload_part(
        **name, PartNumber=number, Body=part, ChecksumAlgorithm=str(target.checksum), **checksum
    )
    return {"PartNumber": number, "ETag": answer["ETag"], **checksum}


@contextmanager
def _opened(target: Target, content: Content) -> Iterator[tuple[dict[str, str], Parts]]:
    """An open upload, and the parts that it has already."""
    found = _find_open(target, content) if target.resumes else None
    name, there = found or ({**target.name, "UploadId": _create(target, content)}, {})
    try:
        yield name, there
    except BaseException as error:
        if not (target.resumes and _is_network(error)):
            _abort(target, name, error)
        raise


def _create(target: Target, content: Content) -> str:
    answer = target.client.create_multipart_upload(
        **target.name,
        **target.described(content),
        **target.checksum.kind,
        ChecksumAlgorithm=str(target.checksum),
    )
    return str(answer["UploadId"])


def _find_open(target: Target, content: Content) -> tuple[dict[str, str], Parts] | None:
    """An upload of these very bytes that was left open. Those of others are aborted: nobody will end them."""
    try:
        listing = target.client.list_multipart_uploads(Bucket=target.place.bucket, Prefix=target.place.key)
    except ClientError as error:
        if s3.status_of(error) in MAY_NOT_LIST:
            return None
        raise
    found, ours = None, str(target.checksum)
    for upload in listing.get("Uploads", []):
        if upload["Key"] != target.place.key:
            continue
        name = {**target.name, "UploadId": upload["UploadId"]}
        there = _list_parts(target, name) if upload.get("ChecksumAlgorithm", ours) == ours else {}
        if found is None and there and _are_ours(target, content, there):
            found = name, there
        else:
            target.client.abort_multipart_upload(**name)
    return found


def _list_parts(target: Target, name: Mapping[str, str]) -> Parts:
    try:
        pages = target.client.get_paginator("list_parts").paginate(**name)
        return {part["PartNumber"]: part for page in pages for part in page.get("Parts", [])}
    except ClientError as error:
        if s3.status_of(error) in (404, *MAY_NOT_LIST):
            return {}
        raise


def _are_ours(target: Target, content: Content, there: Parts) -> bool:
    """Whether every part is a piece of the file, by the checksum that the store has of it, else by MD5."""
    digests = content.digests
    with content.path.open("rb") as file:
        for number, part in there.items():
            if number > len(digests.chunks) or part["Size"] != content.part_size(number):
                return False
            stored = part.get("ChecksumCRC64NVME")
            if stored is not None and stored != to_base64(digests.chunks[number - 1]):
                return False
            if stored is None:
                file.seek((number - 1) * digests.chunk_bytes)
                data = file.read(digests.chunk_bytes)
                if part["ETag"].strip('"') != hashlib.md5(data, usedforsecurity=False).hexdigest():
                    return False
    return True


def _is_network(error: BaseException) -> bool:
    """Whether trying again later can go on from here."""
    if isinstance(error, ClientError):
        return s3.status_of(error) >= 500 or s3.status_of(error) == 429
    return isinstance(error, BotoCoreError)


def _abort(target: Target, name: Mapping[str, str], error: BaseException) -> None:
    try:
        target.client.abort_multipart_upload(**name)
    except (ClientError, BotoCoreError) as trouble:
        error.add_note(f"the upload {name['UploadId']} could not be aborted either: {trouble}")
