"""A model's files into S3, so that `fetch` finds them: the files first, their manifest last.

A reader sees the old model or the new one, at any moment: an object that the manifest there names is never
overwritten with other bytes. Nothing is sent twice: what is there is known by its checksum. Objects of an
older version stay, for those who are reading them, until `remove_unused`.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event

from botocore.exceptions import ClientError

from wan_core.errors import (
    AccessDenied,
    IntegrityError,
    InternalError,
    Interrupted,
    InvalidInput,
    ModelNotFound,
    TrustRemoteCode,
)
from wan_runner.store import s3
from wan_runner.store.checksums import Checksum
from wan_runner.store.contents import check_contents
from wan_runner.store.digests import digest_file
from wan_runner.store.disk import require_space
from wan_runner.store.drafts import draft_folder, files_below
from wan_runner.store.manifest import (
    ID_MAX,
    LINE_MAX,
    MANIFEST_NAME,
    NAMES_ADVICE,
    File,
    Manifest,
    path_problems,
    refuse_code,
)
from wan_runner.store.model_folder import INDEX
from wan_runner.store.prepare_model import Assembly, Made, assemble, reading_source
from wan_runner.store.sources import read_published
from wan_runner.store.upload import Content, Progress, Target, UploadedObject, is_stored, is_there, send
from wan_runner.tiny import LICENSE, SOURCE
from wan_runner.tiny import model_files as tiny_files

_TYPES = {".json": "application/json", ".txt": "text/plain", ".md": "text/markdown"}

Tell = Callable[[str, int, int], None]
"""What is being sent, bytes done and bytes in all, of the whole model."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Published:
    """What is in S3 now. `checksum` is None where nothing was sent or the store keeps none."""

    manifest: Manifest
    files_sent: int
    bytes_sent: int
    checksum: Checksum | None


@dataclass
class _Sending:
    """The work of one publication: what it sends to, and what was done so far."""

    client: s3.Client
    place: s3.Location
    named: Mapping[str, str]  # the SHA-256 behind each object that the manifest there names
    cancel: Event
    tell: Tell
    total: int
    checksum: Checksum = Checksum.CRC64NVME
    kept: Checksum | None = None
    files: list[File] = field(default_factory=list)
    done: int = 0
    files_sent: int = 0
    bytes_sent: int = 0


def publish(
    files: Mapping[str, Path],
    model_id: str,
    uri: str,
    *,
    source: str = "",
    license_id: str = "",
    cancel: Event | None = None,
) -> Manifest:
    """Publishes `files`, by their paths in the model, below `uri`; as `publish_model` does."""
    assembly = Assembly(files, source=source, license=license_id)
    return publish_model(assembly, model_id, uri, cancel=cancel).manifest


def publish_model(
    model: Assembly,
    model_id: str,
    uri: str,
    *,
    cancel: Event | None = None,
    tell: Tell = lambda what, done, total: None,
    scratch: Path | None = None,
) -> Published:
    """Publishes a model below `uri`. What has to be written lies in `scratch`, one part at a time.

    Raises TrustRemoteCode, InvalidInput, IntegrityError (files that are not what their names say),
    AccessDenied, NetworkError, InsufficientDiskSpace before anything is sent, and Interrupted soon after
    `cancel` is set; then no upload is open, and publishing again goes on from there.
    """
    place = s3.parse_uri(uri)
    _require_words(model_id, model)
    refuse_code(model.files, model_id)
    with reading_source():
        check_contents(model.files, model_id)
    folder = scratch or Path(tempfile.gettempdir())
    with draft_folder(folder):  # whether it can be written
        require_space(folder, max((made.nbytes for made in model.made), default=0))
    client = s3.connect()
    named = {file.key: file.sha256 for file in _published(client, place)}
    sending = _Sending(client, place, named, cancel or Event(), tell, model.nbytes)
    index = {INDEX: model.files[INDEX]} if INDEX in model.files else {}
    _send_files(sending, {path: file for path, file in model.files.items() if path not in index})
    for made in model.made:
        _make_and_send(sending, made, folder)
    _send_files(sending, index)  # last: without a manifest a folder that has it is taken for a model
    problems = path_problems([file.path for file in sending.files])
    if problems:
        raise InvalidInput(problems, advice=NAMES_ADVICE)
    listed = tuple(sorted(sending.files, key=lambda file: file.path))
    manifest = Manifest(model=model_id, source=model.source, license=model.license, files=listed)
    _send_manifest(sending, manifest, folder)
    return Published(manifest, sending.files_sent, sending.bytes_sent, sending.kept)


