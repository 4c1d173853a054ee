"""Models that there are, in S3 and in a cache, and their removal."""

from __future__ import annotations

from pathlib import Path
from threading import Event
from typing import Any

import pytest

from tests.wan_runner.store.models import files_of, written
from wan_core.errors import InvalidInput, ModelNotFound
from wan_runner.store import fetch
from wan_runner.store.cache import Cache, open_cache
from wan_runner.store.clean import clean, plan_cleaning
from wan_runner.store.holdings import (
    CachedModel,
    choose_cached,
    list_cached,
    list_published,
    objects_of,
    remove_cached,
    remove_objects,
)
from wan_runner.store.publish import publish
from wan_runner.store.s3 import Location

BUCKET = Location("weights", "")
TOTAL = sum(map(len, files_of().values()))


def keys(s3: Any) -> list[str]:
    return [entry["Key"] for entry in s3.list_objects_v2(Bucket="weights").get("Contents", [])]


def get(cache: Path, name: str = "m") -> None:
    with fetch(f"s3://weights/{name}", cache, Event(), lambda *told: None):
        pass


@pytest.fixture
def cache(s3: Any, tmp_path: Path) -> Cache:
    """With two models, which share their settings."""
    for seed, name in enumerate(("m", "n")):
        publish(written(tmp_path / name, files_of(seed)), name, f"s3://weights/{name}")
        get(tmp_path / "cache", name)
    return open_cache(tmp_path / "cache")


def test_models_in_s3_are_listed_with_what_is_not_as_it_should_be(s3: Any, tmp_path: Path) -> None:
    first = publish(written(tmp_path / "1", files_of(1)), "m", "s3://weights/a/m", license_id="MIT")
    second = publish(written(tmp_path / "2", files_of(2)), "m", "s3://weights/a/m", license_id="MIT")
    s3.put_object(Bucket="weights", Key="bare/model_index.json", Body=b"{}")
    s3.put_object(Bucket="weights", Key="old/manifest.json", Body=b'{"version": 1}')
    s3.put_object(Bucket="weights", Key="other.txt", Body=b"")
    models = {model.uri: model for model in list_published(s3, BUCKET)}
    whole = models["s3://weights/a/m"]
    weights = next(file for file in first.files if file.path.endswith(".safetensors"))
    assert (whole.digest, whole.files, whole.bytes, whole.license) == (second.digest(), 3, TOTAL, "MIT")
    assert whole.unused == ((f"a/m/{weights.key}", weights.bytes),)
    assert models["s3://weights/bare"].problem == "no manifest.json"
    assert models["s3://weights/old"].problem.startswith("manifest.json is of version 1, ")
    assert len(models) == 3


def test_what_older_versions_left_is_removed_alone(s3: Any, tmp_path: Path) -> None:
    publish(written(tmp_path / "1", files_of(1)), "m", "s3://weights/m")
    manifest = publish(written(tmp_path / "2", files_of(2)), "m", "s3://weights/m")
    unused = objects_of(s3, Location("weights", "m"), unused=True)
    remove_objects(s3, "weights", list(unused), Event())
    assert sorted(keys(s3)) == sorted(["m/manifest.json", *(f"m/{file.key}" for file in manifest.files)])


def test_a_model_is_removed_from_its_manifest_on(s3: Any, tmp_path: Path) -> None:
    publish(written(tmp_path, files_of()), "m", "s3://weights/m")
    publish(written(tmp_path, files_of()), "mm", "s3://weights/mm")
    found = objects_of(s3, Location("weights", "m/"), unused=False)
    assert next(iter(found)) == "m/manifest.json"
    remove_objects(s3, "weights", list(found), Event())
    assert {key.partition("/")[0] for key in keys(s3)} == {"mm"}


