"""config.json read and written: what a class says is what we say, and what it cannot say is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from diffusers import WanTransformer3DModel

from tests.wan_core.weights.models import SMALL
from wan_core.catalog.models import MODELS
from wan_core.errors import IntegrityError, InvalidInput
from wan_core.model.config import TransformerConfig
from wan_core.weights.configs import check_fits, config_of, read_config, write_config
from wan_core.weights.schemes import Scheme


@pytest.mark.parametrize("model", MODELS)
def test_a_catalogue_model_is_read_back_from_diffusers_config(model: str) -> None:
    config = config_of(MODELS[model])
    assert read_config(write_config(config)) == config


def test_what_a_config_leaves_out_is_as_diffusers_class_has_it() -> None:
    empty = read_config({"_class_name": "WanTransformer3DModel"})
    assert empty == config_of(MODELS["t2v-A14B"])
    stock = WanTransformer3DModel._get_init_keys(WanTransformer3DModel)
    assert write_config(empty).keys() - {"_class_name"} == stock - {"self"}


@pytest.mark.parametrize("model", ["t2v-A14B", "i2v-A14B", "ti2v-5B", "t2v-1.3B"])
def test_a_published_model_is_read_back_from_wans_config(model: str) -> None:
    config = config_of(MODELS[model])
    written = write_config(config, Scheme.WAN)
    assert read_config(written) == config
    assert written["model_type"] == model.partition("-")[0]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        pytest.param({"_class_name": "FluxTransformer2DModel"}, "is for FluxTransformer2DModel", id="class"),
        pytest.param({}, "is for None", id="no class"),
        pytest.param({"_class_name": "WanTransformer3DModel", "image_dim": 1280}, "CLIP", id="CLIP"),
        pytest.param(
            {"_class_name": "WanTransformer3DModel", "attention_head_dim": 7}, "heads of an even", id="odd"
        ),
        pytest.param({"_class_name": "WanModel", "dim": "wide"}, "config.json: ", id="no number"),
    ],
)
def test_a_config_that_is_not_built_here_is_refused(data: dict[str, Any], told: str) -> None:
    with pytest.raises(IntegrityError, match=told):
        read_config(data)


@pytest.mark.parametrize(
    ("config", "fits"),
    [
        pytest.param(SMALL, {*Scheme}, id="all sizes as published"),
        pytest.param(replace(SMALL, heads=2), {Scheme.DIFFUSERS, Scheme.WAN}, id="heads of 64"),
        pytest.param(replace(SMALL, text_dim=64), {Scheme.DIFFUSERS}, id="another text encoder"),
        pytest.param(replace(SMALL, freq_dim=64), {Scheme.DIFFUSERS, Scheme.WAN}, id="frequencies"),
        pytest.param(replace(SMALL, cross_attn_norm=False), {Scheme.DIFFUSERS}, id="no cross-attention norm"),
        pytest.param(replace(SMALL, qk_norm=False), set(), id="no norm of q and k"),
        pytest.param(replace(SMALL, patch=(1, 1, 1)), {Scheme.DIFFUSERS}, id="another patch"),
    ],
)
def test_what_a_program_cannot_build_is_not_written_for_it(
    config: TransformerConfig, fits: set[Scheme]
) -> None:
    refused = set()
    for scheme in Scheme:
        try:
            check_fits(config, scheme)
        except InvalidInput:
            refused.add(scheme)
    assert {*Scheme} - refused == fits
