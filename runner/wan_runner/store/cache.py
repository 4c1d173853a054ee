"""Weights on this machine: fetched once, verified, then read-only.

    blobs/<sha256>            one file's bytes, mode 0444; a name here means that the bytes were verified
    models/<manifest digest>/ the model's folder: relative links into blobs, complete from the start
    ingest/<digest>.part      being fetched or built; locked by whoever does so, rubbish if nobody holds it

Of several processes that want the same bytes one fetches and the others wait. The lock is flock on a local
file system, which the kernel frees when its holder dies. Nothing is evicted yet.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from difflib import get_close_matches
from io import FileIO
from pathlib import Path
from threading import Event
from typing import IO

from wan_core.errors import IntegrityError, Interrupted, ModelNotFound, NetworkError, WanError
from wan_runner.store import s3
from wan_runner.store.contents import check_contents
from wan_runner.store.disk import require_space, reserve, take_name, write_all, writing_to
from wan_runner.store.manifest import MANIFEST_MAX_BYTES, MANIFEST_NAME, File, Manifest, read_manifest

Report = Callable[[int], None]

CHUNK_BYTES = 1024 * 1024
LOCK_POLL_S = 0.1
RETRY_PAUSES_S = (0.5, 2.0)  # before the second and third try of a broken body


@dataclass(frozen=True)
class FetchedModel:
    """A verified model. `digest` names these very weights; `bytes_loaded` came from S3, 0 for a full hit."""

    path: Path
    digest: str
    bytes_loaded: int


def fetch(
    model_uri: str, cache_dir: Path, cancel: Event, on_progress: Callable[[int, int], None]
) -> FetchedModel:
    """The model published under `model_uri`, as a folder of this machine.

    `on_progress(done, total)` counts bytes; those already cached are done from the start.
    Raises ModelNotFound, AccessDenied, NetworkError, IntegrityError, InsufficientDiskSpace, TrustRemoteCode,
    and Interrupted soon after `cancel` is set. Whatever it raises, nothing unverified becomes visible.
    """
    place = s3.parse_uri(model_uri, "weights")
    client = s3.connect()
    manifest = _read_published(client, place)
    with writing_to(cache_dir):
        _prepare(cache_dir)
    missing = [file for file in manifest.distinct() if not _is_cached(cache_dir, file)]
    require_space(cache_dir, sum(file.bytes for file in missing))
    total = manifest.total_bytes
    done = total - sum(file.bytes for file in missing)
    loaded = 0

    def report(count: int) -> None:
        on_progress(done + count, total)

    report(0)
    for file in missing:
        loaded += _ensure_blob(client, place, cache_dir, file, cancel, report)
        done += file.bytes
        report(0)
    tree = _ensure_tree(cache_dir, manifest, model_uri, cancel)
    return FetchedModel(tree, manifest.digest(), loaded)


def _read_published(client: s3.Client, place: s3.Location) -> Manifest:
    """The manifest of the model at `place`. Without one: ModelNotFound, saying what is there instead."""
    target = place.child(MANIFEST_NAME)
    try:
        with s3.translated(client, target, s3.missing_model):
            answer = client.get_object(Bucket=target.bucket, Key=target.key)
            with closing(answer["Body"]) as body:
                data = body.read(MANIFEST_MAX_BYTES + 1)
    except ModelNotFound as error:
        raise ModelNotFound(error.message + _what_is_there(client, place)) from error
    return read_manifest(data, target.uri)


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
        return f"; the folder has files but no {MANIFEST_NAME}: publish it with `wan-runner publish`"
    if not folders:
        return f"; no model is published under s3://{place.bucket}/{prefix}"
    near = get_close_matches(name, folders, n=1, cutoff=0.5)
    others = ", ".join(sorted(folders)[:12])
    return f"; published there: {others}" + (f"; nearest: {near[0]}" if near else "")


def _prepare(cache_dir: Path) -> None:
    """Makes the cache's folders and sweeps what dead processes left behind."""
    for name in ("blobs", "models", "ingest"):
        (cache_dir / name).mkdir(parents=True, exist_ok=True)
    for part in (cache_dir / "ingest").glob("*.part"):
        with suppress(FileNotFoundError), part.open("rb") as file:
            if _lock(file) and _is_at(part, file):
                _discard(part)


def _is_cached(cache_dir: Path, file: File) -> bool:
    try:
        return (cache_dir / "blobs" / file.sha256).stat().st_size == file.bytes
    except FileNotFoundError:
        return False


def _ensure_blob(
    client: s3.Client, place: s3.Location, cache_dir: Path, file: File, cancel: Event, report: Report
) -> int:
    """Makes the blob of `file` be there; returns the bytes that came from S3: 0 if another process did it."""
    blob = cache_dir / "blobs" / file.sha256
    with _held(cache_dir / "ingest" / f"{file.sha256}.part", cancel) as (part, sink):
        if _is_cached(cache_dir, file):
            return 0
        with writing_to(part, file.bytes):
            loaded = _fetch_verified(client, place.child(file.path), file, sink, cancel, report)
            take_name(part, blob)
            os.fchmod(sink.fileno(), 0o444)  # not before: whoever takes over a draft must be able to write
    return loaded


