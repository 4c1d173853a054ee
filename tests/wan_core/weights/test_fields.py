"""Fields of configs that nothing can be built of: each is told with its value and what it may be."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from transformers import UMT5Config

from wan_core.errors import IntegrityError
from wan_core.weights.configs import read_config
from wan_core.weights.fields import building, check_number, count_layers
from wan_core.weights.text_encoder import BLOCK, build_text_encoder, read_text_encoder_config
from wan_core.weights.vae import read_vae_config

WAN, DIFFUSERS = {"_class_name": "WanModel"}, {"_class_name": "WanTransformer3DModel"}


@pytest.mark.parametrize(
    ("data", "told"),
    [
        pytest.param(DIFFUSERS | {"num_attention_heads": 0}, "num_attention_heads is 0, not a whole", id="0"),
        pytest.param(DIFFUSERS | {"num_attention_heads": True}, "num_attention_heads is true", id="boolean"),
        pytest.param(DIFFUSERS | {"ffn_dim": 64.0}, "ffn_dim is 64.0, not a whole number", id="a fraction"),
        pytest.param(DIFFUSERS | {"text_dim": None}, "text_dim is null, not a whole number", id="null"),
        pytest.param(DIFFUSERS | {"num_layers": 10**9}, "num_layers is 1000000000, not", id="layers"),
        pytest.param(DIFFUSERS | {"in_channels": 10**99}, "a number of more than 80 digits", id="huge"),
        pytest.param(
            DIFFUSERS | {"num_attention_heads": 2**20, "attention_head_dim": 2**20},
            "its width is",
            id="width",
        ),
        pytest.param(DIFFUSERS | {"patch_size": [2, 2]}, "patch_size is [2, 2], not a list of 3", id="patch"),
        pytest.param(DIFFUSERS | {"patch_size": [1, 2, "2"]}, 'patch_size[2] is "2"', id="in a list"),
        pytest.param(DIFFUSERS | {"patch_size": "122"}, 'patch_size is "122", not a list', id="text"),
        pytest.param(
            DIFFUSERS | {"freq_dim": 15}, "freq_dim is 15, which is not even; nearest: 16", id="odd"
        ),
        pytest.param(DIFFUSERS | {"eps": "1e-6"}, 'eps is "1e-6", not a number from 0 to 1', id="eps"),
        pytest.param(DIFFUSERS | {"cross_attn_norm": "no"}, 'cross_attn_norm is "no", not true', id="a flag"),
        pytest.param(WAN | {"num_heads": "16"}, 'num_heads is "16", not a whole number', id="Wan's"),
        pytest.param({"_class_name": ["WanModel"]}, "is for ['WanModel'], not", id="a class that is a list"),
    ],
)
def test_a_transformers_config_that_cannot_be_is_refused(data: dict[str, Any], told: str) -> None:
    with pytest.raises(IntegrityError, match=f"^config.json: .*{re.escape(told)}"):
        read_config(data)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        pytest.param({"z_dim": "16"}, 'z_dim is "16", not a whole number from 1 to 16384', id="text"),
        pytest.param({"num_res_blocks": 10**9}, "num_res_blocks is 1000000000", id="too many"),
        pytest.param({"dim_mult": []}, "dim_mult is [], not a list of whole numbers", id="no level"),
        pytest.param({"temperal_downsample": [True]}, "temperal_downsample is [true], not 3", id="levels"),
        pytest.param({"latents_mean": [1.0]}, "latents_mean is a list of 1, not a list of 16", id="too few"),
        pytest.param({"latents_std": [float("nan")] * 16}, "latents_std[0] is NaN, not a number", id="NaN"),
        pytest.param({"latents_std": [float("inf")] * 16}, "latents_std[0] is Infinity", id="infinite"),
        pytest.param({"scale_factor_spatial": 16}, "is 16, but the VAE's levels make 8", id="contradiction"),
        pytest.param({"is_residual": "no"}, 'is_residual is "no", not true or false', id="a flag"),
        pytest.param(
            {"_class_name": "AutoencoderKL"}, "is for AutoencoderKL, not AutoencoderKLWan", id="class"
        ),
    ],
)
def test_a_vaes_config_that_cannot_be_is_refused(tmp_path: Path, fields: dict[str, Any], told: str) -> None:
    (tmp_path / "vae").mkdir()
    (tmp_path / "vae" / "config.json").write_text(json.dumps({"_class_name": "AutoencoderKLWan", **fields}))
    with pytest.raises(IntegrityError, match=f"^vae/config.json: .*{re.escape(told)}"):
        read_vae_config(tmp_path / "vae")


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        pytest.param({"num_layers": 10**9}, "num_layers is 1000000000, not a whole number", id="layers"),
        pytest.param({"d_model": "64"}, 'd_model is "64", not a whole number', id="text"),
        pytest.param({"feed_forward_proj": "fnord-fnord-fnord"}, "fnord", id="no such activation"),
        pytest.param({"model_type": "t5"}, "is for t5, not umt5", id="another class"),
    ],
)
def test_a_text_encoders_config_that_cannot_be_is_refused(
    tmp_path: Path, fields: dict[str, Any], told: str
) -> None:
    (tmp_path / "t5").mkdir()
    (tmp_path / "t5" / "config.json").write_text(json.dumps({**UMT5Config().to_dict(), **fields}))
    with pytest.raises(IntegrityError, match=f"^t5/config.json: .*{told}"):
        read_text_encoder_config(tmp_path / "t5")


def test_what_a_class_of_others_says_to_a_config_is_told_in_one_line() -> None:
    with pytest.raises(IntegrityError, match=r"^text_encoder/config\.json: .*fnord.*$"):
        build_text_encoder(UMT5Config(feed_forward_proj="gated-fnord", num_layers=1))
    with pytest.raises(IntegrityError, match=r"^x: ZeroDivisionError$|^x: .*zero$"), building("x"):
        1 // 0  # noqa: B018


@pytest.mark.parametrize("value", [float("nan"), True, None, "1", -0.1, 1.1])
def test_what_is_no_number_between_0_and_1_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"share is .*, not a number from 0 to 1"):
        check_number("share", value, 0, 1)


@pytest.mark.parametrize("number", ["1000", "9" * 5000])
def test_names_of_more_blocks_than_any_model_has_are_refused(number: str) -> None:
    with pytest.raises(IntegrityError, match=r"one: .* is of a block beyond the 1000th"):
        count_layers([f"blocks.{number}.norm3.weight"], BLOCK, "one")
    assert count_layers(["blocks.999.norm3.weight", "x"], BLOCK, "one") == 1000
    assert count_layers(["x"], BLOCK, "one") == 0