@pytest.mark.parametrize(
    ("key", "unused", "error", "said"),
    [
        pytest.param("", False, InvalidInput, "is a whole bucket", id="a bucket"),
        pytest.param(
            "a", False, InvalidInput, "below s3://weights/a lie other models", id="a folder of models"
        ),
        pytest.param("b", False, ModelNotFound, "no model is published", id="nothing"),
        pytest.param("bare", True, InvalidInput, "nothing tells what is used", id="no manifest"),
    ],
)
def test_only_one_model_is_removed_at_a_time(
    s3: Any, tmp_path: Path, key: str, unused: bool, error: type[Exception], said: str
) -> None:
    publish(written(tmp_path, files_of()), "m", "s3://weights/a/m")
    s3.put_object(Bucket="weights", Key="bare/model_index.json", Body=b"{}")
    with pytest.raises(error, match=said):
        objects_of(s3, Location("weights", key), unused=unused)


def test_cached_models_tell_what_is_theirs_alone(cache: Cache) -> None:
    first, second = list_cached(cache)
    assert (first.name, first.uri, first.files, first.bytes) == ("m", "s3://weights/m", 3, TOTAL)
    assert (second.name, len(first.own), first.in_use) == ("n", 1, False)
    assert first.own_bytes == len(files_of()["transformer/model.safetensors"])


def test_a_model_is_removed_from_the_cache_and_what_it_shares_stays(cache: Cache, tmp_path: Path) -> None:
    model = choose_cached(list_cached(cache), "m")
    gone = remove_cached(cache, model)
    assert (gone.names, gone.bytes) == (model.own, model.own_bytes)
    assert [left.name for left in list_cached(cache)] == ["n"]
    assert len(list(cache.blobs.iterdir())) == 3


def test_a_model_of_shared_blobs_alone_loses_its_folder(s3: Any, tmp_path: Path) -> None:
    for name in ("m", "n"):
        publish(written(tmp_path / name, files_of()), name, f"s3://weights/{name}")
        get(tmp_path / "cache", name)
    cache = open_cache(tmp_path / "cache")
    remove_cached(cache, choose_cached(list_cached(cache), "m"))
    assert [left.name for left in list_cached(cache)] == ["n"]


def test_what_is_in_use_is_not_removed(cache: Cache, tmp_path: Path) -> None:
    with fetch("s3://weights/m", tmp_path / "cache", Event(), lambda *told: None):
        model = choose_cached(list_cached(cache), "m")
        assert model.in_use
        with pytest.raises(InvalidInput, match="m is in use on this machine"):
            remove_cached(cache, model)
    assert len(list_cached(cache)) == 2


def test_a_model_is_named_by_id_address_or_digest(cache: Cache) -> None:
    models = list_cached(cache)
    for wanted in ("m", "s3://weights/m", "s3://weights/m/", models[0].digest, models[0].digest[:8]):
        assert choose_cached(models, wanted) == models[0]
    with pytest.raises(ModelNotFound, match="'x' is not in the cache, which holds m, n"):
        choose_cached(models, "x")


def test_two_versions_have_to_be_told_apart() -> None:
    versions = [CachedModel("m", "s3://w/m", digit * 64, 1, 1, 1, 0, False, (), ()) for digit in "ab"]
    with pytest.raises(InvalidInput, match="are 2 versions in the cache; name a digest: aaaaaaaaaaaa"):
        choose_cached(versions, "m")


def test_cleaning_removes_what_is_above_the_limits_and_plans_the_same(
    cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("WAN_CACHE_HIGH_PERCENT", "WAN_CACHE_LOW_PERCENT"):  # however full this machine's disk is
        monkeypatch.setenv(name, "100")
    cache = open_cache(tmp_path / "cache")
    (cache.quarantine / "bad").write_bytes(b"x" * 10)
    assert [row.candidate.name for row in plan_cleaning(cache) if row.goes] == ["bad"]
    assert clean(cache, Event()).names == ("bad",)
    monkeypatch.setenv("WAN_CACHE_MAX_BYTES", "1")
    full = open_cache(tmp_path / "cache")
    planned = tuple(row.candidate.name for row in plan_cleaning(full) if row.goes)
    assert clean(full, Event()).names == planned
    assert list_cached(full) == []
