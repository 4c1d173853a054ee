"""The weights' cache against a real S3: what it fetches, what it keeps, what it says of a missing model."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from tests.wan_runner.store.models import files_of, written
from wan_core.errors import AccessDenied, ModelNotFound
from wan_runner.store import FetchedModel, fetch
from wan_runner.store.publish import publish


def ignore(done: int, total: int) -> None:
    pass


def put(tmp_path: Path, model: str, files: dict[str, bytes]) -> None:
    publish(written(tmp_path / "src" / model, files), model, f"s3://weights/{model}")


def get(tmp_path: Path, model: str = "m") -> FetchedModel:
    return fetch(f"s3://weights/{model}", tmp_path / "cache", Event(), ignore)


def test_a_published_model_arrives_as_the_folder_it_was(s3: Any, tmp_path: Path) -> None:
    files = files_of()
    put(tmp_path, "m", files)
    model = get(tmp_path)
    assert {name: (model.path / name).read_bytes() for name in files} == files
    assert model.bytes_loaded == sum(map(len, files.values()))


def test_blobs_are_named_by_their_digest_and_read_only(s3: Any, tmp_path: Path) -> None:
    put(tmp_path, "m", files_of())
    get(tmp_path)
    blobs = list((tmp_path / "cache" / "blobs").iterdir())
    assert len(blobs) == 3
    for blob in blobs:
        assert blob.name == hashlib.sha256(blob.read_bytes()).hexdigest()
        assert stat.S_IMODE(blob.stat().st_mode) == 0o444


def test_the_folder_can_move_with_its_cache(s3: Any, tmp_path: Path) -> None:
    put(tmp_path, "m", files_of())
    model = get(tmp_path)
    (tmp_path / "cache").rename(tmp_path / "elsewhere")
    moved = tmp_path / "elsewhere" / model.path.relative_to(tmp_path / "cache")
    assert (moved / "transformer/config.json").read_bytes() == files_of()["transformer/config.json"]


def test_a_second_fetch_loads_nothing_and_gives_the_same_folder(s3: Any, tmp_path: Path) -> None:
    put(tmp_path, "m", files_of())
    first = get(tmp_path)
    assert get(tmp_path) == FetchedModel(first.path, first.digest, bytes_loaded=0)


def test_models_share_the_files_that_they_have_in_common(s3: Any, tmp_path: Path) -> None:
    put(tmp_path, "a", files_of(1))
    put(tmp_path, "b", files_of(2))
    first, second = get(tmp_path, "a"), get(tmp_path, "b")
    assert second.bytes_loaded == len(files_of(2)["transformer/model.safetensors"])
    assert first.digest != second.digest


def test_one_content_under_two_names_is_fetched_once(s3: Any, tmp_path: Path) -> None:
    files = files_of() | {"vae/config.json": files_of()["transformer/config.json"]}
    put(tmp_path, "m", files)
    model = get(tmp_path)
    assert model.bytes_loaded == sum(map(len, files_of().values()))
    assert (model.path / "vae/config.json").read_bytes() == files["vae/config.json"]


def test_progress_rises_to_the_total_and_counts_what_is_cached(s3: Any, tmp_path: Path) -> None:
    put(tmp_path, "a", files_of(1))
    put(tmp_path, "b", files_of(2, size=3 * 1024 * 1024))
    get(tmp_path, "a")
    seen: list[tuple[int, int]] = []
    model = fetch(
        "s3://weights/b", tmp_path / "cache", Event(), lambda done, total: seen.append((done, total))
    )
    done, totals = [d for d, _ in seen], {t for _, t in seen}
    assert totals == {sum(map(len, files_of(2, size=3 * 1024 * 1024).values()))}
    assert done == sorted(done)
    assert done[0] == done[-1] - model.bytes_loaded
    assert done[-1] == totals.pop()
    assert len(done) > 4


def test_a_model_published_anew_is_another_model(s3: Any, tmp_path: Path) -> None:
    put(tmp_path, "m", files_of(1))
    old = get(tmp_path)
    put(tmp_path, "m", files_of(2))
    new = get(tmp_path)
    assert (old.digest, old.path) != (new.digest, new.path)
    assert (old.path / "transformer/model.safetensors").read_bytes() == files_of(1)[
        "transformer/model.safetensors"
    ]


def test_a_blob_that_lost_bytes_is_fetched_again(s3: Any, tmp_path: Path) -> None:
    put(tmp_path, "m", files_of())
    model = get(tmp_path)
    weights = (model.path / "transformer/model.safetensors").resolve()
    weights.unlink()
    weights.write_bytes(b"half")
    again = get(tmp_path)
    assert again.bytes_loaded == len(files_of()["transformer/model.safetensors"])
    assert (again.path / "transformer/model.safetensors").read_bytes() == files_of()[
        "transformer/model.safetensors"
    ]


def test_a_folder_that_lost_a_link_is_made_again(s3: Any, tmp_path: Path) -> None:
    put(tmp_path, "m", files_of())
    (get(tmp_path).path / "model_index.json").unlink()
    assert (get(tmp_path).path / "model_index.json").exists()


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        pytest.param(
            "s3://weights/wan-tin", "published there: t2v-A14B, wan-tiny; nearest: wan-tiny", id="near"
        ),
        pytest.param("s3://weights/zzz", "published there: t2v-A14B, wan-tiny", id="nothing near"),
        pytest.param("s3://weights/raw", "has files but no manifest.json: publish it", id="never published"),
        pytest.param("s3://inputs/wan-tiny", "no model is published under s3://inputs/", id="empty bucket"),
        pytest.param("s3://nowhere/wan-tiny", "there is no bucket 'nowhere'", id="no bucket"),
    ],
)
def test_a_model_that_is_not_there_is_not_found_and_the_message_says_what_is(
    s3: Any, tmp_path: Path, uri: str, said: str
) -> None:
    if uri.endswith("raw"):
        s3.put_object(Bucket="weights", Key="raw/model_index.json", Body=b"{}")
    else:
        put(tmp_path, "wan-tiny", files_of())
        put(tmp_path, "t2v-A14B", files_of())
    with pytest.raises(ModelNotFound, match="at http://127") as caught:
        fetch(uri, tmp_path / "cache", Event(), ignore)
    assert said in caught.value.message


def test_a_cache_that_is_no_folder_is_refused_by_name(s3: Any, tmp_path: Path) -> None:
    put(tmp_path, "m", files_of())
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(AccessDenied, match=r"cannot write .*/cache: Not a directory"):
        get(tmp_path)


def test_a_cache_that_cannot_be_made_is_refused_by_name(s3: Any, tmp_path: Path) -> None:
    put(tmp_path, "m", files_of())
    with pytest.raises(AccessDenied, match=r"cannot write .*: File name too long"):
        fetch("s3://weights/m", tmp_path / ("a" * 300), Event(), ignore)
