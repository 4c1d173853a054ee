"""config.json of a transformer, diffusers' and Wan's own, to a TransformerConfig and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wan_core.catalog.architecture import ModelCard
from wan_core.errors import IntegrityError, InvalidInput
from wan_core.model.config import TransformerConfig
from wan_core.weights.fields import (
    CONFIG_ADVICE,
    LAYERS_MAX,
    check_size,
    checking,
    read_flag,
    read_number,
    read_size,
    read_sizes,
)
from wan_core.weights.schemes import Scheme

DIFFUSERS_CLASS = "WanTransformer3DModel"
WAN_CLASS = "WanModel"
QK_NORM = "rms_norm_across_heads"
HEAD_DIM = 128  # of every published Wan; ComfyUI knows no other (its names and shapes do not tell)
PATCH_MAX = 64  # far above 2, which every published Wan has

# What a program takes as given and never reads from a config: wan/modules/model.py (ignore_for_config) of
# Wan-Video/Wan2.2 at 42bf4cf; comfy/model_detection.py of ComfyUI. diffusers always builds norms of q and k.
WAN_FIXED = {"patch": (1, 2, 2), "text_dim": 4096, "qk_norm": True, "cross_attn_norm": True}
FIXED: Mapping[Scheme, Mapping[str, Any]] = {
    Scheme.DIFFUSERS: {"qk_norm": True},
    Scheme.WAN: WAN_FIXED,
    Scheme.COMFYUI: {**WAN_FIXED, "head_dim": HEAD_DIM, "freq_dim": 256, "eps": 1e-6},
}


def read_config(data: Mapping[str, Any], what: str = "config.json") -> TransformerConfig:
    """The config behind a config.json; what it leaves out is as its class has it. Errors name it `what`.

    Raises IntegrityError if it is of another class, of a variant that is not built here, or wrong in itself.
    """
    readers = {DIFFUSERS_CLASS: _read_diffusers, WAN_CLASS: _read_wan}
    cls = data.get("_class_name")
    if not isinstance(cls, str) or cls not in readers:
        raise IntegrityError(f"{what}: is for {cls}, not {' or '.join(readers)}", advice=CONFIG_ADVICE)
    with checking(what):
        return readers[cls](data)


def write_config(config: TransformerConfig, scheme: Scheme = Scheme.DIFFUSERS) -> dict[str, Any]:
    """The config.json that makes diffusers' or Wan's class build this model.

    Raises InvalidInput if the class cannot, ComfyUI's among them: it reads sizes from shapes.
    """
    check_fits(config, scheme)
    return _write_diffusers(config) if scheme is Scheme.DIFFUSERS else _write_wan(config)


def check_fits(config: TransformerConfig, scheme: Scheme) -> None:
    """Raise InvalidInput if the scheme's program cannot build this model, because it fixes a size."""
    for name, value in FIXED[scheme].items():
        if getattr(config, name) != value:
            raise InvalidInput(f"{scheme} cannot hold {name} {getattr(config, name)}, only {value}")


def config_of(card: ModelCard) -> TransformerConfig:
    """The config of a model of the catalogue."""
    shape = card.transformer
    return TransformerConfig(
        dim=shape.dim,
        ffn_dim=shape.ffn_dim,
        heads=shape.heads,
        layers=shape.layers,
        in_channels=shape.in_channels,
        out_channels=shape.out_channels,
        text_dim=shape.text_dim,
        freq_dim=shape.freq_dim,
        patch=shape.patch,
    )


def _read_diffusers(data: Mapping[str, Any]) -> TransformerConfig:
    for name in ("image_dim", "added_kv_proj_dim", "pos_embed_seq_len"):
        if data.get(name) is not None:
            raise ValueError(f"{name} is {data[name]}: CLIP's image embeddings are not built here")
    in_channels = read_size(data, "in_channels", 16)
    heads = read_size(data, "num_attention_heads", 40)
    t, h, w = read_sizes(data, "patch_size", (1, 2, 2), 3, PATCH_MAX)
    return TransformerConfig(
        dim=check_size("its width", heads * read_size(data, "attention_head_dim", 128)),
        ffn_dim=read_size(data, "ffn_dim", 13824),
        heads=heads,
        layers=read_size(data, "num_layers", 40, LAYERS_MAX),
        in_channels=in_channels,
        out_channels=check_size("out_channels", data.get("out_channels", 16) or in_channels),
        text_dim=read_size(data, "text_dim", 4096),
        freq_dim=_read_freq_dim(data),
        patch=(t, h, w),
        cross_attn_norm=read_flag(data, "cross_attn_norm", True),
        eps=read_number(data, "eps", 1e-6, 0, 1),
    )


def _read_freq_dim(data: Mapping[str, Any]) -> int:
    """Half of them are cosines, half of them sines."""
    value = read_size(data, "freq_dim", 256)
    if value % 2:
        raise ValueError(f"freq_dim is {value}, which is not even; nearest: {value + 1}")
    return value


def _write_diffusers(config: TransformerConfig) -> dict[str, Any]:
    return {
        "_class_name": DIFFUSERS_CLASS,
        "added_kv_proj_dim": None,
        "attention_head_dim": config.head_dim,
        "cross_attn_norm": config.cross_attn_norm,
        "eps": config.eps,
        "ffn_dim": config.ffn_dim,
        "freq_dim": config.freq_dim,
        "image_dim": None,
        "in_channels": config.in_channels,
        "num_attention_heads": config.heads,
        "num_layers": config.layers,
        "out_channels": config.out_channels,
        "patch_size": list(config.patch),
        "pos_embed_seq_len": None,
        "qk_norm": QK_NORM,
        "rope_max_seq_len": 1024,
        "text_dim": config.text_dim,
    }


def _read_wan(data: Mapping[str, Any]) -> TransformerConfig:
    return TransformerConfig(
        dim=read_size(data, "dim", 2048),
        ffn_dim=read_size(data, "ffn_dim", 8192),
        heads=read_size(data, "num_heads", 16),
        layers=read_size(data, "num_layers", 32, LAYERS_MAX),
        in_channels=read_size(data, "in_dim", 16),
        out_channels=read_size(data, "out_dim", 16),
        text_dim=4096,
        freq_dim=_read_freq_dim(data),
        eps=read_number(data, "eps", 1e-6, 0, 1),
    )


def _write_wan(config: TransformerConfig) -> dict[str, Any]:
    return {
        "_class_name": WAN_CLASS,
        "dim": config.dim,
        "eps": config.eps,
        "ffn_dim": config.ffn_dim,
        "freq_dim": config.freq_dim,
        "in_dim": config.in_channels,
        "model_type": _model_type(config),
        "num_heads": config.heads,
        "num_layers": config.layers,
        "out_dim": config.out_channels,
        "text_len": 512,
    }


def _model_type(config: TransformerConfig) -> str:
    """As wan/configs has it: more channels in than out is an image's, 48 are of Wan 2.2's VAE."""
    if config.in_channels > config.out_channels:
        return "i2v"
    return "ti2v" if config.in_channels == 48 else "t2v"