def _fetch_verified(
    client: s3.Client, source: s3.Location, file: File, sink: FileIO, cancel: Event, report: Report
) -> int:
    """Fills `sink` with the verified bytes of `file`; returns how many bytes came in all tries together.

    A broken body is tried again after each of `RETRY_PAUSES_S`, wrong bytes once.
    """
    reserve(sink, file.bytes)
    pauses, loaded, mismatched = iter(RETRY_PAUSES_S), 0, False
    while True:
        sink.seek(0)
        try:
            return loaded + _stream(client, source, file, sink, cancel, report)
        except (IntegrityError, NetworkError) as error:
            pause_s = next(pauses, None)
            wrong = isinstance(error, IntegrityError)
            if pause_s is None or (wrong and mismatched):
                raise
            mismatched = mismatched or wrong
        loaded += sink.tell()
        cancel.wait(pause_s)


def _stream(
    client: s3.Client, source: s3.Location, file: File, sink: FileIO, cancel: Event, report: Report
) -> int:
    """One try: the object's bytes into `sink`, then their digest against the manifest's."""
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(CHUNK_BYTES))
    _stop_if(cancel, source)
    with s3.translated(client, source, s3.missing_model):
        answer = client.get_object(Bucket=source.bucket, Key=source.key)
        with closing(answer["Body"]) as body:
            if answer["ContentLength"] != file.bytes:
                raise IntegrityError(
                    f"{source.uri} has {answer['ContentLength']} bytes; its manifest says {file.bytes}"
                )
            done = 0
            while count := body.readinto(buffer):
                _stop_if(cancel, source)
                digest.update(buffer[:count])
                write_all(sink, buffer[:count])
                done += count
                report(done)
    if digest.hexdigest() != file.sha256:
        raise IntegrityError(
            f"{source.uri}: its bytes have sha256 {digest.hexdigest()}; its manifest says {file.sha256}"
        )
    return done


def _stop_if(cancel: Event, source: s3.Location) -> None:
    if cancel.is_set():
        raise Interrupted(f"told to stop while fetching {source.uri}")


def _ensure_tree(cache_dir: Path, manifest: Manifest, where: str, cancel: Event) -> Path:
    """The model's folder, made of links into blobs once their contents were looked at."""
    tree = cache_dir / "models" / manifest.digest()
    if _is_whole(tree, manifest):
        return tree
    check_contents({file.path: cache_dir / "blobs" / file.sha256 for file in manifest.files}, where)
    with _held(cache_dir / "ingest" / f"{manifest.digest()}.part", cancel) as (part, _), writing_to(part):
        if not _is_whole(tree, manifest):
            shutil.rmtree(tree, ignore_errors=True)
            take_name(_link_files(part.with_suffix(".tree"), manifest), tree)
    return tree


def _is_whole(tree: Path, manifest: Manifest) -> bool:
    try:
        return all((tree / file.path).stat().st_size == file.bytes for file in manifest.files)
    except FileNotFoundError:
        return False


def _link_files(draft: Path, manifest: Manifest) -> Path:
    """A folder `draft` of links into blobs, as seen from models/<digest>, and the manifest itself."""
    draft.mkdir()
    for file in manifest.files:
        link = draft / file.path
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(Path(*[".."] * (file.path.count("/") + 2), "blobs", file.sha256))
    (draft / MANIFEST_NAME).write_bytes(manifest.canonical())
    return draft


@contextmanager
def _held(part: Path, cancel: Event) -> Iterator[tuple[Path, FileIO]]:
    """`part`, empty and locked for us alone. It is gone afterwards, whether it took another name or not."""
    with _claimed(part, cancel) as claim:
        try:
            shutil.rmtree(part.with_suffix(".tree"), ignore_errors=True)
            claim.truncate(0)
            yield part, claim
        finally:
            if _is_at(part, claim):
                _discard(part)


@contextmanager
def _claimed(part: Path, cancel: Event) -> Iterator[FileIO]:
    """Opens and locks `part`; once more if its last holder renamed or removed it in between."""
    while True:
        handle = os.open(part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        with open(handle, "rb+", buffering=0) as claim:
            while not _lock(claim):
                if cancel.wait(LOCK_POLL_S):
                    raise Interrupted(f"told to stop while another process fetches {part.stem}")
            if _is_at(part, claim):
                yield claim
                return


def _lock(file: IO[bytes] | FileIO) -> bool:
    """Whether we got the lock of `file`, without waiting. The kernel frees it when the file is closed."""
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(path: Path, file: IO[bytes] | FileIO) -> bool:
    """Whether `path` still is the name of the open `file`."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _discard(part: Path) -> None:
    """Removes what was begun under `part`; only for whoever holds its lock."""
    shutil.rmtree(part.with_suffix(".tree"), ignore_errors=True)
    part.unlink(missing_ok=True)
