"""Checkpoints against the architectures known: which they are of, and what is wrong with the others."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.wan_runner.store.originals import PAIR, save_comfyui, save_wan
from wan_core.catalog.checked import CheckedCheckpoint
from wan_core.catalog.models import MODELS
from wan_core.catalog.own import load_catalog
from wan_core.errors import AccessDenied, InvalidInput, ModelNotFound, NetworkError
from wan_core.weights.configs import config_of, write_config
from wan_core.weights.schemes import Scheme
from wan_core.weights.text_encoder import XXL, name_text_encoder
from wan_core.weights.transformer_names import shapes_of
from wan_runner.model_check import check
from wan_runner.store.header_mirror import mirror_headers
from wan_runner.store.publish import publish
from wan_runner.tiny import model_files

WEIGHTS = "diffusion_pytorch_model.safetensors"
BYTES = sum(path.stat().st_size for path in model_files("wan-tiny").values() if path.suffix == ".safetensors")


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """wan-tiny as a folder."""
    for name, file in model_files("wan-tiny").items():
        target = tmp_path / "tiny" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)
    return tmp_path / "tiny"


def rewrite(file: Path, change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> None:
    save_file(change(load_file(file)), file)


def test_a_whole_model_is_told_part_by_part(tiny: Path) -> None:
    found = check(tiny)
    assert (found.valid, found.errors, found.missing, found.notes) == (True, (), (), ())
    assert (found.kind, found.layout, found.models) == ("folder", "diffusers", ("wan-tiny",))
    assert [part.name for part in found.parts] == ["transformer", "transformer_2", "vae", "text_encoder"]
    assert found.bytes == BYTES
    card = MODELS["wan-tiny"]
    assert found.parts[0].parameters == card.transformer.parameters
    assert found.parts[2].parameters == card.vae.parameters
    assert set(found.parts[0].dtypes) == {"BF16"}


def test_a_fine_tune_is_of_its_base_and_of_every_model_of_that_base(tiny: Path) -> None:
    own = load_catalog("models: [{id: mine, base: wan-tiny, title: mine}]", "own.yaml")
    assert check(tiny, {**MODELS, **own}).models == ("wan-tiny", "mine")


def drop_vae(folder: Path) -> None:
    shutil.rmtree(folder / "vae")


def drop_tokenizer(folder: Path) -> None:
    shutil.rmtree(folder / "tokenizer")


def pickle_vae(folder: Path) -> None:
    (folder / "vae" / WEIGHTS).unlink()
    (folder / "vae" / "diffusion_pytorch_model.bin").write_bytes(b"\x80")


def lose_a_tensor(folder: Path) -> None:
    def change(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {name: tensor for name, tensor in state.items() if "proj_out" not in name}

    rewrite(folder / "transformer" / WEIGHTS, change)


def quantise(folder: Path) -> None:
    rewrite(
        folder / "transformer" / WEIGHTS,
        lambda state: {k: t.to(torch.int8) if "ffn.net.2.weight" in k else t for k, t in state.items()},
    )


def cut(folder: Path) -> None:
    file = folder / "transformer" / WEIGHTS
    file.write_bytes(file.read_bytes()[:-1])


def swap(folder: Path) -> None:
    shutil.rmtree(folder / "vae")
    shutil.copytree(folder / "transformer", folder / "vae")


def add_code(folder: Path) -> None:
    config = folder / "transformer" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"auto_map": {"AutoModel": "evil.Model"}}))


def lose_an_expert(folder: Path) -> None:
    shutil.rmtree(folder / "transformer_2")
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps(index | {"transformer_2": [None, None]}))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (drop_vae, "vae: is missing"),
        (drop_tokenizer, "tokenizer: is missing"),
        (pickle_vae, "holds files that can run code when opened: vae/diffusion_pytorch_model.bin"),
        (lose_a_tensor, "transformer: proj_out.weight [64, 128] is missing; proj_out.bias [64] is missing"),
        (quantise, "is I8, not one of F64, F32, F16, BF16"),
        (cut, "transformer/diffusion_pytorch_model.safetensors"),
        (add_code, "auto_map"),
        (swap, "vae: is a transformer where a vae should be"),
        (lose_an_expert, "it has 1 of the 2 experts of wan-tiny"),
    ],
)
def test_a_fault_is_told(tiny: Path, spoil: Callable[[Path], None], words: str) -> None:
    spoil(tiny)
    found = check(tiny)
    assert not found.valid
    assert any(words in error for error in found.errors), found.errors


def test_every_fault_is_told_at_once(tiny: Path) -> None:
    drop_vae(tiny)
    lose_a_tensor(tiny)
    drop_tokenizer(tiny)
    found = check(tiny)
    assert len(found.errors) == 3
    assert set(found.missing) == {"vae", "tokenizer"}
    assert [part.name for part in found.parts] == ["transformer_2", "text_encoder"]


def test_a_transformer_of_no_model_is_told_with_its_sizes(tiny: Path) -> None:
    known = {name: card for name, card in MODELS.items() if not name.startswith("wan-tiny")}
    (error,) = check(tiny, known).errors
    assert error == (
        "its transformer is that of no model here: 6 blocks of 128, feed-forward 384, 16 channels in"
    )


def test_a_vae_of_another_model_is_told(tiny: Path) -> None:
    card = MODELS["wan-tiny"]
    other = replace(card, vae=replace(card.vae, base_dim=96))
    assert check(tiny, {"wan-tiny": other}).errors == ("its VAE is not that of wan-tiny",)


def test_a_boundary_that_the_card_does_not_have_is_noted(tiny: Path) -> None:
    index = json.loads((tiny / "model_index.json").read_text())
    (tiny / "model_index.json").write_text(json.dumps(index | {"boundary_ratio": 0.5}))
    found = check(tiny)
    assert found.valid
    assert found.notes == ("model_index.json switches experts at 0.5, wan-tiny at 0.875",)


def save_sparse(file: Path, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Weights of these shapes in bfloat16: their header, and a hole."""
    at, header = 0, {}
    for name, shape in shapes.items():
        end = at + 2 * math.prod(shape)
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [at, end]}
        at = end
    data = json.dumps(header).encode()
    file.parent.mkdir(parents=True)
    with file.open("wb") as opened:
        opened.write(len(data).to_bytes(8, "little") + data)
        opened.truncate(8 + len(data) + at)


