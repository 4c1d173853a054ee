"""Text encoder and VAE are, bit by bit, what transformers and diffusers make of the same files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKLWan
from safetensors.torch import load_file, save_file
from transformers import UMT5Config, UMT5EncoderModel

from tests.wan_core.pipeline.models import NARROW_VAE, VAE, WIDE_VAE
from tests.wan_core.weights.models import same_bytes
from wan_core.errors import IntegrityError
from wan_core.weights.modules import load_module
from wan_core.weights.text_encoder import TIED, build_text_encoder, read_text_encoder_config
from wan_core.weights.vae import build_vae, read_vae_config

DTYPES = [torch.float32, torch.bfloat16, torch.float16]
(ALIAS, NAME) = next(iter(TIED.items()))


@pytest.fixture
def encoder_folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    config = UMT5Config(vocab_size=40, d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2)
    UMT5EncoderModel(config).to(torch.bfloat16).save_pretrained(
        tmp_path / "text_encoder", max_shard_size=2000
    )
    return tmp_path / "text_encoder"


def load_encoder(folder: Path, dtype: torch.dtype = torch.float32) -> UMT5EncoderModel:
    encoder = build_text_encoder(read_text_encoder_config(folder))
    return load_module(encoder, folder, dtype=dtype, device="cpu", aliases=TIED)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_text_encoder_is_transformers_own(encoder_folder: Path, dtype: torch.dtype) -> None:
    theirs = UMT5EncoderModel.from_pretrained(encoder_folder, dtype=dtype).eval()
    ours = load_encoder(encoder_folder, dtype)
    assert same_bytes(ours.state_dict(), theirs.state_dict())
    tokens = torch.arange(12).view(1, 12)
    with torch.no_grad():
        assert torch.equal(ours(tokens).last_hidden_state, theirs(tokens).last_hidden_state)
    assert not any(parameter.requires_grad for parameter in ours.parameters())


@pytest.mark.parametrize("extra", [NARROW_VAE, WIDE_VAE], ids=["as Wan 2.1", "as Wan 2.2"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_vae_is_diffusers_own(tmp_path: Path, dtype: torch.dtype, extra: dict[str, Any]) -> None:
    torch.manual_seed(0)
    AutoencoderKLWan(**VAE, **extra).to(torch.bfloat16).save_pretrained(tmp_path / "vae")
    theirs = AutoencoderKLWan.from_pretrained(tmp_path / "vae", torch_dtype=dtype).eval()
    ours = load_module(
        build_vae(read_vae_config(tmp_path / "vae")), tmp_path / "vae", dtype=dtype, device="cpu"
    )
    assert same_bytes(ours.state_dict(), theirs.state_dict())
    latents = torch.randn(1, extra["z_dim"], 2, 2, 2).to(dtype)
    with torch.no_grad():
        assert torch.equal(ours.decode(latents).sample, theirs.decode(latents).sample)


def store(folder: Path, **tables: float) -> None:
    """The embedding table under these names, each with a number added."""
    state: dict[str, torch.Tensor] = {}
    for file in sorted(folder.glob("*.safetensors")):
        state |= load_file(file)
        file.unlink()
    (folder / "model.safetensors.index.json").unlink()
    table = state.pop(NAME)
    names = {"alias": ALIAS, "name": NAME}
    save_file(
        {**state, **{names[key]: table + more for key, more in tables.items()}}, folder / "m.safetensors"
    )


@pytest.mark.parametrize("tables", [{"name": 0}, {"alias": 0}, {"name": 0, "alias": 0}], ids=" and ".join)
def test_the_table_of_two_names_is_one_parameter(encoder_folder: Path, tables: dict[str, float]) -> None:
    expected = load_encoder(encoder_folder).get_parameter(NAME)
    store(encoder_folder, **tables)
    encoder = load_encoder(encoder_folder)
    assert encoder.get_parameter(ALIAS) is encoder.get_parameter(NAME)
    assert torch.equal(encoder.get_parameter(NAME), expected)


def test_two_tables_that_differ_are_refused(encoder_folder: Path) -> None:
    store(encoder_folder, name=0, alias=1)
    with pytest.raises(IntegrityError, match=f"{ALIAS} and {NAME} are one tensor, but differ"):
        load_encoder(encoder_folder)


def test_a_table_that_is_not_stored_is_missing(encoder_folder: Path) -> None:
    store(encoder_folder)
    with pytest.raises(IntegrityError, match="is missing"):
        load_encoder(encoder_folder)
