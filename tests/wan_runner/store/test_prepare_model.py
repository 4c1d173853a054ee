"""What people have becomes a model in our layout, narrower where that is said, or is refused with advice."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.wan_core.weights.models import SMALL, save_single, save_transformer
from tests.wan_runner.store.originals import (
    CARDS,
    NARROW,
    ONLY,
    save_comfyui,
    save_comfyui_encoder,
    save_encoders,
    save_wan,
    widen,
)
from wan_core.errors import (
    InsufficientDiskSpace,
    Interrupted,
    InvalidInput,
    ModelNotFound,
    TrustRemoteCode,
    WanError,
)
from wan_core.weights.schemes import Scheme
from wan_core.weights.transformer import load_transformer
from wan_runner.store.prepare_model import Assembly, assemble
from wan_runner.store.publish import publish_model

WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def encoders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_encoders(tmp_path_factory.mktemp("encoders") / "e")


def silent(done: int, total: int) -> None:
    pass


def make(model: Assembly, folder: Path) -> Path:
    """The whole model in a folder."""
    folder.mkdir()
    for path, file in model.files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).symlink_to(file)
    for made in model.made:
        (folder / f"{made.name}.draft").mkdir()
        made.write(folder / f"{made.name}.draft", silent)
        for file in (folder / f"{made.name}.draft").rglob("*"):
            if file.is_file():
                target = folder / file.relative_to(folder / f"{made.name}.draft")
                target.parent.mkdir(parents=True, exist_ok=True)
                file.rename(target)
    return folder


def dtypes(path: Path) -> dict[str, int]:
    """How many tensors of each dtype a file has."""
    found = [str(tensor.dtype).removeprefix("torch.") for tensor in load_file(path).values()]
    return {name: found.count(name) for name in sorted(set(found))}


def same_when_loaded(one: Path, other: Path) -> bool:
    """Whether both are the same transformer once they are in memory, to the bit."""
    loaded = [load_transformer(path, dtype=torch.bfloat16, device="cpu") for path in (one, other)]
    first, second = (model.state_dict() for model in loaded)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_wans_own_folder_becomes_a_model_with_the_encoders_of_another(tmp_path: Path, encoders: Path) -> None:
    source = save_wan(tmp_path / "Wan2.2-T2V-A14B")
    model = assemble(source, "small", encoders=encoders, cards=CARDS)
    whole = make(model, tmp_path / "out")
    for name, original in (("transformer", "high_noise_model"), ("transformer_2", "low_noise_model")):
        assert same_when_loaded(whole / name, source / original)
        assert dtypes(whole / name / WEIGHTS) == {"bfloat16": 48, "float32": 21}
    assert dtypes(whole / "text_encoder" / "model.safetensors") == {"bfloat16": 22}
    assert set(dtypes(whole / "vae" / WEIGHTS)) == {"float32"}
    index = json.loads((whole / "model_index.json").read_text())
    assert (index["_class_name"], index["boundary_ratio"]) == ("WanPipeline", 0.875)
    assert index["transformer_2"] == ["diffusers", "WanTransformer3DModel"]
    assert {"tokenizer", "scheduler"} <= {path.name for path in whole.iterdir()}
    said = "transformer: float32 written as bfloat16, 21 tensors stay float32"
    assert said in model.source
    assert any(note.startswith("transformer: 69 tensors named by wan, 0.00") for note in model.notes)
    assert "vae: as it is stored, because it computes in float32" in model.notes


def test_two_experts_of_comfyui_keep_their_bytes(tmp_path: Path, encoders: Path) -> None:
    source = save_comfyui(tmp_path / "models")
    model = assemble(source, "small", encoders=encoders, cards=CARDS)
    whole = make(model, tmp_path / "out")
    for name, noise in (("transformer", "high"), ("transformer_2", "low")):
        file = source / "diffusion_models" / f"x_{noise}_noise.safetensors"
        assert same_when_loaded(whole / name, file)
        assert set(dtypes(whole / name / WEIGHTS)) == {"bfloat16"}
    assert "transformer:" not in model.source


def test_one_comfyui_file_is_a_model_of_one_expert(tmp_path: Path, encoders: Path) -> None:
    save_single(tmp_path / "only.safetensors")
    model = assemble(tmp_path / "only.safetensors", "only", encoders=encoders, cards=[ONLY])
    index = json.loads((make(model, tmp_path / "out") / "model_index.json").read_text())
    assert (index["transformer_2"], index["boundary_ratio"]) == ([None, None], None)


def test_a_folder_of_diffusers_without_its_index_gets_one_from_the_catalogue(
    tmp_path: Path, encoders: Path
) -> None:
    save_transformer(tmp_path / "in" / "transformer")
    model = assemble(tmp_path / "in", "only", encoders=encoders, cards=[ONLY])
    whole = make(model, tmp_path / "out")
    index = json.loads((whole / "model_index.json").read_text())
    assert (index["_class_name"], index["transformer_2"]) == ("WanPipeline", [None, None])
    assert {"scheduler", "tokenizer", "text_encoder", "vae"} <= {path.name for path in whole.iterdir()}


def test_a_folder_of_diffusers_without_its_index_and_of_no_catalogue_is_refused(
    tmp_path: Path, encoders: Path
) -> None:
    save_transformer(tmp_path / "in" / "transformer", replace(SMALL, layers=3))
    with pytest.raises(InvalidInput, match="those of no model of the catalogue") as caught:
        assemble(tmp_path / "in", "only", encoders=encoders, cards=[ONLY])
    assert "model_index.json" in caught.value.advice


def test_a_refused_file_is_called_by_its_name(tmp_path: Path) -> None:
    save_single(tmp_path / "only.safetensors")
    with pytest.raises(InvalidInput, match=r"only\.safetensors holds no vae and no text_encoder"):
        assemble(tmp_path / "only.safetensors", "only", cards=[ONLY])


@pytest.mark.slow
def test_encoders_may_be_comfyuis_files_in_any_folder(tmp_path: Path) -> None:
    """The VAE without a config is the published one: 254 MB."""
    from tests.wan_core.weights.models import draw
    from wan_core.weights.vae import name_vae

    save_single(tmp_path / "only.safetensors")
    save_comfyui_encoder(tmp_path / "e" / "umt5.safetensors")
    save_file(draw(name_vae({}).shapes_in(Scheme.COMFYUI)), tmp_path / "e" / "vae.safetensors")
    model = assemble(tmp_path / "only.safetensors", "only", encoders=tmp_path / "e", cards=[ONLY])
    whole = make(model, tmp_path / "out")
    assert (whole / "tokenizer" / "spiece.model").read_bytes() == bytes(range(5))
    assert set(dtypes(whole / "vae" / WEIGHTS)) == {"bfloat16"}
    assert set(dtypes(whole / "text_encoder" / "model.safetensors")) == {"bfloat16"}


@pytest.mark.parametrize(
    ("dtype", "stored"),
    [
        pytest.param(None, {"bfloat16": 48, "float32": 21}, id="by default"),
        pytest.param("keep", {"float32": 69}, id="keep"),
        pytest.param("fp32", {"float32": 69}, id="fp32"),
        pytest.param("fp16", {"float16": 48, "float32": 21}, id="fp16"),
    ],
)
def test_the_transformer_is_written_in_what_was_asked_for(
    tmp_path: Path, encoders: Path, dtype: str | None, stored: dict[str, int]
) -> None:
    save_single(tmp_path / "only.safetensors")
    widen(tmp_path / "only.safetensors")
    model = assemble(tmp_path / "only.safetensors", "only", encoders=encoders, dtype=dtype, cards=[ONLY])
    assert dtypes(make(model, tmp_path / "out") / "transformer" / WEIGHTS) == stored


def test_of_a_diffusers_folder_only_what_is_wide_is_written_anew(tmp_path: Path, encoders: Path) -> None:
    source = tmp_path / "in"
    for name in ("text_encoder", "vae", "tokenizer"):
        source.mkdir(exist_ok=True)
        (source / name).symlink_to(encoders / name)
    save_transformer(source / "transformer")
    (source / "model_index.json").write_text(
        json.dumps({"_class_name": "WanPipeline", "transformer": ["diffusers", "WanTransformer3DModel"]})
    )
    model = assemble(source, "m")
    assert [made.name for made in model.made] == ["text_encoder"]
    assert model.files[f"transformer/{WEIGHTS}"] == source / "transformer" / WEIGHTS
    assert not any(path.startswith("text_encoder/") for path in model.files)
    assert assemble(source, "m", dtype="keep").made == ()


def test_a_part_without_its_config_is_written_with_one(tmp_path: Path, encoders: Path) -> None:
    source = tmp_path / "in"
    save_transformer(source / "transformer")
    shutil.copytree(encoders, source, dirs_exist_ok=True)
    (source / "text_encoder" / "config.json").unlink()
    model = assemble(source, "m", dtype="keep")
    assert [made.name for made in model.made] == ["text_encoder"]
    whole = make(model, tmp_path / "out")
    assert json.loads((whole / "text_encoder" / "config.json").read_text())["model_type"] == "umt5"


def test_numbers_that_fp16_cannot_hold_are_refused(tmp_path: Path, encoders: Path) -> None:
    stored = save_single(tmp_path / "only.safetensors")
    name = "model.diffusion_model.blocks.0.ffn.0.weight"
    save_file({**stored, name: stored[name] * 1e6}, tmp_path / "only.safetensors")
    model = assemble(tmp_path / "only.safetensors", "only", encoders=encoders, dtype="fp16", cards=[ONLY])
    with pytest.raises(InvalidInput, match="numbers that fp16 cannot hold"):
        make(model, tmp_path / "out")


def a_pickled_folder(folder: Path) -> None:
    save_wan(folder)


def no_encoders(folder: Path) -> None:
    save_comfyui(folder)


def of_no_catalogue(folder: Path) -> None:
    save_single(folder / "diffusion_models" / "x.safetensors", replace(SMALL, layers=3))


def half_a_pair(folder: Path) -> None:
    save_single(folder / "diffusion_models" / "x.safetensors")


def only_a_vae(folder: Path) -> None:
    save_encoders(folder)


REFUSED: dict[str, tuple[Any, bool, type[WanError], str, str]] = {
    "pickles": (
        a_pickled_folder,
        False,
        TrustRemoteCode,
        "Wan2.1_VAE.pth and models_t5_umt5-xxl-enc-bf16.pth are pickles",
        "--encoders-from DIR",
    ),
    "no encoders": (
        no_encoders,
        False,
        InvalidInput,
        "holds no vae and no text_encoder",
        "--encoders-from DIR",
    ),
    "of no catalogue": (
        of_no_catalogue,
        True,
        InvalidInput,
        "those of no model of the catalogue",
        "Publish it in diffusers layout",
    ),
    "half a pair": (
        half_a_pair,
        True,
        InvalidInput,
        "one of the two experts of small",
        "Name a folder with both",
    ),
    "no transformer": (only_a_vae, True, InvalidInput, "holds no transformer", "ComfyUI file"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_whole_model_is_refused_with_what_to_do(tmp_path: Path, encoders: Path, name: str) -> None:
    fill, with_encoders, error, said, advice = REFUSED[name]
    fill(tmp_path / "in")
    with pytest.raises(error) as caught:
        assemble(tmp_path / "in", "small", encoders=encoders if with_encoders else None, cards=CARDS)
    assert said in caught.value.message
    assert advice in caught.value.advice


def a_wide_vae(folder: Path) -> None:
    from diffusers import AutoencoderKLWan

    AutoencoderKLWan(
        **{**NARROW, "z_dim": 48, "latents_mean": [0.0] * 48, "latents_std": [1.0] * 48}
    ).save_pretrained(folder / "vae")


def nothing(folder: Path) -> None:
    pass


@pytest.mark.parametrize(
    ("fill", "error", "said"),
    [
        pytest.param(a_wide_vae, InvalidInput, "its latents have 48 channels", id="the VAE of another model"),
        pytest.param(nothing, ModelNotFound, "holds no text_encoder and no vae", id="nothing"),
    ],
)
def test_encoders_that_do_not_go_with_the_transformer_are_refused(
    tmp_path: Path, encoders: Path, fill: Any, error: type[WanError], said: str
) -> None:
    save_single(tmp_path / "only.safetensors")
    other = tmp_path / "other"
    other.mkdir()
    fill(other)
    if (other / "vae").exists():
        for name in ("text_encoder", "tokenizer", "model_index.json"):
            (other / name).symlink_to(encoders / name)
    with pytest.raises(error, match=said):
        assemble(tmp_path / "only.safetensors", "only", encoders=other, cards=[ONLY])


def test_weights_are_not_published_as_another_models(tmp_path: Path, encoders: Path) -> None:
    source = save_comfyui(tmp_path / "models")
    with pytest.raises(InvalidInput, match="holds the weights of small, not of i2v-A14B"):
        assemble(source, "i2v-A14B", encoders=encoders, cards=CARDS)


def test_converted_parts_lie_in_the_scratch_folder_only_while_they_are_sent(
    s3: Any, tmp_path: Path, encoders: Path
) -> None:
    source, scratch = save_wan(tmp_path / "in"), tmp_path / "scratch"
    model = assemble(source, "small", encoders=encoders, cards=CARDS)
    seen: set[str] = set()

    def look(what: str, done: int, total: int) -> None:
        seen.update(path.parent.name for path in scratch.rglob("*.safetensors"))
        assert len({path.parent for path in scratch.rglob("*.safetensors")}) <= 1

    first = publish_model(model, "small", "s3://weights/small", tell=look, scratch=scratch)
    again = publish_model(model, "small", "s3://weights/small", scratch=scratch)
    assert seen == {"transformer", "transformer_2", "text_encoder"}
    assert (again.manifest.digest(), again.files_sent) == (first.manifest.digest(), 0)
    assert list(scratch.iterdir()) == []


def test_stopping_while_a_part_is_written_leaves_nothing(s3: Any, tmp_path: Path, encoders: Path) -> None:
    model = assemble(save_wan(tmp_path / "in"), "small", encoders=encoders, cards=CARDS)
    cancel = Event()

    def stop(what: str, done: int, total: int) -> None:
        if what == "writing transformer_2":
            cancel.set()

    with pytest.raises(Interrupted):
        publish_model(
            model, "small", "s3://weights/small", cancel=cancel, tell=stop, scratch=tmp_path / "scratch"
        )
    assert list((tmp_path / "scratch").iterdir()) == []
    assert "manifest.json" not in str(s3.list_objects_v2(Bucket="weights").get("Contents", []))


def test_a_disk_that_is_too_small_is_known_before_anything_is_sent(
    s3: Any, aws: pytest.MonkeyPatch, tmp_path: Path, encoders: Path
) -> None:
    model = assemble(save_wan(tmp_path / "in"), "small", encoders=encoders, cards=CARDS)
    huge = replace(model, made=(replace(model.made[0], nbytes=2**60), *model.made[1:]))
    with pytest.raises(InsufficientDiskSpace, match=f"needs {2**60} more bytes"):
        publish_model(huge, "small", "s3://weights/small", scratch=tmp_path)
    assert "Contents" not in s3.list_objects_v2(Bucket="weights")
