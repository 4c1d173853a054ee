"""The list of a published model's files, with sizes and digests: the last object written, the first read.

A manifest is data from outside: it is parsed once, here, and what it may name is bounded here.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, ValidationError, model_validator

from wan_core.api.model import Document
from wan_core.errors import IntegrityError, TrustRemoteCode
from wan_runner.store.blob import CHUNK_BYTES, Blob
from wan_runner.store.digests import Digests, chunk_sizes, fold, to_hex

MANIFEST_NAME = "manifest.json"
MANIFEST_MAX_BYTES = 4 * 1024 * 1024
ALLOWED_SUFFIXES = (".safetensors", ".json", ".txt", ".model", ".md")

_SEGMENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+=@ -]*")
_MAX_DEPTH = 8
NAMES_ADVICE = (
    "Rename it, or leave it out: a name has letters from A to Z, digits, _ and, after the first, blanks and "
    f". + = @ -, in folders at most {_MAX_DEPTH} deep."
)
PATH_MAX, ID_MAX, LINE_MAX = 512, 128, 1024

Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Crc = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
Line = Annotated[str, StringConstraints(max_length=LINE_MAX)]


class File(Document):
    """One file: where it lies below the model's folder, its size, and the digests of its bytes.

    `chunks` has the CRC64NVME of each CHUNK_BYTES, `crc64nvme` that of the whole: checksums are in hex.
    `object` is where the bytes lie in S3 below the model, if not at `path`, where an older version's are.
    """

    path: Annotated[str, StringConstraints(min_length=1, max_length=PATH_MAX)]
    bytes: int = Field(ge=0, le=2**50)
    sha256: Digest
    crc64nvme: Crc = Field(alias="crc64nvme")
    chunks: tuple[Crc, ...]
    object: Annotated[str, StringConstraints(min_length=1, max_length=PATH_MAX)] | None = None

    @classmethod
    def of(cls, path: str, digests: Digests, object: str | None = None) -> File:
        """The file at `path` in the model, of these bytes."""
        return cls(
            path=path,
            bytes=digests.bytes,
            sha256=digests.sha256,
            crc64nvme=to_hex(digests.crc64nvme),
            chunks=tuple(map(to_hex, digests.chunks)),
            object=None if object == path else object,
        )

    @property
    def key(self) -> str:
        """Where the bytes lie in S3, below the model's own place."""
        return self.object or self.path

    @model_validator(mode="after")
    def _adds_up(self) -> File:
        if len(self.chunks) != -(-self.bytes // CHUNK_BYTES):
            raise ValueError(f"{len(self.chunks)} chunks cannot be those of {self.bytes} bytes")
        if fold(zip(self.blob().chunks, chunk_sizes(self.bytes), strict=True)) != int(self.crc64nvme, 16):
            raise ValueError(f"crc64nvme {self.crc64nvme} is not that of its chunks")
        return self

    def blob(self) -> Blob:
        """The same bytes for who fetches and keeps them: named by SHA-256, verified by chunk."""
        chunks = tuple(int(chunk, 16) for chunk in self.chunks)
        return Blob(f"sha256-{self.sha256}", self.bytes, chunks, int(self.crc64nvme, 16))


class Manifest(Document):
    """A model as published: `model` is its id, `source` says where its weights come from."""

    version: Literal[2] = 2
    model: Annotated[str, StringConstraints(min_length=1, max_length=ID_MAX)]
    source: Line = ""
    license: Line = ""
    files: tuple[File, ...] = Field(min_length=1, max_length=10_000)

    @model_validator(mode="after")
    def _stays_inside(self) -> Manifest:
        problems = path_problems([file.path for file in self.files])
        problems += [problem for file in self.files if (problem := _path_problem(file.key))]
        if problems:
            raise ValueError("; ".join(problems[:8]))
        contents = {(file.sha256, file.bytes, file.crc64nvme, file.chunks) for file in self.files}
        if len(contents) > len(self.distinct()):
            raise ValueError("files of one sha256 have other sizes or checksums")
        return self

    def distinct(self) -> tuple[File, ...]:
        """One file for each content."""
        return tuple({file.sha256: file for file in self.files}.values())

    @property
    def total_bytes(self) -> int:
        """Bytes of all files, each content counted once."""
        return sum(file.bytes for file in self.distinct())

    def canonical(self) -> bytes:
        """The one way of writing this manifest: sorted files and keys, no spaces, ASCII."""
        ordered = self.model_copy(update={"files": tuple(sorted(self.files, key=lambda f: f.path))})
        return json.dumps(
            ordered.to_dict(), sort_keys=True, separators=(",", ":"), ensure_ascii=True
        ).encode()

    def digest(self) -> str:
        """The name of exactly these weights, wherever their objects lie: SHA-256 of the canonical form."""
        files = tuple(file.model_copy(update={"object": None}) for file in self.files)
        return hashlib.sha256(self.model_copy(update={"files": files}).canonical()).hexdigest()


def path_problems(paths: Iterable[str]) -> list[str]:
    """Why these may not be the files of one model; empty if they may."""
    known = list(paths)
    problems = [problem for path in known if (problem := _path_problem(path))]
    lower = Counter(path.casefold() for path in known)
    twice = sorted(path for path, count in lower.items() if count > 1)
    folders = {"/".join(path.split("/")[:n]) for path in lower for n in range(1, path.count("/") + 1)}
    problems += [f"{path!r} is named twice (upper and lower case count as the same)" for path in twice]
    return problems + [f"{path!r} is both a file and a folder" for path in sorted(folders & set(lower))]


def _path_problem(path: str) -> str:
    """Relative, at most 8 deep, no dot names, and not the manifest's own name; empty if all is well."""
    segments = path.split("/")
    if len(path) > PATH_MAX:
        return f"{path[:80]!r}... has {len(path)} characters; a path has at most {PATH_MAX}"
    if len(segments) > _MAX_DEPTH:
        return f"{path[:80]!r} is more than {_MAX_DEPTH} folders deep"
    bad = next((s for s in segments if not _SEGMENT.fullmatch(s) or len(s) > 255), None)
    if bad is not None:
        return f"{path[:80]!r}: {bad[:80]!r} is not a name that a model's file or folder may have"
    return f"{path!r} is the manifest itself" if path.casefold() == MANIFEST_NAME else ""


def refuse_code(paths: Iterable[str], where: str) -> None:
    """Raises TrustRemoteCode, naming every file whose kind is not one that is only data."""
    refused = sorted(path for path in paths if not path.lower().endswith(ALLOWED_SUFFIXES))
    if refused:
        names = ", ".join(repr(path) for path in refused[:20]) + (" and more" if len(refused) > 20 else "")
        raise TrustRemoteCode(
            f"{where} holds files that may run code or that no model needs: {names}; "
            f"allowed are {' '.join(ALLOWED_SUFFIXES)}"
        )


def read_manifest(data: bytes, where: str) -> Manifest:
    """The manifest in `data`. Raises IntegrityError if it is not one, TrustRemoteCode if it names code."""
    if len(data) > MANIFEST_MAX_BYTES:
        raise IntegrityError(f"{where} has {len(data)} bytes; a manifest has at most {MANIFEST_MAX_BYTES}")
    advice = f"Publish it again: `wan weights publish SRC {where.removesuffix('/' + MANIFEST_NAME)}`."
    try:
        manifest = Manifest.model_validate_json(data)
    except ValidationError as error:
        if _is_first_version(data):
            said = f"{where} is of version 1, without the checksums of chunks"
            raise IntegrityError(said, advice=advice) from error
        first = error.errors()[0]
        problem = ": ".join(filter(None, (".".join(map(str, first["loc"])), first["msg"])))
        raise IntegrityError(f"{where} is not a manifest: {problem}", advice=advice) from error
    refuse_code((name for file in manifest.files for name in {file.path, file.key}), where)
    return manifest


def _is_first_version(data: bytes) -> bool:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return False
    return isinstance(document, dict) and document.get("version") == 1