def publish_folder(folder: Path, uri: str, cancel: Event | None = None) -> Manifest:
    """Publishes the model in a folder as it is; its id is the last part of `uri`."""
    model_id = model_id_of(uri)
    return publish_model(assemble(folder, model_id), model_id, uri, cancel=cancel).manifest


def assemble_tiny(model: str, uri: str) -> Assembly:
    """A model that ships with this package; the last part of `uri` must be its id."""
    if model_id_of(uri) != model:
        raise InvalidInput(f"uri: {uri!r} does not end with {model}", advice=f"Publish it as .../{model}.")
    return Assembly(tiny_files(model), source=SOURCE, license=LICENSE)


def model_id_of(uri: str) -> str:
    """The last part of `uri`. Raises InvalidInput if there is none."""
    model_id = s3.parse_uri(uri).key.rstrip("/").rpartition("/")[2]
    if not model_id:
        raise InvalidInput(
            f"uri: {uri!r} names no model; expected s3://bucket/<model id>",
            advice="End it with the model's id, as in s3://weights/ti2v-5B.",
        )
    return model_id


def _require_words(model_id: str, model: Assembly) -> None:
    """Raises InvalidInput for what a manifest cannot say, before anything is sent that it is to name."""
    said = (
        ("uri: the model's id", model_id, ID_MAX),
        ("--source", model.source, LINE_MAX),
        ("--license", model.license, LINE_MAX),
    )
    problems = [
        f"{what}: {text[:40]!r} has {len(text)} characters, or some that cannot be printed; at most {most}"
        for what, text, most in said
        if len(text) > most or not text.isprintable()
    ]
    if problems:
        raise InvalidInput(problems, advice="A manifest has one short line for each of them.")


def _published(client: s3.Client, place: s3.Location) -> tuple[File, ...]:
    """The files that are published there now: none if what is there is no manifest that could be read."""
    try:
        return read_published(client, place).files
    except (ModelNotFound, IntegrityError, TrustRemoteCode) as error:
        log.debug("nothing to keep at %s: %s", place.uri, error)
        return ()


def _make_and_send(sending: _Sending, made: Made, scratch: Path) -> None:
    """Writes one part, sends its files, and has removed it again."""

    def tick(done: int, total: int) -> None:
        _stop_if(sending)
        sending.tell(f"writing {made.name}", sending.done, sending.total)

    tick(0, made.nbytes)
    with draft_folder(scratch) as folder:
        with reading_source():
            made.write(folder, tick)
        files = files_below(folder)
        refuse_code(files, made.name)
        check_contents(files, made.name)
        _send_files(sending, files)


def _send_files(sending: _Sending, files: Mapping[str, Path]) -> None:
    """The smallest first: they tell which checksum the store knows. The index of a model after all others."""
    sizes = {path: file.stat().st_size for path, file in files.items()}
    for path in sorted(files, key=lambda path: (path == INDEX, sizes[path], path)):
        file = files[path]
        content = Content(file, digest_file(file, lambda count: _stop_if(sending)))
        key = _put_file(sending, path, content)
        sending.files.append(File.of(path, content.digests, key))
        sending.done += content.size


