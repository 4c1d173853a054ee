"""umT5's key table: transformers' names and Wan's. ComfyUI has transformers', and the vocabulary with them.

Not covered: encoders whose blocks share one table of relative positions (T5 itself).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from transformers import UMT5Config, UMT5EncoderModel

from wan_core.errors import IntegrityError, InvalidInput
from wan_core.weights.fields import CONFIG_ADVICE, LAYERS_MAX, building, checking, count_layers, read_size
from wan_core.weights.named import Named
from wan_core.weights.schemes import Scheme, detect_scheme, spell
from wan_core.weights.shards import Shape, read_json

TABLE = (  # transformers, Wan
    ("shared.weight", "token_embedding.weight"),
    ("encoder.block.*.layer.0.layer_norm.weight", "blocks.*.norm1.weight"),
    ("encoder.block.*.layer.0.SelfAttention.{q,k,v,o}.weight", "blocks.*.attn.{q,k,v,o}.weight"),
    (
        "encoder.block.*.layer.0.SelfAttention.relative_attention_bias.weight",
        "blocks.*.pos_embedding.embedding.weight",
    ),
    ("encoder.block.*.layer.1.layer_norm.weight", "blocks.*.norm2.weight"),
    ("encoder.block.*.layer.1.DenseReluDense.{wi_0,wi_1,wo}.weight", "blocks.*.ffn.{gate.0,fc1,fc2}.weight"),
    ("encoder.final_layer_norm.weight", "norm.weight"),
)
TIED = {"encoder.embed_tokens.weight": "shared.weight"}
ALIAS = {name: alias for alias, name in TIED.items()}
"""The embedding table has two names; files may store either, or both."""

VOCABULARY = "spiece_model"
"""ComfyUI's tensor of bytes: the sentencepiece file."""

BLOCK = re.compile(r"\bblocks?\.(\d+)\.")

SIZES = ("vocab_size", "d_model", "d_kv", "d_ff", "num_heads", "relative_attention_num_buckets")

XXL = UMT5Config(vocab_size=256384, d_model=4096, d_kv=64, d_ff=10240, num_layers=24, num_heads=64)
"""google/umt5-xxl, the only one that Wan and ComfyUI build: wan/modules/t5.py (umt5_xxl) at 42bf4cf."""


def identify_text_encoder(found: Mapping[str, Shape], path: Path) -> tuple[Scheme, UMT5Config, Named]:
    """Scheme, config and names of stored tensors; without a config.json their shapes tell the sizes.

    Raises IntegrityError if they are of no scheme, of several, or tell no sizes, or the config is another's.
    """
    layers = count_layers(found, BLOCK, path.name)
    stock, wan = zip(*_spell_pairs(layers), strict=True)
    scheme = detect_scheme(found, {Scheme.DIFFUSERS: (*stock, *TIED), Scheme.WAN: wan}, path.name)
    if (path / "config.json").is_file():
        config = read_text_encoder_config(path)
    else:
        held = wan if scheme is Scheme.WAN else stock
        config = _guess_config(dict(zip(stock, held, strict=True)), found, path)
    if VOCABULARY in found and scheme is Scheme.DIFFUSERS:
        scheme = Scheme.COMFYUI
    return scheme, config, name_text_encoder(config)


def name_text_encoder(config: UMT5Config) -> Named:
    """Names in every scheme and shapes of an encoder."""
    shapes = {name: tuple(t.shape) for name, t in build_text_encoder(config).state_dict().items()}
    stock, wan = zip(*_spell_pairs(config.num_layers), strict=True)
    names = {Scheme.DIFFUSERS: stock, Scheme.WAN: wan, Scheme.COMFYUI: stock}
    return Named(names, tuple(shapes[name] for name in stock), TIED)


def build_text_encoder(config: UMT5Config) -> UMT5EncoderModel:
    """transformers' class without memory for its weights. Raises IntegrityError if it cannot be built."""
    with building("text_encoder/config.json"), torch.device("meta"):
        return UMT5EncoderModel(config)


def read_text_encoder_config(path: Path) -> UMT5Config:
    """The config.json in a folder; IntegrityError if it is for another class, or a field is odd."""
    data, name = read_json(path / "config.json"), f"{path.name}/config.json"
    if data.get("model_type") != UMT5Config.model_type:
        raise IntegrityError(f"{name}: is for {data.get('model_type')}, not umt5", advice=CONFIG_ADVICE)
    with checking(name):
        for size in SIZES:
            read_size(data, size, getattr(XXL, size))
        read_size(data, "num_layers", XXL.num_layers, LAYERS_MAX)
    with building(name):
        return UMT5Config.from_dict(data)


def check_text_encoder_fits(config: UMT5Config, scheme: Scheme) -> None:
    """Raise InvalidInput if the scheme's program builds another encoder than this."""
    if scheme is not Scheme.DIFFUSERS and name_text_encoder(config) != name_text_encoder(XXL):
        raise InvalidInput(f"{scheme} holds umt5-xxl only, and this text encoder has other sizes")


def _spell_pairs(layers: int) -> list[tuple[str, str]]:
    return [
        pair
        for stock, wan in TABLE
        for index in (range(layers) if "*" in stock else (None,))
        for pair in zip(spell(stock, index), spell(wan, index), strict=True)
    ]


def _guess_config(stored: Mapping[str, str], found: Mapping[str, Shape], path: Path) -> UMT5Config:
    """The config that shapes tell; `stored` is what transformers' names are called in `found`."""
    attention = "encoder.block.0.layer.0.SelfAttention"

    def shape(name: str) -> Shape:
        held = stored.get(name, name)  # of an encoder without blocks even their names are not known
        held = held if held in found else ALIAS.get(name, held)
        if len(found.get(held, ())) != 2 or 0 in found[held]:
            raise IntegrityError(f"{path.name}: without a config.json {held} tells a size, and it does not")
        return found[held]

    buckets, heads = shape(f"{attention}.relative_attention_bias.weight")
    vocabulary, dim = shape("shared.weight")
    return UMT5Config(
        vocab_size=vocabulary,
        d_model=dim,
        d_kv=shape(f"{attention}.q.weight")[0] // heads,
        d_ff=shape("encoder.block.0.layer.1.DenseReluDense.wi_0.weight")[0],
        num_layers=count_layers(found, BLOCK, path.name),
        num_heads=heads,
        relative_attention_num_buckets=buckets,
    )
