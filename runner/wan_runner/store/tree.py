"""A model's folder in the cache: relative links into the blobs, what they are, and a mark once it is whole.

The mark is the last file of a draft that takes its name by rename, and the first that goes when a blob of the
model does. It lists the blobs and where they came from, so that a scrub can check and repair them.
"""

from __future__ import annotations

import json
import os
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
    """Whether the folder is there with every file, as far as names and sizes tell."""
    folder = cache.models / model.digest
    try:
        (folder / MARK).stat()
        return all((folder / path).stat().st_size == blob.bytes for path, blob in model.files.items())
    except FileNotFoundError:
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
    """Removes a model's folder, whole or not: from its mark on nobody takes it for whole."""
    with suppress(FileNotFoundError):
        (folder / MARK).unlink()
    shutil.rmtree(folder, ignore_errors=True)


def read_trees(cache: Cache) -> Iterator[Kept]:
    """Every whole folder. One whose mark cannot be read is none: it is made again when it is wanted."""
    for folder in sorted(cache.models.iterdir()):
        with suppress(FileNotFoundError, NotADirectoryError, ValueError, TypeError, KeyError):
            mark = json.loads((folder / MARK).read_bytes())
            files = {path: _blob(fields) for path, fields in mark["files"].items()}
            yield Kept(folder, files, mark["uris"])


def _blob(fields: Mapping[str, object]) -> Blob:
    return Blob(**{**fields, "chunks": tuple(fields["chunks"])})  # type: ignore[arg-type]


def _link_files(draft: Path, model: Model) -> None:
    """Links into blobs, as seen from models/<digest>; the manifest; and when all is on disk, the mark."""
    draft.mkdir()
    for path, blob in model.files.items():
        link = draft / path
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(Path(*[".."] * (path.count("/") + 2), "blobs", blob.name))
    write_flushed(draft / DOCUMENT, model.document)
    for folder, _, _ in os.walk(draft, topdown=False):
        flush(Path(folder))
    files = {path: asdict(blob) for path, blob in model.files.items()}
    mark = {"files": files, "uris": dict(model.uris)}
    write_flushed(draft / MARK, json.dumps(mark, sort_keys=True).encode())
