"""A folder in diffusers layout as people have it: what of it becomes a model, and what is refused by name."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.wan_core.weights.models import SMALL, save_transformer
from tests.wan_runner.store.models import copy_tiny, files_of, safetensors, written
from tests.wan_runner.store.originals import save_encoders
from wan_core.errors import (
    AccessDenied,
    IntegrityError,
    InvalidInput,
    ModelNotFound,
    TrustRemoteCode,
    WanError,
)
from wan_runner.store.publish import publish_folder
from wan_runner.tiny import model_files

TINY = model_files("wan-tiny-i2v")
WEIGHTS = "transformer/diffusion_pytorch_model.safetensors"


def names(s3: Any, prefix: str = "m") -> list[str]:
    listing = s3.list_objects_v2(Bucket="weights", Prefix=prefix + "/")
    return [entry["Key"].removeprefix(prefix + "/") for entry in listing.get("Contents", [])]


def test_a_folder_in_diffusers_layout_becomes_a_model_without_its_pictures(s3: Any, tmp_path: Path) -> None:
    beside = {"README.md": b"# hi", "assets/logo.png": b"png", ".gitattributes": b"x", ".cache/a.json": b"{}"}
    written(copy_tiny(tmp_path / "Wan2.2"), beside)
    manifest = publish_folder(tmp_path / "Wan2.2", "s3://weights/t2v-A14B/")
    assert manifest.model == "t2v-A14B"
    assert sorted(names(s3, "t2v-A14B")) == sorted([*TINY, "README.md", "manifest.json"])


def test_links_to_files_and_folders_are_followed_each_folder_once(s3: Any, tmp_path: Path) -> None:
    snapshot = tmp_path / "snapshot"
    snapshot.mkdir()
    for place in copy_tiny(tmp_path / "hub").iterdir():
        (snapshot / place.name).symlink_to(place)
    (tmp_path / "hub" / "transformer" / "loop").symlink_to(snapshot)
    publish_folder(snapshot, "s3://weights/m")
    assert sorted(names(s3, "m")) == sorted([*TINY, "manifest.json"])


def test_a_part_that_the_index_names_and_the_folder_lacks_is_named(s3: Any, tmp_path: Path) -> None:
    written(tmp_path / "f", {"model_index.json": files_of()["model_index.json"]})
    with pytest.raises(
        InvalidInput, match=r"model_index\.json names transformer, of which there are no files"
    ):
        publish_folder(tmp_path / "f", "s3://weights/m")
    assert names(s3) == []


@pytest.mark.parametrize(
    ("extra", "error", "said"),
    [
        pytest.param({"vae/model.bin": b""}, TrustRemoteCode, "vae/model.bin", id="bin"),
        pytest.param({"Wan2.1_VAE.pth": b""}, TrustRemoteCode, "Wan2.1_VAE.pth", id="the original VAE"),
        pytest.param({"pipeline.py": b""}, TrustRemoteCode, "pipeline.py", id="code"),
        pytest.param(
            {"config.json": b'{"auto_map": {"a": "b"}}'}, TrustRemoteCode, "auto_map", id="asks for code"
        ),
        pytest.param(
            {"a.safetensors": b"PK\3\4"}, IntegrityError, "a.safetensors", id="a zip by another name"
        ),
        pytest.param({"a\nb.json": b"{}"}, InvalidInput, "is not a name", id="a name that cannot be"),
    ],
)
def test_a_folder_with_something_else_in_it_is_refused_by_name_before_anything_is_sent(
    s3: Any, tmp_path: Path, extra: dict[str, bytes], error: type[WanError], said: str
) -> None:
    written(copy_tiny(tmp_path / "f"), extra)
    with pytest.raises(error) as caught:
        publish_folder(tmp_path / "f", "s3://weights/m")
    assert said in caught.value.message
    assert names(s3) == []


@pytest.mark.parametrize(
    ("folder", "uri", "error", "said"),
    [
        pytest.param("empty", "s3://weights/m", InvalidInput, "holds no transformer", id="no model"),
        pytest.param("absent", "s3://weights/m", ModelNotFound, "absent is not there", id="no folder"),
        pytest.param("f", "s3://weights/", InvalidInput, "names no model", id="no name"),
        pytest.param("f", "weights/m", InvalidInput, "expected s3://bucket/key", id="no address"),
        pytest.param("f", "s3://nowhere/m", AccessDenied, "there is no bucket 'nowhere'", id="no bucket"),
    ],
)
def test_what_cannot_be_published_says_why(
    s3: Any, tmp_path: Path, folder: str, uri: str, error: type[WanError], said: str
) -> None:
    copy_tiny(tmp_path / "f")
    (tmp_path / "empty").mkdir()
    with pytest.raises(error) as caught:
        publish_folder(tmp_path / folder, uri)
    assert said in caught.value.message


def test_a_path_that_no_manifest_holds_is_refused_before_anything_is_sent(s3: Any, tmp_path: Path) -> None:
    path = f"{'a' * 200}/{'b' * 200}/{'c' * 200}/x.json"
    written(copy_tiny(tmp_path / "f"), {path: b"{}"})
    with pytest.raises(InvalidInput, match="a path has at most 512") as caught:
        publish_folder(tmp_path / "f", "s3://weights/m")
    assert caught.value.advice.startswith("Rename it, or leave it out")
    assert names(s3) == []


@pytest.mark.parametrize(
    "damaged", ["model_index.json", "transformer/config.json", WEIGHTS, "scheduler/scheduler_config.json"]
)
def test_a_source_that_is_damaged_is_to_be_compared_with_where_it_came_from(
    s3: Any, tmp_path: Path, damaged: str
) -> None:
    file = copy_tiny(tmp_path / "f") / damaged
    file.write_bytes(file.read_bytes()[:-2])
    with pytest.raises(IntegrityError) as caught:
        publish_folder(tmp_path / "f", "s3://weights/m")
    assert caught.value.advice.startswith("Compare SRC with where it came from, and get again what differs; ")
    assert names(s3) == []


def test_a_pipe_among_the_weights_is_not_waited_for(s3: Any, tmp_path: Path) -> None:
    os.mkfifo(copy_tiny(tmp_path / "f") / "transformer" / "a.safetensors")
    assert len(publish_folder(tmp_path / "f", "s3://weights/m").files) == len(TINY)


def test_a_folder_that_cannot_be_listed_is_not_left_out(
    s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, listing = copy_tiny(tmp_path / "f"), os.scandir

    def refuse(path: Any) -> Any:
        if Path(path).name == "scheduler":
            raise PermissionError(13, "Permission denied", str(path))
        return listing(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(PermissionError, match="scheduler"):
        publish_folder(folder, "s3://weights/m")
    assert names(s3) == []


def rewrite(file: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    state = load_file(file)
    change(state)
    save_file(state, file)


def add_adapters(folder: Path) -> None:
    rewrite(folder / WEIGHTS, lambda state: state.update({f"lora.{n}": torch.zeros(8) for n in range(9)}))


def lose_a_tensor(folder: Path) -> None:
    rewrite(folder / "text_encoder" / "model.safetensors", lambda state: state.pop("shared.weight"))


def narrow(folder: Path) -> None:
    rewrite(folder / WEIGHTS, lambda state: state.update({"proj_out.bias": torch.zeros(3)}))


def quantise(folder: Path) -> None:
    rewrite(folder / WEIGHTS, lambda s: s.update({"proj_out.bias": s["proj_out.bias"].to(torch.int8)}))


def lose_the_weights(folder: Path) -> None:
    (folder / "vae" / "diffusion_pytorch_model.safetensors").unlink()


def swap(folder: Path) -> None:
    (folder / "vae").rename(folder / "x")
    (folder / "text_encoder").rename(folder / "vae")
    (folder / "x").rename(folder / "text_encoder")


def lose_the_config(folder: Path) -> None:
    (folder / "vae" / "config.json").unlink()


def of_clip(folder: Path) -> None:
    config = folder / "transformer" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"image_dim": 1280}))


UNFIT: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "adapters beside the weights": (
        add_adapters,
        "transformer: lora.0 [8] in diffusion_pytorch_model.safetensors is not of this model",
        "merge adapters",
    ),
    "a tensor is missing": (lose_a_tensor, " is missing", "just the tensors of the architecture"),
    "a shape": (
        narrow,
        "transformer: proj_out.bias in diffusion_pytorch_model.safetensors is [3], not [64]",
        "just the tensors",
    ),
    "quantised": (quantise, "transformer: proj_out.bias is I8", "Take the model in bfloat16"),
    "no weights": (lose_the_weights, "vae: there is no .safetensors file", "wan validate --models SRC"),
    "no config.json to tell sizes": (
        lose_the_config,
        "vae, which has no config.json: encoder.conv_in.weight in diffusion_pytorch_model.safetensors is [",
        "that its config.json tells",
    ),
    "another's part": (swap, "is a text_encoder where a vae should be", "wan validate --models SRC"),
    "another's architecture": (of_clip, "image_dim is 1280: CLIP's", "`wan models` shows what does"),
}


@pytest.mark.parametrize("name", UNFIT)
def test_weights_that_are_not_of_the_architecture_are_refused_before_anything_is_sent(
    s3: Any, tmp_path: Path, name: str
) -> None:
    spoil, said, advice = UNFIT[name]
    spoil(copy_tiny(tmp_path / "f"))
    with pytest.raises(IntegrityError) as caught:
        publish_folder(tmp_path / "f", "s3://weights/m")
    assert said in caught.value.message
    assert advice in caught.value.advice
    assert names(s3) == []


def test_of_many_tensors_some_are_named_and_the_others_counted(tmp_path: Path) -> None:
    add_adapters(copy_tiny(tmp_path / "f"))
    with pytest.raises(IntegrityError, match=r"; and 4 more$"):
        publish_folder(tmp_path / "f", "s3://weights/m")


def test_shards_are_one_part_and_the_one_with_a_strange_tensor_is_named(s3: Any, tmp_path: Path) -> None:
    folder = save_encoders(tmp_path / "f")
    rewrite(folder / "text_encoder" / "model.safetensors", to_bfloat16)
    save_transformer(folder / "transformer", SMALL, shard_bytes=2**18)
    shards = sorted(file.name for file in (folder / "transformer").glob("*.safetensors"))
    assert len(shards) > 2
    publish_folder(folder, "s3://weights/m")
    assert "transformer/diffusion_pytorch_model.safetensors.index.json" in names(s3)
    rewrite(folder / "transformer" / shards[1], lambda state: state.update({"lora": torch.zeros(8)}))
    with pytest.raises(IntegrityError, match=rf"lora \[8\] in {shards[1]} is not of this model"):
        publish_folder(folder, "s3://weights/n")


def to_bfloat16(state: dict[str, torch.Tensor]) -> None:
    state.update({name: tensor.bfloat16() for name, tensor in state.items()})


def test_what_people_have_beside_the_parts_is_published_as_it_is(s3: Any, tmp_path: Path) -> None:
    folder = copy_tiny(tmp_path / "f")
    rewrite(folder / WEIGHTS, lambda state: state.update({"proj_out.bias": torch.ones(64).bfloat16()}))
    beside = {
        "image_encoder/config.json": b"{}",
        "image_encoder/model.safetensors": safetensors(),
        "image_processor/preprocessor_config.json": b"{}",
        "transformer/README.md": b"",
        "LICENSE.txt": b"",
    }
    written(folder, beside)
    publish_folder(folder, "s3://weights/m")
    assert sorted(names(s3)) == sorted([*TINY, *beside, "manifest.json"])
