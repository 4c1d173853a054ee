"""The transformer's key table: what ours are called elsewhere, and in which shapes they are stored.

A tensor of ours is stored as it is, or as several that are joined along the first dimension, each perhaps of
more dimensions: the patch embedding is a convolution elsewhere, modulations have a leading 1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

import torch

from wan_core.model.config import TransformerConfig
from wan_core.model.transformer import WanTransformer
from wan_core.weights.named import Named
from wan_core.weights.schemes import Scheme, spell
from wan_core.weights.shards import Shape

# Ours, diffusers, Wan. A layer has a weight and a bias; what is of a block stands after `blocks.<number>.`.
LAYERS = (
    ("patch_embedding", "patch_embedding", "patch_embedding"),
    ("time_in", "condition_embedder.time_embedder.linear_1", "time_embedding.0"),
    ("time_out", "condition_embedder.time_embedder.linear_2", "time_embedding.2"),
    ("time_projection", "condition_embedder.time_proj", "time_projection.1"),
    ("text_in", "condition_embedder.text_embedder.linear_1", "text_embedding.0"),
    ("text_out", "condition_embedder.text_embedder.linear_2", "text_embedding.2"),
    ("head.projection", "proj_out", "head.head"),
)
TENSORS = (("head.modulation", "scale_shift_table", "head.modulation"),)
BLOCK_LAYERS = (
    ("self_attention.qkv", "attn1.to_{q,k,v}", "self_attn.{q,k,v}"),
    ("self_attention.out", "attn1.to_out.0", "self_attn.o"),
    ("norm", "norm2", "norm3"),
    ("cross_attention.q", "attn2.to_q", "cross_attn.q"),
    ("cross_attention.kv", "attn2.to_{k,v}", "cross_attn.{k,v}"),
    ("cross_attention.out", "attn2.to_out.0", "cross_attn.o"),
    ("ffn_in", "ffn.net.0.proj", "ffn.0"),
    ("ffn_out", "ffn.net.2", "ffn.2"),
)
BLOCK_TENSORS = (
    ("modulation", "scale_shift_table", "modulation"),
    ("self_attention.split.norm_q", "attn1.norm_q.weight", "self_attn.norm_q.weight"),
    ("self_attention.split.norm_k", "attn1.norm_k.weight", "self_attn.norm_k.weight"),
    ("cross_attention.norm_q.weight", "attn2.norm_q.weight", "cross_attn.norm_q.weight"),
    ("cross_attention.norm_k.weight", "attn2.norm_k.weight", "cross_attn.norm_k.weight"),
)
PREFIX = "model.diffusion_model."
"""What ComfyUI puts before Wan's names."""

BLOCK = re.compile(r"\bblocks\.(\d+)\.")


def _rows() -> dict[str, tuple[str, str]]:
    """Names of ours to those of diffusers and Wan, `*` for a block's number."""
    rows = [*TENSORS, *(tuple(f"blocks.*.{name}" for name in row) for row in BLOCK_TENSORS)]
    layers = [*LAYERS, *(tuple(f"blocks.*.{name}" for name in row) for row in BLOCK_LAYERS)]
    rows += [tuple(f"{name}.{kind}" for name in row) for row in layers for kind in ("weight", "bias")]
    return {ours: (diffusers, wan) for ours, diffusers, wan in rows}


ROWS: Mapping[str, tuple[str, str]] = MappingProxyType(_rows())


@dataclass(frozen=True)
class Entry:
    """A tensor of ours, and the stored ones it is made of: `names` in a scheme, each of shape `stored`."""

    ours: str
    shape: Shape
    names: Mapping[Scheme, tuple[str, ...]]
    stored: Shape

    @property
    def part(self) -> Shape:
        """What one stored tensor fills of ours."""
        return (self.shape[0] // len(self.names[Scheme.WAN]), *self.shape[1:])


@cache
def entries(config: TransformerConfig) -> tuple[Entry, ...]:
    """One for each tensor of the model, in the model's order."""
    with torch.device("meta"):
        tensors = WanTransformer(config).state_dict()
    return tuple(_entry(name, tuple(tensor.shape), config) for name, tensor in tensors.items())


def shapes_of(config: TransformerConfig, scheme: Scheme) -> dict[str, Shape]:
    """Every stored tensor of the model in a scheme."""
    return {name: entry.stored for entry in entries(config) for name in entry.names[scheme]}


def name_transformer(config: TransformerConfig) -> Named:
    """Names and shapes of what is stored of the model."""
    names = {scheme: tuple(shapes_of(config, scheme)) for scheme in Scheme}
    return Named(names, tuple(shapes_of(config, Scheme.WAN).values()))


def names_of(ours: str) -> Mapping[Scheme, tuple[str, ...]]:
    """What a tensor of ours is called in each scheme. KeyError if we have none of that name."""
    block = BLOCK.search(ours)
    index = int(block[1]) if block else None
    diffusers, wan = (spell(pattern, index) for pattern in ROWS[BLOCK.sub("blocks.*.", ours)])
    comfyui = tuple(PREFIX + name for name in wan)
    return MappingProxyType({Scheme.DIFFUSERS: diffusers, Scheme.WAN: wan, Scheme.COMFYUI: comfyui})


def known_names(layers: int) -> dict[Scheme, set[str]]:
    """Every name that a model of so many layers may have, whatever its variant."""
    ours = [
        row.replace("*", str(index)) for row in ROWS for index in (range(layers) if "*" in row else range(1))
    ]
    names = [names_of(name) for name in ours]
    return {scheme: {name for row in names for name in row[scheme]} for scheme in Scheme}


def _entry(name: str, shape: Shape, config: TransformerConfig) -> Entry:
    names = names_of(name)
    stored = (shape[0] // len(names[Scheme.WAN]), *shape[1:])
    if name == "patch_embedding.weight":
        stored = (config.dim, config.in_channels, *config.patch)
    elif name.endswith("modulation"):
        stored = (1, *shape)
    return Entry(name, shape, names, stored)
