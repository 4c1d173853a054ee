"""A model or a part of one, written for another program: what that program then loads, what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKLWan, DiffusionPipeline, WanTransformer3DModel
from diffusers.loaders.single_file_utils import convert_wan_transformer_to_diffusers
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import UMT5Config, UMT5EncoderModel

from tests.wan_core.weights.models import SMALL, draw, same_bytes, save_single, save_transformer
from wan_core.catalog.architecture import ModelCard
from wan_core.catalog.models import MODELS
from wan_core.errors import IntegrityError, InvalidInput, ModelNotFound, TrustRemoteCode, WanError
from wan_core.weights.convert import convert
from wan_core.weights.schemes import Scheme
from wan_core.weights.shards import stored_tensors
from wan_core.weights.text_encoder import VOCABULARY, name_text_encoder
from wan_core.weights.vae import name_vae

SIZES = {"dim": 128, "ffn_dim": 64, "heads": 1, "layers": 2}
CARD = replace(MODELS["t2v-A14B"], transformer=replace(MODELS["t2v-A14B"].transformer, **SIZES))
IMAGE_CARD = replace(MODELS["i2v-A14B"], transformer=replace(MODELS["i2v-A14B"].transformer, **SIZES))
ONE_EXPERT = replace(CARD, id="one", experts=1, boundary=None)
CARDS = (*MODELS.values(), CARD, IMAGE_CARD, ONE_EXPERT)
TINY_T5 = UMT5Config(vocab_size=9, d_model=8, d_kv=4, d_ff=6, num_layers=2, num_heads=3)
NARROW = {"base_dim": 4, "z_dim": 16}


def write(source: Path, target: Path, scheme: Scheme, cards: tuple[ModelCard, ...] = CARDS) -> None:
    convert(source, target, scheme, lambda _: None, cards)


def tensors_of(path: Path) -> dict[str, Tensor]:
    return dict(stored_tensors(path))


def test_diffusers_loads_what_is_written_of_a_single_file(tmp_path: Path) -> None:
    stored = save_single(tmp_path / "one.safetensors")
    write(tmp_path / "one.safetensors", tmp_path / "out", Scheme.DIFFUSERS)
    stock, told = WanTransformer3DModel.from_pretrained(
        tmp_path / "out", torch_dtype=torch.bfloat16, output_loading_info=True
    )
    assert not any(told.values())
    expected = convert_wan_transformer_to_diffusers(dict(stored))
    for name, tensor in stock.state_dict().items():
        assert torch.equal(tensor.bfloat16(), expected[name]), name


def test_diffusers_reads_comfyuis_file_as_its_own(tmp_path: Path) -> None:
    stored = save_transformer(tmp_path / "in")
    write(tmp_path / "in", tmp_path / "out", Scheme.COMFYUI)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["out.safetensors"]
    converted = convert_wan_transformer_to_diffusers(load_file(tmp_path / "out" / "out.safetensors"))
    assert same_bytes(converted, stored)


@pytest.mark.parametrize("there", [Scheme.WAN, Scheme.COMFYUI])
def test_a_transformer_comes_back_byte_by_byte(tmp_path: Path, there: Scheme) -> None:
    stored = save_transformer(tmp_path / "in", shard_bytes=10**6)
    write(tmp_path / "in", tmp_path / "there", there)
    path = tmp_path / "there"
    write(
        path / "there.safetensors" if there is Scheme.COMFYUI else path, tmp_path / "back", Scheme.DIFFUSERS
    )
    assert same_bytes(tensors_of(tmp_path / "back"), stored)


@pytest.mark.parametrize(
    ("card", "pipeline", "boundary"),
    [
        pytest.param(CARD, "WanPipeline", 0.875, id="text to video"),
        pytest.param(IMAGE_CARD, "WanImageToVideoPipeline", 0.9, id="image to video"),
    ],
)
def test_two_experts_of_comfyui_become_a_model_of_diffusers(
    tmp_path: Path, card: ModelCard, pipeline: str, boundary: float
) -> None:
    config = replace(SMALL, in_channels=card.transformer.in_channels)
    high = save_single(tmp_path / "in" / "diffusion_models" / "x_high_noise.safetensors", config, seed=1)
    low = save_single(tmp_path / "in" / "diffusion_models" / "x_low_noise.safetensors", config, seed=2)
    write(tmp_path / "in", tmp_path / "out", Scheme.DIFFUSERS)
    index = json.loads((tmp_path / "out" / "model_index.json").read_text())
    assert (index["_class_name"], index["boundary_ratio"]) == (pipeline, boundary)
    assert (index["transformer_2"], index["vae"]) == (["diffusers", "WanTransformer3DModel"], [None, None])
    for name, stored in (("transformer", high), ("transformer_2", low)):
        expected = convert_wan_transformer_to_diffusers(dict(stored))
        assert same_bytes(tensors_of(tmp_path / "out" / name), expected)
    absent = {"vae": None, "text_encoder": None, "tokenizer": None}
    stock = DiffusionPipeline.from_pretrained(tmp_path / "out", **absent)
    assert type(stock).__name__ == pipeline
    assert stock.transformer_2.config.in_channels == config.in_channels
    assert stock.scheduler.config.flow_shift == card.defaults.shift
    assert stock.scheduler.config.prediction_type == "flow_prediction"


@pytest.mark.parametrize(
    ("scheme", "files"),
    [
        pytest.param(
            Scheme.WAN,
            {
                f"{noise}_noise_model/{file}"
                for noise in ("high", "low")
                for file in ("config.json", "diffusion_pytorch_model.safetensors")
            },
            id="Wan",
        ),
        pytest.param(
            Scheme.COMFYUI,
            {f"diffusion_models/out_{noise}_noise.safetensors" for noise in ("high", "low")},
            id="ComfyUI",
        ),
    ],
)
def test_two_experts_of_diffusers_lie_where_the_program_looks(
    tmp_path: Path, scheme: Scheme, files: set[str]
) -> None:
    for name in ("transformer", "transformer_2"):
        save_transformer(tmp_path / "in" / name)
    write(tmp_path / "in", tmp_path / "out", scheme)
    out = tmp_path / "out"
    assert {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()} == files


def test_an_only_transformer_lies_in_the_root_for_wan(tmp_path: Path) -> None:
    save_transformer(tmp_path / "in" / "transformer")
    write(tmp_path / "in", tmp_path / "out", Scheme.WAN)
    assert (tmp_path / "out" / "diffusion_pytorch_model.safetensors").is_file()
    assert json.loads((tmp_path / "out" / "config.json").read_text())["_class_name"] == "WanModel"


def save_tiny_text_encoder(folder: Path, scheme: Scheme) -> dict[str, Tensor]:
    stored = draw(name_text_encoder(TINY_T5).shapes_in(scheme))
    extra = {VOCABULARY: torch.arange(5, dtype=torch.uint8)} if scheme is Scheme.COMFYUI else {}
    folder.mkdir(parents=True)
    save_file({**stored, **extra}, folder / "t5.safetensors")
    return stored


@pytest.mark.parametrize("scheme", [Scheme.WAN, Scheme.COMFYUI])
def test_transformers_loads_what_is_written_of_a_text_encoder(tmp_path: Path, scheme: Scheme) -> None:
    stored = save_tiny_text_encoder(tmp_path / "in", scheme)
    write(tmp_path / "in" / "t5.safetensors", tmp_path / "out", Scheme.DIFFUSERS)
    stock, told = UMT5EncoderModel.from_pretrained(tmp_path / "out", output_loading_info=True)
    assert not told["missing_keys"]
    assert not told["unexpected_keys"]
    assert stock.dtype == torch.bfloat16
    for name, old in name_text_encoder(TINY_T5).renaming(Scheme.DIFFUSERS, scheme).items():
        assert torch.equal(stock.state_dict()[name], stored[old]), name


def test_the_embedding_table_may_be_stored_under_either_name_or_both(tmp_path: Path) -> None:
    stored = save_tiny_text_encoder(tmp_path / "in", Scheme.DIFFUSERS)
    table = stored.pop("shared.weight")
    for title, names in {
        "other": ("encoder.embed_tokens",),
        "both": ("encoder.embed_tokens", "shared"),
    }.items():
        file = tmp_path / f"{title}.safetensors"
        save_file({**stored, **{f"{name}.weight": table.clone() for name in names}}, file)
        write(file, tmp_path / title, Scheme.DIFFUSERS)
        assert same_bytes(tensors_of(tmp_path / title), {**stored, "shared.weight": table})
    differing = {"shared.weight": table, "encoder.embed_tokens.weight": table + 1}
    save_file({**stored, **differing}, tmp_path / "bad.safetensors")
    with pytest.raises(IntegrityError, match="are one tensor, but differ"):
        write(tmp_path / "bad.safetensors", tmp_path / "bad", Scheme.DIFFUSERS)


def test_comfyuis_vocabulary_becomes_the_tokenizers_file(tmp_path: Path) -> None:
    save_single(tmp_path / "in" / "diffusion_models" / "x.safetensors")
    save_tiny_text_encoder(tmp_path / "in" / "text_encoders", Scheme.COMFYUI)
    write(tmp_path / "in", tmp_path / "out", Scheme.DIFFUSERS)
    assert (tmp_path / "out" / "tokenizer" / "spiece.model").read_bytes() == bytes(range(5))


@pytest.mark.parametrize("nested", [False, True], ids=["blocks in one list", "blocks in lists of lists"])
def test_diffusers_loads_what_is_written_of_a_vae(tmp_path: Path, nested: bool) -> None:
    config = {**NARROW, "is_residual": nested}
    AutoencoderKLWan(**config).to(torch.bfloat16).save_pretrained(tmp_path / "in")
    write(tmp_path / "in", tmp_path / "out", Scheme.DIFFUSERS)
    stored = tensors_of(tmp_path / "in")
    stock = AutoencoderKLWan.from_pretrained(tmp_path / "out", torch_dtype=torch.bfloat16)
    assert same_bytes(dict(stock.state_dict()), stored)


@pytest.mark.slow
def test_a_published_vae_goes_to_wan_and_comfyui_and_back(tmp_path: Path) -> None:
    named = name_vae({})
    stored = draw(named.shapes_in(Scheme.DIFFUSERS))
    save_file(stored, tmp_path / "vae.safetensors")
    write(tmp_path / "vae.safetensors", tmp_path / "wan", Scheme.WAN)
    loaded = torch.load(tmp_path / "wan" / "Wan2.1_VAE.pth", weights_only=True)
    assert same_bytes(
        {name: loaded[old] for name, old in zip(stored, named.names[Scheme.WAN], strict=True)}, stored
    )
    write(tmp_path / "vae.safetensors", tmp_path / "comfyui", Scheme.COMFYUI)
    write(tmp_path / "comfyui" / "comfyui.safetensors", tmp_path / "back", Scheme.DIFFUSERS)
    assert same_bytes(tensors_of(tmp_path / "back"), stored)
    assert (
        AutoencoderKLWan.load_config(tmp_path / "back")["latents_mean"]
        == AutoencoderKLWan().config.latents_mean
    )


def other_sizes(folder: Path) -> None:
    save_transformer(folder, replace(SMALL, text_dim=64))


def a_tiny_text_encoder(folder: Path) -> None:
    save_tiny_text_encoder(folder, Scheme.WAN)


def a_narrow_vae(folder: Path) -> None:
    AutoencoderKLWan(**NARROW).save_pretrained(folder)


def another_model(folder: Path) -> None:
    folder.mkdir()
    save_file({"lm_head.weight": torch.ones(1)}, folder / "model.safetensors")


def two_models(folder: Path) -> None:
    folder.mkdir()
    save_file(
        {"head.modulation": torch.ones(1), "scale_shift_table": torch.ones(1)}, folder / "m.safetensors"
    )


def a_pickled_vae(folder: Path) -> None:
    save_transformer(folder / "high_noise_model", scheme=Scheme.WAN)
    (folder / "Wan2.1_VAE.pth").write_bytes(b"\x80")


def two_files_for_one_part(folder: Path) -> None:
    for name in ("fp16", "bf16"):
        save_single(folder / "diffusion_models" / f"high_noise_{name}.safetensors")


def a_part_in_the_wrong_place(folder: Path) -> None:
    save_single(folder / "vae" / "x.safetensors")


def an_index_alone(folder: Path) -> None:
    folder.mkdir()
    (folder / "model_index.json").write_text("{}")


def integers(folder: Path) -> None:
    stored = save_transformer(folder)
    stored["proj_out.weight"] = stored["proj_out.weight"].to(torch.int8)
    save_file(stored, folder / "diffusion_pytorch_model.safetensors")


def a_file_of_no_published_width(folder: Path) -> None:
    save_transformer(folder, replace(SMALL, heads=4))
    (folder / "config.json").unlink()


def a_text_encoder_without_blocks(folder: Path) -> None:
    folder.mkdir()
    save_file({"encoder.final_layer_norm.weight": torch.ones(8)}, folder / "model.safetensors")


REFUSED: list[tuple[str, Callable[[Path], None], Scheme, type[WanError], str]] = [
    ("sizes that Wan fixes", other_sizes, Scheme.WAN, InvalidInput, "cannot hold text_dim 64, only 4096"),
    ("a text encoder that Wan has not", a_tiny_text_encoder, Scheme.WAN, InvalidInput, "umt5-xxl only"),
    ("a VAE that ComfyUI has not", a_narrow_vae, Scheme.COMFYUI, InvalidInput, "VAEs of Wan 2.1 and 2.2"),
    ("another model", another_model, Scheme.WAN, IntegrityError, "cannot tell what model it is of"),
    ("two schemes in one", two_models, Scheme.WAN, IntegrityError, "several schemes are mixed"),
    ("a pickle", a_pickled_vae, Scheme.DIFFUSERS, TrustRemoteCode, r"Wan2\.1_VAE\.pth: is a pickle"),
    ("two files for one part", two_files_for_one_part, Scheme.WAN, InvalidInput, "could both be"),
    ("no weights", an_index_alone, Scheme.WAN, ModelNotFound, "but there are no weights in it"),
    ("quantised", integers, Scheme.WAN, IntegrityError, "proj_out.weight is I8, not one of F64, F32"),
    ("heads untold", a_file_of_no_published_width, Scheme.WAN, IntegrityError, "for the widths 1536,"),
    ("no blocks", a_text_encoder_without_blocks, Scheme.WAN, IntegrityError, "tells a size, and it does not"),
    ("a part elsewhere", a_part_in_the_wrong_place, Scheme.WAN, IntegrityError, "where a vae should be"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("fill", "scheme", "error", "told"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED]
)
def test_what_cannot_be_written_is_refused_and_nothing_is_left(
    tmp_path: Path, fill: Callable[[Path], None], scheme: Scheme, error: type[WanError], told: str
) -> None:
    fill(tmp_path / "in")
    with pytest.raises(error, match=told):
        write(tmp_path / "in", tmp_path / "out", scheme)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_a_file_beside_its_config_is_not_read_without_it(tmp_path: Path) -> None:
    save_transformer(tmp_path / "in", replace(SMALL, heads=4))
    with pytest.raises(IntegrityError, match=r"and this is 128 wide; name the folder .*/in, which has one"):
        write(tmp_path / "in" / "diffusion_pytorch_model.safetensors", tmp_path / "out", Scheme.DIFFUSERS)


@pytest.mark.parametrize("target", ["in/out", "in/tokenizer/out", "link/out"])
def test_nothing_is_written_into_what_is_read(tmp_path: Path, target: str) -> None:
    """A copy of the tokenizer would hold itself, and so on without end."""
    save_transformer(tmp_path / "in" / "transformer")
    (tmp_path / "in" / "tokenizer").mkdir()
    (tmp_path / "link").symlink_to("in")
    with pytest.raises(InvalidInput, match=r"lies within .*; name a place outside of it"):
        write(tmp_path / "in", tmp_path / target, Scheme.DIFFUSERS)
    assert sorted(path.name for path in (tmp_path / "in").rglob("*out*")) == []


def test_experts_of_no_catalogue_model_are_converted_one_by_one_only(tmp_path: Path) -> None:
    save_single(tmp_path / "in" / "diffusion_models" / "x_high_noise.safetensors")
    with pytest.raises(InvalidInput, match="convert the parts one by one"):
        write(tmp_path / "in", tmp_path / "out", Scheme.DIFFUSERS, tuple(MODELS.values()))
