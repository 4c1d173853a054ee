"""State dicts to ours and back, and files to a model that is ready to run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import WanTransformer3DModel
from safetensors.torch import save_file

from tests.wan_core.weights.models import SMALL, draw, same_bytes, save_single, save_transformer
from wan_core.errors import IntegrityError, Interrupted, WanError
from wan_core.model.config import TransformerConfig
from wan_core.model.rope import build_rope
from wan_core.model.transformer import WanTransformer, stays_fp32
from wan_core.weights.schemes import Scheme
from wan_core.weights.transformer import from_ours, load_transformer, to_ours
from wan_core.weights.transformer_names import shapes_of

OTHER_HEADS = replace(SMALL, heads=4, text_dim=32)


def load(path: Path, dtype: torch.dtype = torch.bfloat16) -> WanTransformer:
    return load_transformer(path, dtype=dtype, device="cpu")


@pytest.mark.parametrize("shard_bytes", [None, 10**6], ids=["in one file", "in shards"])
@pytest.mark.parametrize("scheme", [Scheme.DIFFUSERS, Scheme.WAN])
def test_a_folder_loads_as_its_config_says(tmp_path: Path, scheme: Scheme, shard_bytes: int | None) -> None:
    stored = save_transformer(tmp_path / "t", SMALL, scheme, shard_bytes=shard_bytes)
    model = load(tmp_path / "t")
    assert model.config == SMALL
    ours = to_ours(stored, SMALL, scheme)
    assert model.state_dict().keys() == ours.keys()
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor.bfloat16(), ours[name]), name


def test_a_single_file_without_config_loads_by_its_shapes(tmp_path: Path) -> None:
    stored = save_single(tmp_path / "one.safetensors")
    model = load(tmp_path / "one.safetensors")
    assert model.config == SMALL
    assert torch.equal(model.text_in.weight, stored["model.diffusion_model.text_embedding.0.weight"])


def test_a_folder_loads_what_diffusers_loads_from_it(tmp_path: Path) -> None:
    save_transformer(tmp_path / "t", OTHER_HEADS)
    stock = WanTransformer3DModel.from_pretrained(tmp_path / "t", torch_dtype=torch.float32).eval()
    model = load(tmp_path / "t", torch.float32)
    latents, text = torch.randn(1, 16, 1, 4, 4), torch.randn(1, 8, 32)
    with torch.no_grad():
        expected = stock(latents, torch.tensor([500.0]), text).sample
        rope = build_rope((1, 2, 2), model.config.head_dim)
        found = model(latents, torch.tensor([[500.0]]), model.prepare_text(text), rope)
    assert torch.linalg.norm(found - expected) <= 1e-5 * torch.linalg.norm(expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32], ids=str)
def test_what_fp32_names_stays_float32_and_the_rest_is_of_the_dtype_asked_for(
    tmp_path: Path, dtype: torch.dtype
) -> None:
    save_transformer(tmp_path / "t")
    for name, parameter in load(tmp_path / "t", dtype).named_parameters():
        kept = stays_fp32(name)
        assert parameter.dtype == (torch.float32 if kept else dtype), name
        assert not parameter.requires_grad


def test_loading_draws_no_random_number_and_leaves_nothing_on_meta(tmp_path: Path) -> None:
    save_transformer(tmp_path / "t")
    before = torch.get_rng_state()
    model = load(tmp_path / "t")
    assert torch.equal(torch.get_rng_state(), before)
    assert {tensor.device.type for tensor in model.state_dict().values()} == {"cpu"}


@pytest.mark.parametrize(
    "variant",
    [
        pytest.param({"qk_norm": False}, id="no norm of q and k"),
        pytest.param({"cross_attn_norm": False}, id="no norm before cross-attention"),
        pytest.param({"qk_norm": False, "cross_attn_norm": False}, id="neither"),
    ],
)
def test_a_variant_is_seen_from_the_names(tmp_path: Path, variant: dict[str, bool]) -> None:
    config = replace(SMALL, **variant)
    save_single(tmp_path / "one.safetensors", config)
    assert load(tmp_path / "one.safetensors").config == config


def test_reading_is_counted_in_bytes_and_can_be_stopped(tmp_path: Path) -> None:
    save_transformer(tmp_path / "t")
    seen: list[tuple[int, int]] = []

    def tick(done: int, total: int) -> None:
        seen.append((done, total))
        if len(seen) == 3:
            raise Interrupted("stop")

    with pytest.raises(Interrupted):
        load_transformer(tmp_path / "t", dtype=torch.bfloat16, device="cpu", tick=tick)
    assert [total for _, total in seen] == [seen[0][1]] * 3
    assert 0 < seen[0][0] < seen[1][0] < seen[2][0] < seen[0][1]


def drop(state: dict[str, torch.Tensor]) -> None:
    del state["blocks.1.attn1.to_k.weight"]


def misspell(state: dict[str, torch.Tensor]) -> None:
    state["blocks.1.attn1.to_x.weight"] = state.pop("blocks.1.attn1.to_k.weight")


def cut(state: dict[str, torch.Tensor]) -> None:
    state["blocks.0.ffn.net.2.weight"] = state["blocks.0.ffn.net.2.weight"][:, :32].contiguous()


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        pytest.param(drop, r"blocks\.1\.attn1\.to_k\.weight \[128, 128\] is missing", id="missing"),
        pytest.param(misspell, r"nearest: blocks\.1\.attn1\.to_x\.weight \[128, 128\]", id="misspelt"),
        pytest.param(cut, r"blocks\.0\.ffn\.net\.2\.weight is \[128, 32\], not \[128, 64\]", id="misshapen"),
    ],
)
def test_a_file_that_is_not_whole_is_refused_by_name(
    tmp_path: Path, spoil: Callable[[dict[str, torch.Tensor]], None], told: str
) -> None:
    stored = save_transformer(tmp_path / "t")
    spoil(stored)
    save_file(stored, tmp_path / "t" / "diffusion_pytorch_model.safetensors")
    with pytest.raises(IntegrityError, match=told):
        load(tmp_path / "t")


@pytest.mark.parametrize(
    ("config", "told"),
    [
        pytest.param(replace(SMALL, dim=192, heads=2), "multiples of 128 only", id="heads"),
        pytest.param(
            replace(SMALL, layers=0), r"told by .*blocks\.0\.ffn\.0\.weight, which is missing", id="no block"
        ),
    ],
)
def test_a_file_that_tells_no_config_is_refused(tmp_path: Path, config: TransformerConfig, told: str) -> None:
    save_file(draw(shapes_of(config, Scheme.COMFYUI)), tmp_path / "one.safetensors")
    with pytest.raises(WanError, match=told):
        load(tmp_path / "one.safetensors")


@pytest.mark.parametrize("scheme", Scheme)
def test_a_round_trip_keeps_every_byte(scheme: Scheme) -> None:
    state = draw(shapes_of(SMALL, scheme))
    assert same_bytes(from_ours(to_ours(state, SMALL, scheme), SMALL, scheme), state)


def test_parts_of_different_dtypes_are_not_joined() -> None:
    state = draw(shapes_of(SMALL, Scheme.WAN))
    state["blocks.0.self_attn.k.bias"] = state["blocks.0.self_attn.k.bias"].float()
    with pytest.raises(IntegrityError, match=r"self_attention\.qkv\.bias: its parts are torch\.bfloat16 and"):
        to_ours(state, SMALL, Scheme.WAN)
