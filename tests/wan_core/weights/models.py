"""Small models of every kind with random weights, in names of every scheme, in memory and in files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from wan_core.model.config import TransformerConfig
from wan_core.weights.configs import write_config
from wan_core.weights.files import write_json, write_tensors
from wan_core.weights.schemes import Scheme
from wan_core.weights.shards import WHOLE_STEM, Shape
from wan_core.weights.transformer_names import shapes_of

# The least that Wan's own programs and ComfyUI can hold.
SMALL = TransformerConfig(
    dim=128, ffn_dim=64, heads=1, layers=2, in_channels=16, out_channels=16, text_dim=4096
)


def draw(
    shapes: Mapping[str, Shape], dtype: torch.dtype = torch.bfloat16, seed: int = 0
) -> dict[str, Tensor]:
    """Random tensors of these shapes."""
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=generator).to(dtype) for name, shape in shapes.items()}


def meta(shapes: Mapping[str, Shape]) -> dict[str, Tensor]:
    """Tensors of these shapes without memory."""
    return {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}


def shapes_in(state: Mapping[str, Tensor]) -> dict[str, Shape]:
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def same_bytes(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    """Names, dtypes, shapes and every bit, NaNs included."""
    return one.keys() == other.keys() and all(
        one[name].dtype == other[name].dtype
        and one[name].shape == other[name].shape
        and torch.equal(
            one[name].contiguous().view(-1).view(torch.uint8),
            other[name].contiguous().view(-1).view(torch.uint8),
        )
        for name in one
    )


def save_transformer(
    folder: Path,
    config: TransformerConfig = SMALL,
    scheme: Scheme = Scheme.DIFFUSERS,
    seed: int = 0,
    shard_bytes: int | None = None,
) -> dict[str, Tensor]:
    """A folder as diffusers or Wan has it; returns what was stored."""
    state = draw(shapes_of(config, scheme), seed=seed)
    folder.mkdir(parents=True)
    write_json(folder / "config.json", write_config(config, scheme))
    write_tensors(folder, WHOLE_STEM, state, shard_bytes=shard_bytes)
    return state


def save_single(file: Path, config: TransformerConfig = SMALL, seed: int = 0) -> dict[str, Tensor]:
    """A file as ComfyUI has it."""
    state = draw(shapes_of(config, Scheme.COMFYUI), seed=seed)
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file(state, file)
    return state
