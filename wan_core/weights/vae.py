"""The key tables of Wan's two VAEs: diffusers' names and Wan's, which are ComfyUI's too.

Wan 2.1 has its blocks in one list, Wan 2.2 (diffusers: `is_residual`) in a list of lists. Not covered:
attention within the blocks (`attn_scales`), which no published VAE has.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLWan

from wan_core.api.words import shown
from wan_core.errors import IntegrityError, InvalidInput
from wan_core.weights.fields import (
    CONFIG_ADVICE,
    LAYERS_MAX,
    building,
    checking,
    read_flag,
    read_numbers,
    read_size,
    read_sizes,
    shown_list,
)
from wan_core.weights.named import Named
from wan_core.weights.schemes import Scheme, detect_scheme
from wan_core.weights.shards import Shape, read_json

# diffusers, Wan
WHOLE = (("quant_conv", "conv1"), ("post_quant_conv", "conv2"))
EACH = (  # of the encoder and of the decoder
    ("conv_in", "conv1"),
    ("mid_block.resnets.0", "middle.0"),
    ("mid_block.attentions.0", "middle.1"),
    ("mid_block.resnets.1", "middle.2"),
    ("norm_out", "head.0"),
    ("conv_out", "head.2"),
)
LAYERS = {  # of a residual block; those of other blocks have the same names in both
    "norm1": "residual.0",
    "conv1": "residual.2",
    "norm2": "residual.3",
    "conv2": "residual.6",
    "conv_shortcut": "shortcut",
}

DEFAULTS: Mapping[str, Any] = {
    name: parameter.default
    for name, parameter in inspect.signature(AutoencoderKLWan.__init__).parameters.items()
}
CHANNELS_MAX = 2**14  # far above every published VAE
DEVIATION_MIN = 1e-6  # far below; latents are divided by it

NESTED = {  # the first tensor of a block in a list of lists
    "encoder.downsamples.0.downsamples.0.residual.0.gamma",
    "encoder.down_blocks.0.resnets.0.norm1.gamma",
}

# Wan 2.1's sizes are the defaults of diffusers' class, its means and deviations too. Wan 2.2's: vae2_2.py
# (Wan2_2_VAE, _video_vae) of Wan-Video/Wan2.2 at 42bf4cf.
WAN_21: Mapping[str, Any] = {}
WAN_22: Mapping[str, Any] = {
    "base_dim": 160,
    "decoder_base_dim": 256,
    "z_dim": 48,
    "in_channels": 12,
    "out_channels": 12,
    "patch_size": 2,
    "is_residual": True,
    "scale_factor_spatial": 16,
    "latents_mean": [
        *(-0.2289, -0.0052, -0.1323, -0.2339, -0.2799, 0.0174, 0.1838, 0.1557),
        *(-0.1382, 0.0542, 0.2813, 0.0891, 0.1570, -0.0098, 0.0375, -0.1825),
        *(-0.2246, -0.1207, -0.0698, 0.5109, 0.2665, -0.2108, -0.2158, 0.2502),
        *(-0.2055, -0.0322, 0.1109, 0.1567, -0.0729, 0.0899, -0.2799, -0.1230),
        *(-0.0313, -0.1649, 0.0117, 0.0723, -0.2839, -0.2083, -0.0520, 0.3748),
        *(0.0152, 0.1957, 0.1433, -0.2944, 0.3573, -0.0548, -0.1681, -0.0667),
    ],
    "latents_std": [
        *(0.4765, 1.0364, 0.4514, 1.1677, 0.5313, 0.4990, 0.4818, 0.5013),
        *(0.8158, 1.0344, 0.5894, 1.0901, 0.6885, 0.6165, 0.8454, 0.4978),
        *(0.5759, 0.3523, 0.7135, 0.6804, 0.5833, 1.4146, 0.8986, 0.5659),
        *(0.7069, 0.5338, 0.4889, 0.4917, 0.4069, 0.4999, 0.6866, 0.4093),
        *(0.5709, 0.6065, 0.6415, 0.4944, 0.5726, 1.2042, 0.5458, 1.6887),
        *(0.3971, 1.0600, 0.3943, 0.5537, 0.5444, 0.4089, 0.7468, 0.7744),
    ],
}


def identify_vae(found: Mapping[str, Shape], path: Path) -> tuple[Scheme, dict[str, Any], Named]:
    """Scheme, diffusers' config and names of stored tensors.

    Without a config.json they are of a published VAE, 2.2's if blocks lie in lists of lists. Raises
    IntegrityError if the config is of another class or the names are of no scheme.
    """
    config = dict(WAN_22 if NESTED & found.keys() else WAN_21)
    if (path / "config.json").is_file():
        config = read_vae_config(path)
    named = name_vae(config)
    return detect_scheme(found, named.names, path.name), config, named


def check_vae_fits(config: Mapping[str, Any], scheme: Scheme) -> str:
    """The version of Wan whose VAE this is; InvalidInput if neither's, so that only diffusers can hold it."""
    for version, published in (("2.1", WAN_21), ("2.2", WAN_22)):
        if name_vae(config) == name_vae(published):
            return version
    raise InvalidInput(f"{scheme} holds the VAEs of Wan 2.1 and 2.2 only, and this one has other sizes")


