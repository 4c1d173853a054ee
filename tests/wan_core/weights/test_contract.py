"""At true sizes, the names and shapes that we write are those that the programs' own classes have.

diffusers and transformers are asked on the meta device, and diffusers' own converters translate Wan's names.
Of Wan's classes a digest is kept: of `WanModel`, `T5Encoder` and `WanVAE_` of both versions, built on the
meta device from Wan-Video/Wan2.2 at 42bf4cf (wan/modules) with the arguments of wan/configs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKLWan, WanTransformer3DModel
from diffusers.loaders.single_file_utils import (
    convert_wan_transformer_to_diffusers,
    convert_wan_vae_to_diffusers,
)
from transformers import UMT5EncoderModel

from tests.wan_core.weights.models import meta, shapes_in
from wan_core.catalog.models import MODELS
from wan_core.weights.configs import config_of, write_config
from wan_core.weights.schemes import Scheme
from wan_core.weights.shards import Shape
from wan_core.weights.text_encoder import TIED, XXL, name_text_encoder
from wan_core.weights.transformer_names import shapes_of
from wan_core.weights.vae import WAN_21, WAN_22, name_vae

WAN_MODEL = {
    "t2v-A14B": "7ca52b13faf083dcb17dd2de5b34a0ec72db782ec816192b9c40543a40ae3186",
    "i2v-A14B": "9dc5a4e7268a050f3708609791596e50ae93d7324592636d21090c51cb71baec",
    "ti2v-5B": "e6aa5b3ad491053717cbb3af607b9d9e6e22e91bb0ae32a0c41eaeccba85787b",
    "t2v-1.3B": "83f3237464a545f01585d3aab2efa8ec4333b7b9d73d329aa5aaa4d1a861e223",
}
WAN_VAES = {
    "2.1": (WAN_21, "6d12bd5199d9dcd5b316dbc98c72a68be03e0ac320eb14a4ccd3b5a7bac04ca8"),
    "2.2": (WAN_22, "d6eb318580d7756b4a0e2187642cbff278616b7e3d4580d041014a424ab0911e"),
}
T5_ENCODER = "d6379851fe159f731ef389ae07835eb08fa89ec5d66c040b0d37ac466279d11b"
CATALOGUE = [card.id for card in MODELS.values() if not card.cannot_run]


def digest(shapes: Mapping[str, Shape]) -> str:
    lines = "\n".join(f"{name} {list(shape)}" for name, shape in sorted(shapes.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def stock_transformer(model: str) -> dict[str, Shape]:
    with torch.device("meta"):
        stock = WanTransformer3DModel.from_config(write_config(config_of(MODELS[model])))
    return shapes_in(stock.state_dict())


@pytest.mark.parametrize("model", CATALOGUE)
def test_a_transformer_is_named_and_shaped_as_diffusers_class_has_it(model: str) -> None:
    assert shapes_of(config_of(MODELS[model]), Scheme.DIFFUSERS) == stock_transformer(model)


@pytest.mark.parametrize("scheme", [Scheme.WAN, Scheme.COMFYUI])
@pytest.mark.parametrize("model", CATALOGUE)
def test_diffusers_converter_makes_its_class_names_of_ours(model: str, scheme: Scheme) -> None:
    converted = convert_wan_transformer_to_diffusers(meta(shapes_of(config_of(MODELS[model]), scheme)))
    assert shapes_in(converted) == stock_transformer(model)


@pytest.mark.parametrize("model", WAN_MODEL)
def test_a_transformer_is_named_and_shaped_as_wans_class_has_it(model: str) -> None:
    assert digest(shapes_of(config_of(MODELS[model]), Scheme.WAN)) == WAN_MODEL[model]


def test_the_text_encoder_is_named_and_shaped_as_transformers_class_has_it() -> None:
    with torch.device("meta"):
        stock = shapes_in(UMT5EncoderModel(XXL).state_dict())
    named = name_text_encoder(XXL)
    assert {**named.shapes_in(Scheme.DIFFUSERS), **{name: stock[name] for name in TIED}} == stock
    assert named.shapes_in(Scheme.COMFYUI) == named.shapes_in(Scheme.DIFFUSERS)


def test_the_text_encoder_is_named_and_shaped_as_wans_class_has_it() -> None:
    assert digest(name_text_encoder(XXL).shapes_in(Scheme.WAN)) == T5_ENCODER


@pytest.mark.parametrize("version", WAN_VAES)
def test_a_vae_is_named_and_shaped_as_diffusers_class_has_it(version: str) -> None:
    config, _ = WAN_VAES[version]
    with torch.device("meta"):
        stock = AutoencoderKLWan(**config)
    assert name_vae(config).shapes_in(Scheme.DIFFUSERS) == shapes_in(stock.state_dict())


@pytest.mark.parametrize("version", WAN_VAES)
def test_a_vae_is_named_and_shaped_as_wans_class_has_it(version: str) -> None:
    config, expected = WAN_VAES[version]
    named = name_vae(config)
    assert digest(named.shapes_in(Scheme.WAN)) == expected
    assert named.shapes_in(Scheme.COMFYUI) == named.shapes_in(Scheme.WAN)


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(WAN_21, id="as published"),
        pytest.param({"base_dim": 8}, id="narrow"),
    ],
)
def test_diffusers_converter_makes_its_class_names_of_a_vae_of_ours(config: dict[str, Any]) -> None:
    named = name_vae(config)
    converted = convert_wan_vae_to_diffusers(meta(named.shapes_in(Scheme.WAN)))
    assert shapes_in(converted) == named.shapes_in(Scheme.DIFFUSERS)


@pytest.mark.parametrize("model", CATALOGUE)
def test_the_catalogues_vae_has_names_in_every_scheme(model: str) -> None:
    card = MODELS[model].vae
    nested = card.base_dim != card.decoder_base_dim
    sizes = {"base_dim": card.base_dim, "decoder_base_dim": card.decoder_base_dim, "z_dim": card.z_channels}
    named = name_vae({**sizes, "is_residual": nested})
    for scheme in Scheme:
        assert len(set(named.names[scheme])) == len(named.shapes)
