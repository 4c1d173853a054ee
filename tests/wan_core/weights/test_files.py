"""Weights written in shards; a folder that appears whole or not at all, and never in place of another."""

from __future__ import annotations

import json
import resource
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.wan_core.weights.models import same_bytes
from wan_core.errors import InsufficientDiskSpace, InvalidInput, WanError
from wan_core.weights.files import appearing, save_pickle, split_shards, write_json, write_tensors
from wan_core.weights.shards import read_headers, stored_tensors

LARGE = {"a": torch.zeros(10**6, dtype=torch.uint8)}
STATE = {name: torch.full((10,), i, dtype=torch.uint8) for i, name in enumerate("abcde")}


@pytest.mark.parametrize(
    ("room", "shards"),
    [
        pytest.param(None, [["a", "b", "c", "d", "e"]], id="no bound"),
        pytest.param(50, [["a", "b", "c", "d", "e"]], id="just enough"),
        pytest.param(49, [["a", "b", "c", "d"], ["e"]], id="one too many"),
        pytest.param(20, [["a", "b"], ["c", "d"], ["e"]], id="two each"),
        pytest.param(1, [["a"], ["b"], ["c"], ["d"], ["e"]], id="each larger than the bound"),
    ],
)
def test_shards_hold_as_much_as_they_may(room: int | None, shards: list[list[str]]) -> None:
    assert split_shards(STATE, room) == shards


def test_shards_and_their_index_are_read_back(tmp_path: Path) -> None:
    write_tensors(tmp_path, "model", STATE, shard_bytes=20)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "model-00001-of-00003.safetensors",
        "model-00002-of-00003.safetensors",
        "model-00003-of-00003.safetensors",
        "model.safetensors.index.json",
    ]
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert index["metadata"] == {"total_size": 50}
    assert index["weight_map"] == {key: stored.file.name for key, stored in read_headers(tmp_path).items()}
    assert same_bytes(dict(stored_tensors(tmp_path)), STATE)


def test_what_fits_one_file_has_no_index(tmp_path: Path) -> None:
    write_tensors(tmp_path, "model", STATE)
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]


def test_views_of_mapped_files_are_written_from_where_they_lie(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "source.safetensors")
    views = dict(stored_tensors(tmp_path / "source.safetensors"))
    (tmp_path / "target").mkdir()
    write_tensors(tmp_path / "target", "model", {f"new.{name}": view for name, view in views.items()})
    assert dict(stored_tensors(tmp_path / "target")).keys() == {f"new.{name}" for name in STATE}


def test_a_folder_has_its_name_only_once_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "model"
    with appearing(target) as folder:
        (folder / "file").write_text("done")
        assert not target.exists()
    assert (target / "file").read_text() == "done"
    assert list(target.parent.iterdir()) == [target]


def test_nothing_is_left_of_a_folder_that_failed(tmp_path: Path) -> None:
    def fail() -> None:
        with appearing(tmp_path / "model") as folder:
            (folder / "file").write_text("half")
            raise KeyError("stop")

    with pytest.raises(KeyError):
        fail()
    assert list(tmp_path.iterdir()) == []


def a_file(path: Path) -> None:
    path.write_text("mine")


def a_link_to_nowhere(path: Path) -> None:
    path.symlink_to(path.parent / "nowhere")


@pytest.mark.parametrize("occupy", [a_file, Path.mkdir, a_link_to_nowhere])
def test_what_is_there_is_never_replaced(tmp_path: Path, occupy: Callable[[Path], None]) -> None:
    occupy(tmp_path / "model")
    with pytest.raises(InvalidInput, match="nothing is overwritten"), appearing(tmp_path / "model"):
        pytest.fail("it is not begun")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_what_has_appeared_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    def write() -> None:
        with appearing(tmp_path / "model"):
            (tmp_path / "model").mkdir()
            (tmp_path / "model" / "mine").touch()

    with pytest.raises(InvalidInput, match="has appeared meanwhile"):
        write()
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["mine"]


@pytest.mark.parametrize(
    "fill",
    [
        pytest.param(lambda folder: write_tensors(folder, "model", LARGE), id="safetensors"),
        pytest.param(lambda folder: save_pickle(LARGE, folder / "model.pth"), id="a pickle"),
        pytest.param(lambda folder: write_json(folder / "a.json", {"a": "x" * 10**6}), id="JSON"),
    ],
)
def test_a_file_that_finds_no_room_is_typed_and_leaves_nothing(
    tmp_path: Path, fill: Callable[[Path], None]
) -> None:
    """A limit on the size of files is in the place of a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10**5, before[1]))
    try:
        told = "model: File too large; nothing of it is kept"
        with pytest.raises(InsufficientDiskSpace, match=told), appearing(tmp_path / "model") as folder:
            fill(folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_too_small_is_told_before_anything_is_written(tmp_path: Path) -> None:
    error: type[WanError] = InsufficientDiskSpace
    with pytest.raises(error, match="bytes, and"), appearing(tmp_path / "model", 2**60):
        pytest.fail("it is not begun")
    assert list(tmp_path.iterdir()) == []