def _put_file(sending: _Sending, path: str, content: Content) -> str:
    """Uploads a file of the model, and returns where: at `path`, unless other bytes lie there.

    Those may be named by the present manifest, or by one that another publisher is about to send.
    """
    sha256 = content.digests.sha256
    stem, dot, suffix = path.rpartition(".")
    beside = f"{stem}.{sha256[:16]}{dot}{suffix}"  # whoever writes there writes these bytes
    is_new = path not in sending.named
    if sending.named.get(path, sha256) != sha256 or (is_new and _is_taken(sending, path, content)):
        _put(sending, beside, content)
        return beside
    try:
        _put(sending, path, content, exclusive=is_new)
    except InvalidInput as error:
        log.info("%s", error.message)
        _put(sending, beside, content)
        return beside
    return path


def _is_taken(sending: _Sending, path: str, content: Content) -> bool:
    """Whether another object lies at `path`: asked before many bytes are sent in vain."""
    target = target_of(sending.client, sending.place.child(path), sending.checksum)
    with s3.translated(sending.client, target.place, s3.missing_target):
        return is_there(target) and not is_stored(target, content)


def _send_manifest(sending: _Sending, manifest: Manifest, scratch: Path) -> None:
    with draft_folder(scratch) as folder:
        draft = folder / MANIFEST_NAME
        draft.write_bytes(manifest.canonical())
        _put(sending, MANIFEST_NAME, Content(draft, digest_file(draft)))


def _put(sending: _Sending, key: str, content: Content, *, exclusive: bool = False) -> None:
    """Uploads one file unless it is there. Raises InvalidInput if `exclusive` and something else is."""
    target = target_of(sending.client, sending.place.child(key), sending.checksum)
    target = replace(target, exclusive=exclusive)
    with s3.translated(sending.client, target.place, s3.missing_target):
        stored = is_stored(target, content)
    if stored:
        return
    log.info("%s, %d bytes", key, content.size)
    done, total = sending.done, sending.total
    sent = send_weights(
        target, content, sending.cancel, lambda part, _: sending.tell(key, done + part, total)
    )
    sending.files_sent += 1
    sending.bytes_sent += sent.bytes
    sending.kept = sent.checksum
    if sent.checksum is not Checksum.CRC64NVME:
        sending.checksum = Checksum.SHA256


def target_of(client: s3.Client, place: s3.Location, checksum: Checksum = Checksum.CRC64NVME) -> Target:
    """Where a file of a model goes; what lies there may be replaced."""
    content_type = _TYPES.get(Path(place.key).suffix, "application/octet-stream")
    return Target(client, place, content_type, {}, exclusive=False, resumes=True, checksum=checksum)


def send_weights(target: Target, content: Content, cancel: Event, tell: Progress) -> UploadedObject:
    """`send`, once more with SHA-256 if the store does not know the other checksum, which then is said."""
    try:
        sent = send(target, content, cancel, tell)
    except (InternalError, AccessDenied) as error:
        answer = error.__cause__
        refused = isinstance(answer, ClientError) and s3.status_of(answer) in (400, 501)
        if refused and target.checksum is Checksum.CRC64NVME:
            log.warning("the store refuses CRC64NVME, so SHA-256 is sent instead: %s", error.message)
            return send_weights(replace(target, checksum=Checksum.SHA256), content, cancel, tell)
        if not (refused and target.exclusive and s3.status_of(answer) == 501):
            raise
        log.warning("the store knows no conditional writes: two publishers at once may spoil a model")
        return send(replace(target, exclusive=False), content, cancel, tell)
    if target.checksum is Checksum.CRC64NVME and sent.checksum is None:
        log.warning(
            "the store keeps no CRC64NVME, so SHA-256 is sent instead, and read back where it must be"
        )
    return sent


def _stop_if(sending: _Sending) -> None:
    if sending.cancel.is_set():
        raise Interrupted(f"told to stop while publishing {sending.place.uri}")