def read_vae_config(folder: Path) -> dict[str, Any]:
    """The config.json in a folder. Raises IntegrityError if it is for another class, or a field is odd."""
    config, name = read_json(folder / "config.json"), f"{folder.name}/config.json"
    if config.get("_class_name") != AutoencoderKLWan.__name__:
        said = f"{name}: is for {config.get('_class_name')}, not {AutoencoderKLWan.__name__}"
        raise IntegrityError(said, advice=CONFIG_ADVICE)
    with checking(name):
        _check_config({**DEFAULTS, **config})
    return config


def _check_config(config: Mapping[str, Any]) -> None:
    """Raise ValueError for the first field that no VAE can have."""
    for size in ("base_dim", "z_dim", "in_channels", "out_channels"):
        read_size(config, size, None, CHANNELS_MAX)
    for size in ("decoder_base_dim", "patch_size"):
        if config[size] is not None:
            read_size(config, size, None, CHANNELS_MAX)
    read_size(config, "num_res_blocks", None, LAYERS_MAX)
    read_flag(config, "is_residual", False)
    levels, halved = config["dim_mult"], config["temperal_downsample"]
    if not isinstance(levels, list | tuple) or not levels:
        raise ValueError(f"dim_mult is {shown_list(levels)}, not a list of whole numbers")
    read_sizes(config, "dim_mult", None, len(levels), CHANNELS_MAX)
    if not isinstance(halved, list | tuple) or len(halved) != len(levels) - 1:
        raise ValueError(
            f"temperal_downsample is {shown_list(halved)}, not {len(levels) - 1} of true or false"
        )
    for name, least in (("latents_mean", -math.inf), ("latents_std", DEVIATION_MIN)):
        read_numbers(config, name, config["z_dim"], least)
    space, time = 2 ** (len(levels) - 1) * (config["patch_size"] or 1), 2 ** sum(map(bool, halved))
    for name, made in (("scale_factor_spatial", space), ("scale_factor_temporal", time)):
        if config[name] != made:
            raise ValueError(f"{name} is {shown(config[name])}, but the VAE's levels make {made}")


def build_vae(config: Mapping[str, Any]) -> AutoencoderKLWan:
    """diffusers' class without memory for its weights. Raises IntegrityError if it cannot be built."""
    with building("vae/config.json"), torch.device("meta"):
        return AutoencoderKLWan.from_config(dict(config))


def name_vae(config: Mapping[str, Any]) -> Named:
    """Names in every scheme and shapes of the VAE of a diffusers config; IntegrityError if there are none."""
    vae = build_vae(config)
    if vae.config.attn_scales:
        raise IntegrityError(
            f"the VAE has attention at {vae.config.attn_scales}, for which there are no names"
        )
    shapes = {name: tuple(tensor.shape) for name, tensor in vae.state_dict().items()}
    modules = dict(_modules(vae.config))
    wan = tuple(_translate(name, modules) for name in shapes)
    names = {Scheme.DIFFUSERS: tuple(shapes), Scheme.WAN: wan, Scheme.COMFYUI: wan}
    return Named(names, tuple(shapes.values()))


def _modules(config: Any) -> Iterator[tuple[str, str]]:
    """Blocks and layers outside them: diffusers' path, Wan's path."""
    yield from WHOLE
    for half in ("encoder", "decoder"):
        yield from ((f"{half}.{stock}", f"{half}.{wan}") for stock, wan in EACH)
    yield from (_nested if config.is_residual else _flat)(len(config.dim_mult), config.num_res_blocks)


def _flat(levels: int, blocks: int) -> Iterator[tuple[str, str]]:
    """Wan 2.1: of each level, the blocks and then what changes the resolution; decoders have a block more."""
    for index in range(levels * (blocks + 1)):
        yield f"encoder.down_blocks.{index}", f"encoder.downsamples.{index}"
    for level in range(levels):
        first = level * (blocks + 2)
        for block in range(blocks + 1):
            yield f"decoder.up_blocks.{level}.resnets.{block}", f"decoder.upsamples.{first + block}"
        yield f"decoder.up_blocks.{level}.upsamplers.0", f"decoder.upsamples.{first + blocks + 1}"


def _nested(levels: int, blocks: int) -> Iterator[tuple[str, str]]:
    """Wan 2.2: the same, a list for each level."""
    for level in range(levels):
        down, downs = f"encoder.down_blocks.{level}", f"encoder.downsamples.{level}.downsamples"
        up, ups = f"decoder.up_blocks.{level}", f"decoder.upsamples.{level}.upsamples"
        yield from ((f"{down}.resnets.{block}", f"{downs}.{block}") for block in range(blocks))
        yield from ((f"{up}.resnets.{block}", f"{ups}.{block}") for block in range(blocks + 1))
        yield f"{down}.downsampler", f"{downs}.{blocks}"
        yield f"{up}.upsampler", f"{ups}.{blocks + 1}"


def _translate(name: str, modules: Mapping[str, str]) -> str:
    """diffusers' name of a tensor to Wan's: its module by the table, then the layer within."""
    parts = name.split(".")
    cut = next(i for i in range(len(parts), 0, -1) if ".".join(parts[:i]) in modules)
    layer, *rest = parts[cut:]
    return ".".join([modules[".".join(parts[:cut])], LAYERS.get(layer, layer), *rest])
