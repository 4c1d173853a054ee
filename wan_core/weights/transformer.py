"""The transformer: state dicts to ours and back, and files to a model that is ready to run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from wan_core.catalog.models import MODELS
from wan_core.errors import IntegrityError
from wan_core.kernels.attention import Attend, sdpa
from wan_core.kernels.ops import TORCH, Ops
from wan_core.model.config import TransformerConfig
from wan_core.model.transformer import WanTransformer, stays_fp32
from wan_core.weights.configs import HEAD_DIM, read_config
from wan_core.weights.fields import count_layers
from wan_core.weights.match import check_floats, check_tensors
from wan_core.weights.places import place_on
from wan_core.weights.reading import Wanted, read_tensors
from wan_core.weights.schemes import Scheme, detect_scheme
from wan_core.weights.shards import Shape, Tick, read_headers, read_json, silent
from wan_core.weights.transformer_names import BLOCK, Entry, entries, known_names, names_of, shapes_of

VARIANTS = {"qk_norm": "blocks.0.self_attention.split.norm_q", "cross_attn_norm": "blocks.0.norm.weight"}
"""A tensor that a model has unless it is of the variant without these norms."""


def to_ours(state: Mapping[str, Tensor], config: TransformerConfig, scheme: Scheme) -> dict[str, Tensor]:
    """A state dict of ours; joined tensors are copies, the others views.

    Raises IntegrityError if a tensor is missing, unexpected or misshapen, or parts differ in dtype.
    """
    found = {key: tuple(tensor.shape) for key, tensor in state.items()}
    check_tensors(found, shapes_of(config, scheme), scheme)
    return {
        entry.ours: _join([state[name] for name in entry.names[scheme]], entry) for entry in entries(config)
    }


def from_ours(state: Mapping[str, Tensor], config: TransformerConfig, scheme: Scheme) -> dict[str, Tensor]:
    """A state dict in a scheme, of views of ours. Raises IntegrityError as `to_ours` does."""
    found = {key: tuple(tensor.shape) for key, tensor in state.items()}
    check_tensors(found, {entry.ours: entry.shape for entry in entries(config)}, "ours")
    stored: dict[str, Tensor] = {}
    for entry in entries(config):
        parts = state[entry.ours].split(entry.part[0])
        stored |= zip(entry.names[scheme], (part.reshape(entry.stored) for part in parts), strict=True)
    return stored


def load_transformer(
    path: Path,
    *,
    dtype: torch.dtype,
    device: torch.device | str,
    tick: Tick = silent,
    ops: Ops = TORCH,
    attend: Attend = sdpa,
    kind: type[WanTransformer] = WanTransformer,
) -> WanTransformer:
    """The transformer of a folder or of a single file, without gradients, ready to run.

    What `FP32` names is float32, the rest of `dtype`. Nothing is initialised at random, and besides what is
    to stay on the host, host memory holds the ring. Raises IntegrityError if the files are not those of one
    model, TrustRemoteCode if they are pickles.
    """
    headers = read_headers(path)
    found = {key: stored.shape for key, stored in headers.items()}
    scheme, config = identify(found, path)
    check_tensors(found, shapes_of(config, scheme), path.name)
    check_floats(headers, path.name)
    wanted = {
        entry.ours: Wanted(
            entry.shape, torch.float32 if stays_fp32(entry.ours) else dtype, entry.names[scheme]
        )
        for entry in entries(config)
    }
    state = read_tensors(headers, wanted, place_on(device), tick)
    with torch.device("meta"):
        model = kind(config, ops, attend)
    model.load_state_dict(state, assign=True)
    return model.eval().requires_grad_(False)


def identify(found: Mapping[str, Shape], path: Path) -> tuple[Scheme, TransformerConfig]:
    """Scheme and config of stored tensors; the config from names and shapes where no config.json has it.

    Raises IntegrityError if they are of no scheme or of several, or tell no config.
    """
    layers = count_layers(found, BLOCK, path.name)
    scheme = detect_scheme(found, known_names(layers), path.name)
    if not (path / "config.json").is_file():
        return scheme, _guess_config(found, scheme, layers, path)
    config = read_config(read_json(path / "config.json"), f"{path.name}/config.json")
    # Wan's config.json does not say which norms there are.
    return scheme, config if scheme is Scheme.DIFFUSERS else replace(config, **_norms(found, scheme))


def _guess_config(found: Mapping[str, Shape], scheme: Scheme, layers: int, path: Path) -> TransformerConfig:
    """The config that names and shapes tell; heads and eps, which they do not, are as published."""
    what = path.name

    def shape(ours: str, dimensions: int) -> Shape:
        name = names_of(ours)[scheme][0]
        if len(found.get(name, ())) != dimensions:
            is_there = f"is {list(found[name])}" if name in found else "is missing"
            raise IntegrityError(f"{what}: without a config.json sizes are told by {name}, which {is_there}")
        return found[name]

    dim, in_channels, *patch = shape("patch_embedding.weight", 5)
    if 0 in found[names_of("patch_embedding.weight")[scheme][0]]:
        raise IntegrityError(f"{what}: the patch embedding is {[dim, in_channels, *patch]}, which is empty")
    _check_width(dim, scheme, path)
    return TransformerConfig(
        dim=dim,
        ffn_dim=shape("blocks.0.ffn_in.weight", 2)[0],
        heads=dim // HEAD_DIM,
        layers=layers,
        in_channels=in_channels,
        out_channels=shape("head.projection.weight", 2)[0] // math.prod(patch),
        text_dim=shape("text_in.weight", 2)[1],
        freq_dim=shape("time_in.weight", 2)[1],
        patch=tuple(patch),
        **_norms(found, scheme),
    )


def _check_width(dim: int, scheme: Scheme, path: Path) -> None:
    """Raise IntegrityError unless the width tells the heads: ComfyUI knows one size of them only, and else
    those of a published Wan are meant.
    """
    shapes = (card.transformer for card in MODELS.values())
    widths = sorted({shape.dim for shape in shapes if shape.dim == shape.heads * HEAD_DIM})
    if dim % HEAD_DIM == 0 and (scheme is Scheme.COMFYUI or dim in widths):
        return
    beside = path.parent if path.is_file() else path
    hint = f"; name the folder {beside}, which has one" if (beside / "config.json").is_file() else ""
    known = f"multiples of {HEAD_DIM}" if scheme is Scheme.COMFYUI else ", ".join(map(str, widths))
    raise IntegrityError(
        f"{path.name}: without a config.json the number of heads is known for the widths {known} only, "
        f"and this is {dim} wide{hint}",
        advice="Put the model's config.json into a folder with the weights, and name that.",
    )


def _norms(found: Mapping[str, Shape], scheme: Scheme) -> dict[str, bool]:
    return {variant: names_of(ours)[scheme][0] in found for variant, ours in VARIANTS.items()}


def _join(parts: list[Tensor], entry: Entry) -> Tensor:
    if len(parts) == 1:
        return parts[0].reshape(entry.part)
    dtypes = sorted({str(part.dtype) for part in parts})
    if len(dtypes) > 1:
        raise IntegrityError(f"{entry.ours}: its parts are {' and '.join(dtypes)}")
    return torch.cat([part.reshape(entry.part) for part in parts])
