"""A cache that somebody has changed by hand: nothing outside it is written or removed, and it mends."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from tests.wan_runner.store.caches import CHUNK, model_of, never, open_roomy, silent, source_of, tensors_of
from wan_core.errors import WanError
from wan_runner.store.cache import Cache
from wan_runner.store.clean import clean, plan_cleaning
from wan_runner.store.fetch import kept
from wan_runner.store.holdings import list_cached
from wan_runner.store.scrub import scrub
from wan_runner.store.tree import DOCUMENT, MARK, Model

WEIGHTS = "transformer/model.safetensors"
FILES = {"model_index.json": b"{}", WEIGHTS: tensors_of(0)}
MODEL = model_of(FILES)
NAME = MODEL.files[WEIGHTS].name


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    cache = open_roomy(tmp_path / "cache")
    get(cache)
    return cache


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    path = tmp_path / "precious"
    path.write_bytes(b"precious")
    return path


def get(cache: Cache) -> None:
    with kept(cache, MODEL, source_of(FILES), never(), silent) as model:
        assert {path: (model.path / path).read_bytes() for path in FILES} == FILES


def rewrite(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    document = json.loads(path.read_bytes())
    path.write_text(json.dumps(change(document)))


def renamed(mark: dict[str, Any], **fields: object) -> dict[str, Any]:
    """The mark with other words about its weights; its addresses go by the new name."""
    mark["files"][WEIGHTS] |= fields
    mark["uris"][mark["files"][WEIGHTS]["name"]] = "s3://weights/m/a"
    return mark


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda mark: [], id="a list"),
        pytest.param(lambda mark: {**mark, "files": []}, id="files that are a list"),
        pytest.param(lambda mark: {**mark, "uris": []}, id="addresses that are a list"),
        pytest.param(lambda mark: {**mark, "uris": {}}, id="no addresses"),
        pytest.param(lambda mark: renamed(mark, bytes="many"), id="bytes that are no number"),
        pytest.param(lambda mark: renamed(mark, chunks=[1] * 9), id="too many chunks"),
        pytest.param(lambda mark: renamed(mark, chunk_bytes=0), id="chunks of nothing"),
        pytest.param(lambda mark: renamed(mark, name="../../precious", bytes=8), id="a way out"),
        pytest.param(lambda mark: renamed(mark, name=".."), id="a folder"),
    ],
)
def test_a_mark_that_is_not_ours_names_nothing_and_is_written_anew(
    cache: Cache, precious: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    rewrite(cache.models / MODEL.digest / MARK, change)
    assert list_cached(cache) == []
    assert scrub(cache.root, Event(), silent_scrub).blobs == 0
    plan_cleaning(cache)
    clean(cache, Event())
    get(cache)
    assert [model.digest for model in list_cached(cache)] == [MODEL.digest]
    assert precious.read_bytes() == b"precious"
    assert sorted(path.name for path in cache.root.parent.iterdir()) == ["cache", "precious"]


def silent_scrub(done: int, total: int) -> None:
    pass


def test_a_model_whose_link_leads_elsewhere_is_linked_anew(cache: Cache, tmp_path: Path) -> None:
    link, other = cache.models / MODEL.digest / WEIGHTS, tmp_path / "other"
    other.write_bytes(b"x" * link.stat().st_size)
    link.unlink()
    link.symlink_to(other)
    get(cache)


def test_a_link_in_the_place_of_a_model_goes_and_what_it_leads_to_stays(cache: Cache, tmp_path: Path) -> None:
    folder, other = cache.models / MODEL.digest, tmp_path / "other"
    os.rename(folder, other)
    (other / WEIGHTS).unlink()
    folder.symlink_to(other)
    get(cache)
    assert (other / MARK).exists()


@pytest.mark.parametrize("place", ["leases/{}", "used/{}", "ingest/{}.part", "ingest/{}.journal", "gc.lock"])
@pytest.mark.parametrize("there", [True, False], ids=["to a file", "to nothing"])
def test_no_link_leads_a_write_out_of_the_cache(
    cache: Cache, precious: Path, place: str, there: bool
) -> None:
    target, link = precious if there else precious.with_name("absent"), cache.root / place.format(NAME)
    (cache.blobs / NAME).unlink()
    link.unlink(missing_ok=True)
    link.symlink_to(target)
    with pytest.raises(WanError):
        get(cache)
    assert precious.read_bytes() == b"precious"
    assert not precious.with_name("absent").exists()


@pytest.mark.parametrize("text", ["[]", "[" * 100_000, '"m"'])
def test_a_manifest_in_the_cache_that_is_none_costs_only_the_name(cache: Cache, text: str) -> None:
    (cache.models / MODEL.digest / DOCUMENT).write_text(text)
    assert [model.name for model in list_cached(cache)] == ["m"]


def test_the_model_of_these_tests_has_several_chunks() -> None:
    assert isinstance(MODEL, Model)
    assert MODEL.files[WEIGHTS].bytes > 2 * CHUNK