@pytest.mark.slow
def test_a_checkpoint_larger_than_the_memory_is_checked(tmp_path: Path) -> None:
    config = config_of(MODELS["t2v-A14B"])
    for name in ("transformer", "transformer_2"):
        save_sparse(tmp_path / name / WEIGHTS, shapes_of(config, Scheme.DIFFUSERS))
        (tmp_path / name / "config.json").write_text(json.dumps(write_config(config)))
    save_sparse(
        tmp_path / "text_encoder" / "model.safetensors", name_text_encoder(XXL).shapes_in(Scheme.DIFFUSERS)
    )
    XXL.save_pretrained(tmp_path / "text_encoder")
    found = check(tmp_path)
    assert found.models == ("t2v-A14B",)
    assert set(found.missing) == {"vae", "tokenizer"}
    assert [part.parameters for part in found.parts] == [14_288_491_584, 14_288_491_584, 5_680_910_336]
    assert found.bytes > 60 * 2**30


def test_wan_s_own_folders_are_told_with_the_pickles_in_them(tmp_path: Path) -> None:
    found = check(save_wan(tmp_path), {PAIR.id: PAIR})
    assert found.layout == "wan"
    assert found.models == (PAIR.id,)
    assert sum("pickle" in error for error in found.errors) == 2


def test_a_file_of_comfyui_is_a_transformer_without_its_company(tmp_path: Path) -> None:
    folder = save_comfyui(tmp_path)
    found = check(folder, {PAIR.id: PAIR})
    assert (found.layout, found.models) == ("comfyui", (PAIR.id,))
    assert set(found.missing) == {"vae", "text_encoder", "tokenizer"}
    (file,) = (folder / "diffusion_models").glob("*high*")
    assert check(file, {PAIR.id: PAIR}).kind == "file"


@pytest.mark.parametrize("name", ["nothing", "empty"])
def test_what_holds_no_model_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    if name == "nothing":
        with pytest.raises(InvalidInput, match="is not there"):
            check(tmp_path / name)
    else:
        (error,) = check(tmp_path / name).errors
        assert "holds no transformer" in error


def test_a_published_model_is_compared_with_its_manifest_and_no_weight_is_read(
    s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(model_files("wan-tiny"), "wan-tiny", "s3://weights/wan-tiny")
    read: list[int] = []

    def counted(client: Any, place: Any, files: Any, folder: Path) -> None:
        mirror_headers(client, place, files, folder)
        read.extend(file.stat().st_blocks * 512 for file in folder.rglob("*.safetensors"))

    monkeypatch.setattr("wan_runner.model_check.mirror_headers", counted)
    found = check("s3://weights/wan-tiny")
    assert (found.valid, found.errors) == (True, ())
    assert (found.kind, found.model, found.models) == ("s3", "wan-tiny", ("wan-tiny",))
    assert found.bytes == BYTES
    assert found.digest
    assert found.notes[-1].endswith("files compared with the manifest: 12 by CRC64NVME in S3")
    assert sum(read) < BYTES / 20


@pytest.mark.slow
def test_a_model_published_by_another_s_name_is_told(s3: Any) -> None:
    publish(model_files("wan-tiny"), "wan-tiny-i2v", "s3://weights/wan-tiny-i2v")
    found = check("s3://weights/wan-tiny-i2v")
    assert found.errors == ("it is published as wan-tiny-i2v, and has the architecture of wan-tiny",)


def test_what_changed_in_s3_after_it_was_published_is_told(s3: Any) -> None:
    publish(model_files("wan-tiny"), "m", "s3://weights/m")
    s3.delete_object(Bucket="weights", Key="m/tokenizer/tokenizer.json")
    found = check("s3://weights/m")
    assert found.errors == ("tokenizer/tokenizer.json is missing",)


@pytest.mark.slow
def test_a_model_without_a_manifest_is_checked_and_that_is_said(s3: Any) -> None:
    for name, file in model_files("wan-tiny").items():
        s3.put_object(Bucket="weights", Key=f"bare/{name}", Body=file.read_bytes())
    found = check("s3://weights/bare")
    assert (found.valid, found.model, found.models) == (True, None, ("wan-tiny",))
    assert "manifest" in found.notes[-1]


def test_what_is_not_in_s3_cannot_be_checked(s3: Any) -> None:
    with pytest.raises(ModelNotFound):
        check("s3://weights/none")


def test_an_s3_that_does_not_answer_is_no_fault_of_the_model(aws: pytest.MonkeyPatch) -> None:
    aws.setattr("wan_runner.store.connection.ATTEMPTS", 1)
    aws.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    with pytest.raises((NetworkError, AccessDenied)):
        check("s3://weights/none")


def test_the_answer_can_be_written_and_read(tiny: Path) -> None:
    found = check(tiny)
    assert CheckedCheckpoint.model_validate(json.loads(json.dumps(found.to_dict()))) == found
