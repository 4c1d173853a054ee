"""A published model as a folder of this machine, kept there for as long as it is used.

What is cached costs one request (its manifest, which tells whether the model was replaced), a lock and a
look at each file. What is not is fetched once for all processes of the node, verified, and published; then
the folder is linked. Nothing unverified is ever visible.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event

from wan_core.errors import InsufficientDiskSpace
from wan_core.phases import Phase, Tell
from wan_runner.store import s3
from wan_runner.store.blob import Blob
from wan_runner.store.cache import Cache, is_cached, mark_used, open_cache
from wan_runner.store.contents import check_contents
from wan_runner.store.disk import writing_to
from wan_runner.store.download import Receipt
from wan_runner.store.evict import Evicted, evict
from wan_runner.store.ingest import Fill, Report, ensure_blob
from wan_runner.store.leases import leased, locked
from wan_runner.store.origin import Origin, open_origin
from wan_runner.store.sources import Unlisted, find_published
from wan_runner.store.space import WAITING, explain_full, reserved
from wan_runner.store.sweep import sweep
from wan_runner.store.tree import Model, ensure_tree, is_whole

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FetchReceipt:
    """What a fetch cost. `hits` and `misses` count blobs; what another process fetched meanwhile is a hit.

    `resumed` is in bytes; `retries` in requests; `warnings` are sentences for people.
    """

    bytes_from_s3: int = 0
    bytes_from_cache: int = 0
    hits: int = 0
    misses: int = 0
    resumed: int = 0
    retries: int = 0
    evicted_blobs: int = 0
    evicted_bytes: int = 0
    seconds_waited: float = 0.0
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class FetchedModel:
    """A verified model, which stays until its context is left. `digest` names these very weights."""

    path: Path
    digest: str
    receipt: FetchReceipt


@contextmanager
def fetch(model_uri: str, cache_dir: Path, cancel: Event, tell: Tell) -> Iterator[FetchedModel]:
    """The model published under `model_uri`, as a folder of this machine that stays until this is left.

    `tell(phase, done, total)` counts blobs while the cache is looked at and bytes while they are fetched, by
    whomever; those already here are done from the start. Raises ModelNotFound, AccessDenied, NetworkError,
    IntegrityError, InsufficientDiskSpace, TrustRemoteCode, InvalidInput, and Interrupted soon after `cancel`
    is set: then what has arrived can be resumed.
    """
    place = s3.parse_uri(model_uri, "weights")
    origin = open_origin(cancel)
    tell(Phase.VALIDATION, 0, 1)
    model, warnings = find_model(s3.connect(), place)
    tell(Phase.VALIDATION, 1, 1)
    for warning in warnings:
        log.warning("%s", warning)
    with kept(open_cache(cache_dir), model, origin, cancel, tell) as fetched:
        yield replace(fetched, receipt=replace(fetched.receipt, warnings=warnings))


def find_model(client: s3.Client, place: s3.Location) -> tuple[Model, tuple[str, ...]]:
    """What is published at `place`, and what is to be said of it."""
    found = find_published(client, place)
    files = {file.path: file.blob() for file in found.files}
    uris = {file.blob().name: place.child(file.key).uri for file in found.files}
    warnings = (found.warning,) if isinstance(found, Unlisted) else ()
    return Model(place.uri, found.digest(), files, uris, found.canonical()), warnings


@contextmanager
def kept(cache: Cache, model: Model, origin: Origin, cancel: Event, tell: Tell) -> Iterator[FetchedModel]:
    """The model in the cache, whole, its blobs leased until this is left. What lacks comes from `origin`."""
    names = [blob.name for blob in model.distinct()]
    with ExitStack() as held:
        with writing_to(cache.blobs):
            sweep(cache)
            if cache.has_locks:
                held.enter_context(leased(cache.leases, names, cancel))
            receipt = _fetch_missing(cache, model, origin, cancel, tell)
            for name in names:
                mark_used(cache, name)
            _ensure_folder(cache, model, cancel)
        try:
            yield FetchedModel(cache.models / model.digest, model.digest, receipt)
        finally:
            with suppress(OSError):  # it only says what goes first: no reason to lose what was made
                for name in names:
                    mark_used(cache, name)


def _ensure_folder(cache: Cache, model: Model, cancel: Event) -> None:
    if not is_whole(cache, model):
        check_contents({path: cache.blobs / blob.name for path, blob in model.files.items()}, model.uri)
        ensure_tree(cache, model, cancel)


def _fetch_missing(cache: Cache, model: Model, origin: Origin, cancel: Event, tell: Tell) -> FetchReceipt:
    blobs = model.distinct()
    missing = {}
    for count, blob in enumerate(blobs):
        tell(Phase.CACHE_CHECK, count, len(blobs))
        if not is_cached(cache, blob):
            missing[blob.name] = blob
    tell(Phase.CACHE_CHECK, len(blobs), len(blobs))
    arrived = model.total_bytes - sum(blob.bytes for blob in missing.values())
    tell(Phase.DOWNLOAD, arrived, model.total_bytes)
    receipt = FetchReceipt(bytes_from_cache=arrived, hits=len(blobs) - len(missing))
    if not missing:
        return receipt
    with reserved(cache, {blob.name: blob.bytes for blob in missing.values()}, cancel) as evicted:
        receipt = _add_evicted(receipt, evicted)
        for blob in missing.values():

            def report(done: int, arrived: int = arrived) -> None:
                tell(Phase.DOWNLOAD, arrived + done, model.total_bytes)

            fill = origin(model.uris[blob.name], blob)
            receipt = _fetch_blob(cache, blob, fill, cancel, report, receipt)
            arrived += blob.bytes
            tell(Phase.DOWNLOAD, arrived, model.total_bytes)
    return receipt


def _fetch_blob(
    cache: Cache, blob: Blob, fill: Fill[Receipt], cancel: Event, report: Report, receipt: FetchReceipt
) -> FetchReceipt:
    """One blob; where others filled the disk in spite of what was promised, once more after evicting."""
    try:
        ingested = ensure_blob(cache, blob, fill, cancel, report)
    except InsufficientDiskSpace as error:
        evicted = _evict_for(cache, blob, cancel)
        if not evicted.names:
            raise explain_full(cache, {blob.name: blob.bytes}, error) from error
        receipt = _add_evicted(receipt, evicted)
        ingested = ensure_blob(cache, blob, fill, cancel, report)
    bill = ingested.bill
    receipt = replace(receipt, seconds_waited=receipt.seconds_waited + ingested.waited_s)
    if bill is None:
        return replace(receipt, hits=receipt.hits + 1, bytes_from_cache=receipt.bytes_from_cache + blob.bytes)
    return replace(
        receipt,
        misses=receipt.misses + 1,
        bytes_from_s3=receipt.bytes_from_s3 + bill.received,
        resumed=receipt.resumed + bill.resumed,
        retries=receipt.retries + bill.retries,
    )


def _evict_for(cache: Cache, blob: Blob, cancel: Event) -> Evicted:
    if not cache.has_locks:
        return Evicted()
    with locked(cache.gc_lock, cancel, WAITING):
        return evict(cache, blob.bytes, keep=(blob.name,))


def _add_evicted(receipt: FetchReceipt, evicted: Evicted) -> FetchReceipt:
    return replace(
        receipt,
        evicted_blobs=receipt.evicted_blobs + len(evicted.names),
        evicted_bytes=receipt.evicted_bytes + evicted.bytes,
    )
