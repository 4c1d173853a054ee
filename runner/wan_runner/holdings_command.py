"""`wan weights ls`, `fetch`, `gc` and `rm`: which models there are, in S3 and in the cache of this machine.

boto3 is imported when they run.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wan_core.errors import InvalidInput
from wan_runner.weights_shell import (
    CacheDir,
    Format,
    Output,
    Uri,
    answer,
    answer_json,
    answer_table,
    ask,
    cache_or_default,
    in_camel_case,
    many,
    told,
    words,
)

if TYPE_CHECKING:
    from wan_runner.interrupt import Interruption
    from wan_runner.store.holdings import CachedModel, PublishedModel


def fetch(uri: Uri, cache: CacheDir = None, output: Output = Format.TEXT) -> None:
    """Fetch a model into the cache of this machine, so that whoever needs it next finds it there."""
    from rich.console import Console

    from wan_core.load_bar import LoadBar
    from wan_core.phases import Meter

    with told(resumes=True) as interruption:
        from wan_runner.advice import Load, advised
        from wan_runner.store import fetch as fetch_model

        began, folder = time.monotonic(), cache_or_default(cache)
        with LoadBar(Console(stderr=True)) as bar:
            meter = Meter(bar.show)
            with (
                advised(lambda: Load(uri, meter.read())),
                fetch_model(uri, folder, interruption.requested, meter.tell) as model,
            ):
                path, digest, receipt = model.path, model.digest, model.receipt
    if output is Format.JSON:
        seconds = round(time.monotonic() - began, 3)
        answer_json(
            in_camel_case({"path": str(path), "digest": digest, "seconds": seconds, **asdict(receipt)})
        )
        return
    answer(f"{words(receipt.bytes_from_s3)} fetched, {words(receipt.bytes_from_cache)} were here: {path}")


def ls(
    uri: Annotated[str | None, typer.Argument(metavar="[S3URI]", help="A bucket or a folder in one.")] = None,
    cached: Annotated[bool, typer.Option("--cached", help="Those in the cache of this machine.")] = False,
    cache: CacheDir = None,
    output: Output = Format.TEXT,
) -> None:
    """List the models below a place in S3, or in the cache: files, bytes, digest."""
    with told(0):
        if (uri is None) != cached:
            raise InvalidInput(
                "name a place in S3, or say --cached", advice="As in: wan weights ls s3://weights"
            )
        rows = _rows_of_cache(cache) if uri is None else _rows_of_s3(uri)
    if output is Format.JSON:
        answer_json([in_camel_case(asdict(model)) for model in rows])
    elif rows:
        _show(rows)
    else:
        answer("no models")


def _rows_of_cache(cache: Path | None) -> list[CachedModel]:
    from wan_runner.store.cache import open_cache
    from wan_runner.store.holdings import list_cached

    return list_cached(open_cache(cache_or_default(cache)))


def _rows_of_s3(uri: str) -> list[PublishedModel]:
    from wan_runner.store import s3
    from wan_runner.store.holdings import list_published

    return list_published(s3.connect(), s3.parse_uri(uri))


def _show(models: list[CachedModel] | list[PublishedModel]) -> None:
    """As a table; what is not as it should be stands at the end of its line."""
    from wan_runner.store.holdings import CachedModel

    rows = []
    for model in models:
        size = (model.name, str(model.files), words(model.bytes), model.digest[:12] or "-")
        if isinstance(model, CachedModel):
            used = time.strftime("%Y-%m-%d %H:%M", time.localtime(model.used))
            rows.append((*size, "now" if model.in_use else used, model.uri))
        else:
            unused = sum(count for _, count in model.unused)
            rows.append((*size, model.problem or (f"{words(unused)} unused" if unused else "-"), model.uri))
    last = "USED" if isinstance(models[0], CachedModel) else "NOTE"
    answer_table(("MODEL", "FILES", "SIZE", "DIGEST", last, "FROM"), rows)


def gc(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would go, and what could.")
    ] = False,
    cache: CacheDir = None,
    output: Output = Format.TEXT,
) -> None:
    """Clean the cache of this machine: remains of dead processes, wrong bytes, what is above limits."""
    with told() as interruption:
        from wan_runner.store.cache import open_cache
        from wan_runner.store.clean import clean, plan_cleaning

        opened = open_cache(cache_or_default(cache))
        rows = plan_cleaning(opened)
        gone = None if dry_run else clean(opened, interruption.requested)
    if output is Format.JSON:
        planned = [
            {**asdict(row.candidate), "goes": row.goes, "in_use": row.in_use, "models": row.models}
            for row in rows
        ]
        removed = None if gone is None else {"files": len(gone.names), "bytes": gone.bytes}
        answer_json({"candidates": [in_camel_case(row) for row in planned], "removed": removed})
        return
    if gone is not None:
        answer(f"removed: {many(len(gone.names), 'file')}, {words(gone.bytes)}")
        return
    for row in rows:
        fate = "in use" if row.in_use else ("goes" if row.goes else "could go")
        what = f"{row.candidate.kind} of {', '.join(row.models)}" if row.models else row.candidate.kind
        answer(f"{fate:8}  {words(row.candidate.bytes):>10}  {what}: {row.candidate.name}")
    going = sum(row.candidate.bytes for row in rows if row.goes)
    answer(f"{words(going)} would go, {words(sum(r.candidate.bytes for r in rows if not r.in_use))} could")


def rm(
    what: Annotated[str, typer.Argument(metavar="S3URI|MODEL", help="A model in S3, or one in the cache.")],
    unused: Annotated[
        bool, typer.Option("--unused", help="In S3: only objects of older versions, which no manifest names.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    cache: CacheDir = None,
) -> None:
    """Remove a model from S3, or from the cache of this machine. Asks first."""
    with told() as interruption:
        if what.startswith("s3://"):
            _remove_published(what, unused, yes, interruption)
        else:
            _remove_cached(what, yes, cache_or_default(cache), interruption)


def _remove_published(uri: str, unused: bool, yes: bool, interruption: Interruption) -> None:
    from wan_runner.store import s3
    from wan_runner.store.holdings import objects_of, remove_objects

    client, place = s3.connect(), s3.parse_uri(uri)
    sizes = objects_of(client, place, unused=unused)
    size = f"{many(len(sizes), 'object')}, {words(sum(sizes.values()))}"
    if not sizes:
        answer(f"nothing to remove at {place.uri}")
        return
    ask(interruption, f"Remove {size} from {place.uri}?", yes)
    remove_objects(client, place.bucket, list(sizes), interruption.requested)
    answer(f"removed: {size}")


def _remove_cached(what: str, yes: bool, folder: Path, interruption: Interruption) -> None:
    from wan_runner.store.cache import open_cache
    from wan_runner.store.holdings import choose_cached, list_cached, remove_cached

    opened = open_cache(folder)
    model = choose_cached(list_cached(opened), what)
    ask(
        interruption,
        f"Remove {model.name} ({model.digest[:12]}, {words(model.own_bytes)} of its own) from {folder}?",
        yes,
    )
    gone = remove_cached(opened, model)
    answer(f"removed: {model.name}, {words(gone.bytes)}")
