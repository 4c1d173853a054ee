"""Which models there are: below a place in S3, and in the cache of this machine; and how they are removed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from wan_core.errors import Interrupted, InvalidInput, ModelNotFound, WanError
from wan_runner.store import s3
from wan_runner.store.cache import Cache, last_used_ns
from wan_runner.store.evict import Candidate, Evicted, evict_one
from wan_runner.store.leases import is_leased, locked_now
from wan_runner.store.manifest import MANIFEST_NAME
from wan_runner.store.model_folder import INDEX
from wan_runner.store.sources import read_published
from wan_runner.store.tree import DOCUMENT, Kept, drop_tree, read_trees

OBJECTS_MAX = 100_000


@dataclass(frozen=True)
class PublishedModel:
    """A model in S3. `digest` is empty and `problem` says why where its manifest is none or is not there.

    `unused` are the objects below it that the manifest does not name: those of older versions.
    """

    uri: str
    name: str
    files: int
    bytes: int
    digest: str
    license: str
    source: str
    unused: tuple[tuple[str, int], ...]
    problem: str = ""


@dataclass(frozen=True)
class CachedModel:
    """A model in the cache. `own_bytes` would be free without it: it shares the rest with others."""

    name: str
    uri: str
    digest: str
    files: int
    bytes: int
    own_bytes: int
    used: float
    in_use: bool
    own: tuple[str, ...]
    blobs: tuple[str, ...]


def list_published(client: s3.Client, place: s3.Location) -> list[PublishedModel]:
    """Every model at or below `place`. Raises InvalidInput if there are more objects than can be listed."""
    sizes = _list_below(client, place)
    folders = {key.rpartition("/")[0] for key in sizes if key.rpartition("/")[2] in (MANIFEST_NAME, INDEX)}
    return [
        _describe(client, s3.Location(place.bucket, folder), sizes, folders) for folder in sorted(folders)
    ]


def _list_below(client: s3.Client, place: s3.Location) -> dict[str, int]:
    """Bytes by key of each object below `place`."""
    prefix = f"{place.key.rstrip('/')}/" if place.key else ""
    sizes: dict[str, int] = {}
    with s3.translated(client, place, s3.missing_model):
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=place.bucket, Prefix=prefix):
            sizes |= {entry["Key"]: entry["Size"] for entry in page.get("Contents", [])}
            if len(sizes) > OBJECTS_MAX:
                raise InvalidInput(
                    f"{place.uri} holds more than {OBJECTS_MAX} objects; name a folder below it"
                )
    return sizes


def _describe(
    client: s3.Client, place: s3.Location, sizes: dict[str, int], folders: Iterable[str]
) -> PublishedModel:
    below = f"{place.key}/" if place.key else ""
    inner = tuple(f"{folder}/" for folder in folders if folder != place.key and folder.startswith(below))
    own = {key: size for key, size in sizes.items() if key.startswith(below) and not key.startswith(inner)}
    name = place.key.rpartition("/")[2]
    try:
        manifest = read_published(client, place)
    except WanError as error:
        missing = isinstance(error, ModelNotFound)
        problem = f"no {MANIFEST_NAME}" if missing else error.message.removeprefix(f"{place.uri}/")
        return PublishedModel(place.uri, name, len(own), sum(own.values()), "", "", "", (), problem)
    named = {below + file.key for file in manifest.files} | {below + MANIFEST_NAME}
    unused = tuple(sorted((key, size) for key, size in own.items() if key not in named))
    return PublishedModel(
        place.uri,
        manifest.model,
        len(manifest.files),
        manifest.total_bytes,
        manifest.digest(),
        manifest.license,
        manifest.source,
        unused,
    )


def objects_of(client: s3.Client, place: s3.Location, *, unused: bool) -> dict[str, int]:
    """The objects that `remove_objects` is to remove, the manifest first: bytes by key.

    All of a model, or those only that its manifest does not name. Raises ModelNotFound, and InvalidInput if
    another model lies below this one.
    """
    if not place.key.strip("/"):
        raise InvalidInput(f"{place.uri} is a whole bucket; name a model in it")
    place = s3.Location(place.bucket, place.key.rstrip("/"))
    models = list_published(client, place)
    inner = [model.uri for model in models if model.uri != place.uri]
    if inner:
        raise InvalidInput(
            f"below {place.uri} lie other models: {', '.join(inner[:8])}", advice="Remove those first."
        )
    if not models:
        raise ModelNotFound(f"no model is published at {place.uri}")
    if unused:
        if models[0].problem:
            raise InvalidInput(f"{place.uri}: {models[0].problem}, so nothing tells what is used")
        return dict(models[0].unused)
    sizes = _list_below(client, place)
    first = place.child(MANIFEST_NAME).key
    return {key: sizes[key] for key in sorted(sizes, key=lambda key: (key != first, key))}


def remove_objects(client: s3.Client, bucket: str, keys: Sequence[str], cancel: Event) -> None:
    """Removes objects, in this order: without its manifest, nobody takes what is left for a model."""
    for key in keys:
        if cancel.is_set():
            raise Interrupted(f"told to stop before removing s3://{bucket}/{key}; again goes on from there")
        with s3.translated(client, s3.Location(bucket, key), s3.missing_model):
            client.delete_object(Bucket=bucket, Key=key)


def list_cached(cache: Cache) -> list[CachedModel]:
    """Every whole model in the cache, the one that was used last at the end."""
    trees = list(read_trees(cache))
    found = [_describe_cached(cache, tree, trees) for tree in trees]
    return sorted(found, key=lambda model: (model.used, model.digest))


def _describe_cached(cache: Cache, tree: Kept, trees: Sequence[Kept]) -> CachedModel:
    blobs = {blob.name: blob.bytes for blob in tree.files.values()}
    others = {blob.name for other in trees if other is not tree for blob in other.files.values()}
    own = tuple(sorted(set(blobs) - others))
    uri = _place_of(tree)
    used = min((last_used_ns(cache, name) for name in blobs), default=time.time_ns()) / 1e9
    return CachedModel(
        _name_of(tree.folder) or uri.rpartition("/")[2],
        uri,
        tree.folder.name,
        len(tree.files),
        sum(blobs.values()),
        sum(blobs[name] for name in own),
        used,
        bool(blobs) and all(is_leased(cache.leases, name) for name in blobs),
        own,
        tuple(sorted(blobs)),
    )


def _name_of(folder: Path) -> str:
    """The model's id in its manifest; empty where it was published without one."""
    try:
        return str(json.loads((folder / DOCUMENT).read_bytes()).get("model", ""))
    except (OSError, ValueError, AttributeError, RecursionError):
        return ""


