"""A model's files into S3, so that `fetch` finds them: the files first, their manifest last."""

from __future__ import annotations

import json
import logging
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from threading import Event

from wan_core.errors import InvalidInput, TrustRemoteCode
from wan_runner.store import s3
from wan_runner.store.contents import check_contents
from wan_runner.store.digests import digest_file
from wan_runner.store.manifest import (
    ALLOWED_SUFFIXES,
    MANIFEST_NAME,
    File,
    Manifest,
    path_problems,
    refuse_code,
)
from wan_runner.store.upload import Content, Target, is_stored, read_content, send
from wan_runner.tiny import LICENSE, SOURCE, model_files

_TYPES = {".json": "application/json", ".txt": "text/plain", ".md": "text/markdown"}
_CODE_SUFFIXES = (
    ".bin",
    ".pt",
    ".pth",
    ".ckpt",
    ".pkl",
    ".pickle",
    ".npy",
    ".npz",
    ".msgpack",
    ".h5",
    ".py",
    ".so",
)


log = logging.getLogger(__name__)

ADVICE = "Name a folder in diffusers layout whose weights are safetensors."


def publish(
    files: Mapping[str, Path],
    model_id: str,
    uri: str,
    *,
    source: str = "",
    license_id: str = "",
    cancel: Event | None = None,
) -> Manifest:
    """Uploads `files`, by their paths in the model, below `uri`; what lies there already is left alone.

    A reader sees the old model or the new one: the manifest is replaced last. Raises TrustRemoteCode,
    InvalidInput, IntegrityError (files that are not what their names say), AccessDenied, NetworkError, and
    Interrupted soon after `cancel` is set; then no upload is open, and publishing again goes on from there.
    """
    cancel = cancel or Event()
    place = s3.parse_uri(uri)
    refuse_code(files, model_id)
    check_contents(files, model_id)
    client = s3.connect()
    contents = {path: read_content(file) for path, file in sorted(files.items())}
    listed = [File.of(path, digest_file(file)) for path, file in sorted(files.items())]
    manifest = Manifest(model=model_id, source=source, license=license_id, files=tuple(listed))
    for path, content in contents.items():
        log.info("%s, %d bytes", path, content.size)
        _put(client, place.child(path), content, cancel)
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder, MANIFEST_NAME)
        draft.write_bytes(manifest.canonical())
        _put(client, place.child(MANIFEST_NAME), read_content(draft), cancel)
    return manifest


def publish_folder(folder: Path, uri: str, cancel: Event | None = None) -> Manifest:
    """Publishes a model in diffusers layout; its id is the last part of `uri`.

    Files that no model needs (pictures, dot files) are left out; what can hold code is refused by name.
    """
    place = s3.parse_uri(uri)
    model_id = place.key.rstrip("/").rpartition("/")[2]
    if not model_id:
        raise InvalidInput(f"uri: {uri!r} names no model; expected s3://bucket/<model id>", advice=ADVICE)
    files = _model_files(folder)
    if "model_index.json" not in files:
        raise InvalidInput(
            f"{folder} is no model in diffusers layout: it has no model_index.json", advice=ADVICE
        )
    check_contents({"model_index.json": files["model_index.json"]}, model_id)
    missing = _missing_parts(files)
    if missing:
        raise InvalidInput(
            f"{folder}: model_index.json names {', '.join(missing)}, of which there are no files",
            advice=ADVICE,
        )
    return publish(files, model_id, uri, source=f"folder {folder.name}", cancel=cancel)


def publish_tiny(name: Path, uri: str, cancel: Event | None = None) -> Manifest:
    """Publishes a model that ships with this package; the last part of `uri` must be its id."""
    model = str(name)
    if s3.parse_uri(uri).key.rstrip("/").rpartition("/")[2] != model:
        raise InvalidInput(f"uri: {uri!r} does not end with {model}", advice=f"Publish it as .../{model}.")
    return publish(model_files(model), model, uri, source=SOURCE, license_id=LICENSE, cancel=cancel)


def _missing_parts(files: Mapping[str, Path]) -> list[str]:
    """The parts that model_index.json gives a class but that have no folder with files."""
    index = json.loads(files["model_index.json"].read_bytes())
    named = [
        part for part, value in index.items() if isinstance(value, list) and value[:1] not in ([], [None])
    ]
    present = {path.partition("/")[0] for path in files}
    return sorted(part for part in named if not part.startswith("_") and part not in present)


def _walk(folder: Path) -> Iterator[Path]:
    """Every file below `folder`; links are followed, as hub caches need, into each folder once."""
    entered = set()
    for root, folders, names in os.walk(folder, followlinks=True):
        entered.add(os.path.realpath(root))
        folders[:] = [name for name in folders if os.path.realpath(Path(root, name)) not in entered]
        yield from (Path(root, name) for name in names)


def _model_files(folder: Path) -> dict[str, Path]:
    """The files below `folder` that a manifest may name. Raises TrustRemoteCode for what can hold code."""
    found = {path.relative_to(folder).as_posix(): path for path in sorted(_walk(folder)) if path.is_file()}
    visible = {
        name: path for name, path in found.items() if not any(s.startswith(".") for s in name.split("/"))
    }
    code = [name for name in visible if name.lower().endswith(_CODE_SUFFIXES)]
    if code:
        raise TrustRemoteCode(f"{folder} holds files that can run code when opened: {', '.join(code[:20])}")
    model = {name: path for name, path in visible.items() if name.lower().endswith(ALLOWED_SUFFIXES)}
    model.pop(MANIFEST_NAME, None)
    problems = path_problems(model)
    if problems:
        raise InvalidInput([f"{folder}: {problem}" for problem in problems], advice=ADVICE)
    return model


def _put(client: s3.Client, place: s3.Location, content: Content, cancel: Event) -> None:
    """Uploads one file unless it is there."""
    content_type = _TYPES.get(content.path.suffix, "application/octet-stream")
    target = Target(client, place, content_type, {}, exclusive=False)
    with s3.translated(client, place, s3.missing_target):
        stored = is_stored(target, content)
    if not stored:
        send(target, content, cancel)
