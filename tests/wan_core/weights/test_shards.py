"""What is read of a folder or a file, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.wan_core.weights.models import same_bytes
from wan_core.errors import IntegrityError, ModelNotFound, TrustRemoteCode, WanError
from wan_core.weights.shards import Stored, read_headers, read_json, stored_tensors, weight_files

ONE, TWO = {"a": torch.ones(2, 3, dtype=torch.bfloat16)}, {"b": torch.zeros(4)}


def test_headers_tell_shape_dtype_and_file(tmp_path: Path) -> None:
    save_file(ONE, tmp_path / "1.safetensors")
    save_file(TWO, tmp_path / "2.safetensors")
    assert read_headers(tmp_path) == {
        "a": Stored((2, 3), "BF16", tmp_path / "1.safetensors", header_bytes(tmp_path / "1.safetensors")),
        "b": Stored((4,), "F32", tmp_path / "2.safetensors", header_bytes(tmp_path / "2.safetensors")),
    }


def header_bytes(file: Path) -> int:
    """Both files hold one tensor, which ends them."""
    (tensor,) = load_file(file).values()
    return file.stat().st_size - tensor.nbytes


def test_each_tensor_lies_where_its_header_says(tmp_path: Path) -> None:
    state = {"b": torch.arange(5.0), "a": torch.arange(3, dtype=torch.uint8), "none": torch.empty(0, 4)}
    save_file(state, tmp_path / "m.safetensors", metadata={"format": "pt"})
    whole = (tmp_path / "m.safetensors").read_bytes()
    for name, stored in read_headers(tmp_path).items():
        held = bytes(state[name].view(torch.uint8).flatten().tolist())
        assert whole[stored.begin : stored.begin + stored.nbytes] == held


def test_tensors_come_file_by_file(tmp_path: Path) -> None:
    save_file(ONE, tmp_path / "1.safetensors")
    save_file(TWO, tmp_path / "2.safetensors")
    assert [name for name, _ in stored_tensors(tmp_path)] == ["a", "b"]
    assert same_bytes(dict(stored_tensors(tmp_path)), {**ONE, **TWO})


def test_files_beside_the_programs_own_are_not_of_the_model(tmp_path: Path) -> None:
    save_file(ONE, tmp_path / "diffusion_pytorch_model.safetensors")
    save_file(TWO, tmp_path / "Wan2.2_VAE.safetensors")
    assert read_headers(tmp_path).keys() == {"a"}


def nothing(_: Path) -> None: ...


def pickled(folder: Path) -> None:
    (folder / "model.bin").write_bytes(b"\x80")


def twice(folder: Path) -> None:
    save_file(ONE, folder / "1.safetensors")
    save_file(ONE, folder / "2.safetensors")


def broken(folder: Path) -> None:
    (folder / "1.safetensors").write_bytes(b"\x00\x01")


def without_a_shard(folder: Path) -> None:
    save_file(ONE, folder / "m-00001-of-00002.safetensors")
    index = {"weight_map": {"a": "m-00001-of-00002.safetensors", "b": "m-00002-of-00002.safetensors"}}
    (folder / "m.safetensors.index.json").write_text(json.dumps(index))


def with_an_index_of_elsewhere(folder: Path) -> None:
    save_file(ONE, folder / "m.safetensors")
    index = {"weight_map": {"a": "../../etc/passwd"}}
    (folder / "m.safetensors.index.json").write_text(json.dumps(index))


def with_a_folder_for_a_config(folder: Path) -> None:
    save_file(ONE, folder / "m.safetensors")
    (folder / "m.safetensors.index.json").mkdir()


def a_folder_for_a_file(folder: Path) -> None:
    (folder / "m.safetensors").mkdir()


def a_link_to_nothing(folder: Path) -> None:
    (folder / "m.safetensors").symlink_to("nowhere")


def with_a_broken_index(folder: Path) -> None:
    save_file(ONE, folder / "m.safetensors")
    (folder / "m.safetensors.index.json").write_text("{}")


@pytest.mark.parametrize(
    ("fill", "error", "told"),
    [
        pytest.param(nothing, IntegrityError, "there is no .safetensors file", id="empty"),
        pytest.param(pickled, TrustRemoteCode, r"pickled \(model\.bin\)", id="a pickle alone"),
        pytest.param(twice, IntegrityError, "a is stored twice, in 1.safetensors and in 2.", id="twice"),
        pytest.param(with_a_broken_index, IntegrityError, "has no weight_map", id="an index of nothing"),
        pytest.param(
            with_an_index_of_elsewhere, IntegrityError, r"names \.\./\.\./etc/passwd", id="elsewhere"
        ),
        pytest.param(
            with_a_folder_for_a_config, IntegrityError, "Is a directory", id="a folder for an index"
        ),
        pytest.param(a_folder_for_a_file, IntegrityError, "m.safetensors is no file", id="a folder"),
        pytest.param(a_link_to_nothing, IntegrityError, "m.safetensors is no file", id="a link to nothing"),
        pytest.param(broken, IntegrityError, "1.safetensors: ", id="broken"),
        pytest.param(
            without_a_shard,
            IntegrityError,
            "names m-00002-of-00002.safetensors, which",
            id="a shard is missing",
        ),
    ],
)
def test_a_folder_that_is_not_one_model_is_refused(
    tmp_path: Path, fill: Callable[[Path], None], error: type[WanError], told: str
) -> None:
    fill(tmp_path)
    with pytest.raises(error, match=told):
        read_headers(tmp_path)


def test_a_pickle_is_refused_by_its_name_unopened(tmp_path: Path) -> None:
    with pytest.raises(TrustRemoteCode, match=r"Wan2\.1_VAE\.pth: is a pickle"):
        weight_files(tmp_path / "Wan2.1_VAE.pth")


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="nowhere: is not there"):
        weight_files(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param(None, "is not there", id="absent"),
        pytest.param("{", "is not JSON", id="broken"),
        pytest.param("[]", "is not a JSON object", id="a list"),
        pytest.param("[" * 100_000, "is nested too deeply", id="without end"),
    ],
)
def test_json_that_is_no_object_is_refused(tmp_path: Path, text: str | None, told: str) -> None:
    if text is not None:
        (tmp_path / "config.json").write_text(text)
    with pytest.raises(IntegrityError, match=told):
        read_json(tmp_path / "config.json")