def _place_of(tree: Kept) -> str:
    """Where the model was found: the address of one of its objects, less its path."""
    for path, blob in tree.files.items():
        uri = tree.uris.get(blob.name, "")
        if uri.endswith(f"/{path}"):
            return uri.removesuffix(f"/{path}")
    return next(iter(tree.uris.values()), "")


def choose_cached(models: Sequence[CachedModel], wanted: str) -> CachedModel:
    """The one model that `wanted` names: by id, address, or the beginning of its digest."""
    place = wanted.rstrip("/")
    found = [
        model
        for model in models
        if place in (model.name, model.uri) or (len(wanted) >= 6 and model.digest.startswith(wanted))
    ]
    if not found:
        known = ", ".join(sorted({model.name for model in models})) or "nothing"
        raise ModelNotFound(
            f"{wanted!r} is not in the cache, which holds {known}", advice="See wan weights ls --cached."
        )
    if len(found) > 1:
        digests = ", ".join(f"{model.digest[:12]} ({model.uri})" for model in found)
        raise InvalidInput(f"{wanted!r} are {len(found)} versions in the cache; name a digest: {digests}")
    return found[0]


def remove_cached(cache: Cache, model: CachedModel) -> Evicted:
    """Removes a model and the blobs that no other has. Raises InvalidInput if somebody uses it."""
    sizes = {name: (cache.blobs / name).stat().st_size for name in model.own if (cache.blobs / name).exists()}
    busy = [name for name in model.own if is_leased(cache.leases, name)]
    gone = Evicted()
    if not busy and not sizes:
        _drop_shared(cache, model)
        return gone
    for name, size in sizes.items() if not busy else ():
        gone += evict_one(cache, Candidate("blob", name, size, last_used_ns(cache, name)))
    if len(gone.names) < len(sizes):
        raise InvalidInput(
            f"{model.name} is in use on this machine, or was so meanwhile",
            advice="Try again once that has ended.",
        )
    return gone


def _drop_shared(cache: Cache, model: CachedModel) -> None:
    """Removes the folder of a model all of whose blobs are other models' too."""
    for name in model.blobs:
        with locked_now(cache.leases / name) as held:
            if held is not None:
                drop_tree(cache.models / model.digest)
                return
    raise InvalidInput(f"{model.name} is in use on this machine", advice="Try again once that has ended.")
