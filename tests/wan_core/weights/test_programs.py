"""The files of each program: where they lie, what is in them besides weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import UMT5Config

from tests.wan_core.weights.models import draw, same_bytes
from wan_core.catalog.models import MODELS
from wan_core.errors import InvalidInput
from wan_core.weights.layout import Found
from wan_core.weights.parts import Part, identify_part
from wan_core.weights.programs import build_index, destination, read_vocabulary, write_part
from wan_core.weights.schemes import Scheme
from wan_core.weights.text_encoder import VOCABULARY, name_text_encoder

TINY = UMT5Config(vocab_size=9, d_model=8, d_kv=4, d_ff=6, num_layers=2, num_heads=3)


@pytest.fixture
def encoder(tmp_path: Path) -> Part:
    """A text encoder in transformers' names, the tokenizer's folder beside it."""
    folder = tmp_path / "model" / "text_encoder"
    folder.mkdir(parents=True)
    save_file(draw(name_text_encoder(TINY).shapes_in(Scheme.DIFFUSERS)), folder / "model.safetensors")
    TINY.save_pretrained(folder)
    (tmp_path / "model" / "tokenizer").mkdir()
    (tmp_path / "model" / "tokenizer" / "spiece.model").write_bytes(b"pieces")
    return identify_part(folder)


def stored_in(part: Part, scheme: Scheme) -> dict[str, torch.Tensor]:
    stored = load_file(part.path / "model.safetensors")
    return {new: stored[old] for old, new in part.named.renaming(Scheme.DIFFUSERS, scheme).items()}


def test_wan_gets_the_text_encoder_as_torch_load_reads_it(tmp_path: Path, encoder: Part) -> None:
    write_part(encoder, Scheme.WAN, tmp_path / "out", "text_encoder")
    loaded = torch.load(tmp_path / "out" / "models_t5_umt5-xxl-enc-bf16.pth", weights_only=True)
    assert same_bytes(loaded, stored_in(encoder, Scheme.WAN))


def test_comfyui_gets_the_text_encoder_with_its_vocabulary(tmp_path: Path, encoder: Part) -> None:
    write_part(encoder, Scheme.COMFYUI, tmp_path / "out", "umt5")
    written = load_file(tmp_path / "out" / "umt5.safetensors")
    assert written.pop(VOCABULARY).numpy().tobytes() == b"pieces"
    assert same_bytes(written, stored_in(encoder, Scheme.COMFYUI))
    again = identify_part(tmp_path / "out" / "umt5.safetensors")
    assert (again.scheme, bytes(read_vocabulary(again).tolist())) == (Scheme.COMFYUI, b"pieces")


def test_without_a_vocabulary_comfyui_gets_no_text_encoder(tmp_path: Path, encoder: Part) -> None:
    (tmp_path / "model" / "tokenizer" / "spiece.model").unlink()
    with pytest.raises(InvalidInput, match=r"ComfyUI keeps spiece\.model with the text encoder"):
        write_part(encoder, Scheme.COMFYUI, tmp_path / "out", "umt5")


@pytest.mark.parametrize(
    ("scheme", "two", "places"),
    [
        pytest.param(
            Scheme.DIFFUSERS,
            True,
            [
                "transformer/transformer",
                "transformer_2/transformer_2",
                "vae/vae",
                "text_encoder/text_encoder",
            ],
            id="diffusers",
        ),
        pytest.param(
            Scheme.WAN,
            True,
            ["high_noise_model/transformer", "low_noise_model/transformer_2", "/vae", "/text_encoder"],
            id="Wan, two experts",
        ),
        pytest.param(Scheme.WAN, False, ["/transformer"], id="Wan, one transformer"),
        pytest.param(
            Scheme.COMFYUI,
            True,
            [
                "diffusion_models/my_high_noise",
                "diffusion_models/my_low_noise",
                "vae/my_vae",
                "text_encoders/my_text_encoder",
            ],
            id="ComfyUI, two experts",
        ),
        pytest.param(
            Scheme.COMFYUI, False, ["diffusion_models/my_transformer"], id="ComfyUI, one transformer"
        ),
    ],
)
def test_each_part_has_its_place(tmp_path: Path, scheme: Scheme, two: bool, places: list[str]) -> None:
    names = (
        ["transformer", "transformer_2", "vae", "text_encoder"] if two or len(places) > 1 else ["transformer"]
    )
    model = Found(tmp_path, Scheme.DIFFUSERS, {}, two, None)
    assert ["/".join(destination(name, scheme, "my", model)) for name in names] == places


@pytest.mark.parametrize(
    ("model", "pipeline", "boundary", "expand"),
    [
        pytest.param("t2v-A14B", "WanPipeline", 0.875, False, id="text to video"),
        pytest.param("i2v-A14B", "WanImageToVideoPipeline", 0.9, False, id="image to video"),
        pytest.param("ti2v-5B", "WanPipeline", None, True, id="both in one"),
    ],
)
def test_the_index_is_that_of_the_catalogues_model(
    model: str, pipeline: str, boundary: float | None, expand: bool
) -> None:
    index = build_index(MODELS[model], ["transformer", "scheduler"])
    assert (index["_class_name"], index["boundary_ratio"], index["expand_timesteps"]) == (
        pipeline,
        boundary,
        expand,
    )
    assert index["transformer"] == ["diffusers", "WanTransformer3DModel"]
    assert index["transformer_2"] == [None, None]
