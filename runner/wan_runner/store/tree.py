"""A model's folder in the cache: relative links into the blobs, what they are, and a mark once it is whole.

The mark is the last file of a draft that takes its name by rename, and the first that goes when a blob of the
model does. It lists the blobs and where they came from, so that a scrub can check and repair them.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from secrets import token_hex
from threading import Event

from wan_runner.store.blob import Blob
from wan_runner.store.cache import Cache
from wan_runner.store.disk import flush, take_name, write_flushed, writing_to
from wan_runner.store.leases import locked

_NAME = re.compile(r"[a-z0-9]+-[0-9a-f][0-9a-f-]*")  # of a blob: never a way out of its folder

MARK = ".complete.json"
DOCUMENT = "manifest.json"


@dataclass(frozen=True)
class Model:
    """What a model's folder is to hold: `digest` names it, `files` are its blobs by their paths.

    `uris` says where each blob's bytes lie, by the blob's name. `document` is the manifest, as it lies in the
    folder; `uri` is where it was found.
    """

    uri: str
    digest: str
    files: Mapping[str, Blob]
    uris: Mapping[str, str]
    document: bytes

    def distinct(self) -> tuple[Blob, ...]:
        """One blob for each content."""
        return tuple({blob.name: blob for blob in self.files.values()}.values())

    @property
    def total_bytes(self) -> int:
        return sum(blob.bytes for blob in self.distinct())


@dataclass(frozen=True)
class Kept:
    """What the mark of a folder in the cache says."""

    folder: Path
    files: Mapping[str, Blob]
    uris: Mapping[str, str]


def is_whole(cache: Cache, model: Model) -> bool:
    """Whether the folder is there with every file, as far as its mark, links and sizes tell."""
    folder = cache.models / model.digest
    kept = read_mark(folder)
    if kept is None or kept.files != model.files:
        return False
    try:
        return all(
            os.readlink(folder / path) == str(_link(path, blob))
            and (folder / path).stat().st_size == blob.bytes
            for path, blob in model.files.items()
        )
    except OSError:  # a file is not there, or is no link
        return False


def ensure_tree(cache: Cache, model: Model, cancel: Event) -> Path:
    """The model's folder, made unless it is whole. The caller holds leases on its blobs."""
    folder = cache.models / model.digest
    lock = cache.ingest / f"{model.digest}.lock"
    doing = f"another process links {model.digest}"
    with writing_to(folder), locked(lock, cancel, doing) as held:
        if not is_whole(cache, model):
            drop_tree(folder)
            draft = cache.ingest / f"{model.digest}.{token_hex(4)}.tree"
            try:
                _link_files(draft, model)
                take_name(draft, folder)
            finally:
                shutil.rmtree(draft, ignore_errors=True)
        if held:
            lock.unlink(missing_ok=True)
    return folder


def drop_tree(folder: Path) -> None:
    """Removes a model's folder, whole or not: from its mark on nobody takes it for whole.

    Of a link in its place only the link: what it leads to is not the cache's.
    """
    if folder.is_symlink():
        folder.unlink(missing_ok=True)
        return
    with suppress(FileNotFoundError):
        (folder / MARK).unlink()
    shutil.rmtree(folder, ignore_errors=True)


def read_trees(cache: Cache) -> Iterator[Kept]:
    """Every whole folder. One whose mark cannot be read is none: it is made again when it is wanted."""
    for folder in sorted(cache.models.iterdir()):
        kept = read_mark(folder)
        if kept is not None:
            yield kept


def read_mark(folder: Path) -> Kept | None:
    """What the mark of a model's folder says; None if it is not there or not as we write it."""
    try:
        mark = json.loads((folder / MARK).read_bytes())
        files = {path: _blob(fields) for path, fields in mark["files"].items()}
        uris = {blob.name: str(mark["uris"][blob.name]) for blob in files.values()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return Kept(folder, files, uris)


def _blob(fields: Mapping[str, object]) -> Blob:
    """Raises TypeError, KeyError or ValueError if these are not a blob's."""
    blob = Blob(**{**fields, "chunks": tuple(fields["chunks"])})  # type: ignore[arg-type]
    numbers = (blob.bytes, blob.chunk_bytes, *blob.chunks, blob.crc64nvme or 0)
    if any(type(number) is not int or number < 0 for number in numbers) or not _NAME.fullmatch(blob.name):
        raise ValueError(f"{blob.name!r} is not a blob's name, or has no such numbers")
    if not blob.chunk_bytes or (blob.chunks and len(blob.chunks) != -(-blob.bytes // blob.chunk_bytes)):
        raise ValueError(f"{len(blob.chunks)} chunks are not those of {blob.bytes} bytes")
    return blob


def _link(path: str, blob: Blob) -> Path:
    """Where the file at `path` of a model leads, as seen from there."""
    return Path(*[".."] * (path.count("/") + 2), "blobs", blob.name)


def _link_files(draft: Path, model: Model) -> None:
    """Links into blobs, as seen from models/<digest>; the manifest; and when all is on disk, the mark."""
    draft.mkdir()
    for path, blob in model.files.items():
        link = draft / path
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(_link(path, blob))
    write_flushed(draft / DOCUMENT, model.document)
    for folder, _, _ in os.walk(draft, topdown=False):
        flush(Path(folder))
    files = {path: asdict(blob) for path, blob in model.files.items()}
    mark = {"files": files, "uris": dict(model.uris)}
    write_flushed(draft / MARK, json.dumps(mark, sort_keys=True).encode())
