"""Build the parts of a pipeline from a folder in diffusers layout.

Nothing is downloaded, no code of a checkpoint runs, nothing but safetensors is opened. Modules are built
without memory for their weights, one after the other; each tensor is read, cast and placed once, so that the
peak is the model and the ring, while the disk brings what comes next. Every weight must be in the files
exactly once and with the shape that the config says. Not covered: quantised checkpoints, LoRA, CLIP image
encoders (Wan 2.1 image-to-video).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLWan
from torch import nn
from transformers import T5Tokenizer, UMT5EncoderModel

from wan_core.errors import IntegrityError, ModelNotFound
from wan_core.weights.ahead import ReadAhead
from wan_core.weights.fields import building, check_number, checking, read_flag
from wan_core.weights.modules import load_module
from wan_core.weights.shards import Tick, read_json, size_of, weight_files
from wan_core.weights.text_encoder import TIED, build_text_encoder, read_text_encoder_config
from wan_core.weights.vae import build_vae, read_vae_config

LoadTransformer = Callable[[Path, torch.dtype, str, Tick], nn.Module]
"""A folder, dtype, device and tick to a transformer that is ready to run."""


@dataclass(frozen=True)
class Dtypes:
    """In what each part computes. `kept_fp32` of a transformer (norms, time embedding) stays fp32 besides."""

    transformer: torch.dtype
    text_encoder: torch.dtype
    vae: torch.dtype


@dataclass(frozen=True)
class Index:
    """What model_index.json says beyond class names."""

    two_experts: bool
    boundary_ratio: float | None
    expand_timesteps: bool


@dataclass(frozen=True)
class Parts:
    """A loaded model. `transformer_2` is the low-noise expert where there are two.

    Tokenizer and text encoder are None where the texts are known already; `seconds` is how long a part took.
    """

    index: Index
    tokenizer: T5Tokenizer | None
    text_encoder: UMT5EncoderModel | None
    vae: AutoencoderKLWan
    transformer: nn.Module
    transformer_2: nn.Module | None
    scheduler_config: dict[str, Any]
    seconds: Mapping[str, float] = field(default_factory=dict)

    def modules(self) -> dict[str, nn.Module]:
        """The parts that hold weights, by their diffusers name, in the order of use."""
        found = {
            "text_encoder": self.text_encoder,
            "transformer": self.transformer,
            "vae": self.vae,
            "transformer_2": self.transformer_2,
        }
        return {name: part for name, part in found.items() if part is not None}


def load_parts(
    folder: Path,
    dtypes: Dtypes,
    place: Callable[[str], str],
    tick: Tick,
    load_transformer: LoadTransformer,
    without: Collection[str] = (),
    ahead_bytes: int = 0,
) -> Parts:
    """Load every part; `place` names the torch device on which the weights of a part are to lie.

    Of `without`, which may name the tokenizer and the text encoder, no file is opened. While one part is
    loaded, up to `ahead_bytes` of what comes next are read from the disk.

    Raises IntegrityError where files are not what they should be, ModelNotFound where a part is absent,
    TrustRemoteCode where only pickles are there.
    """
    index = read_index(folder)
    order = ["text_encoder", "transformer", *(["transformer_2"] if index.two_experts else []), "vae"]
    names = [name for name in order if name not in without]
    sizes = [size_of(folder / name) for name in names]
    loaded: dict[str, Any] = {}
    seconds: dict[str, float] = {}
    with ReadAhead((file for name in names for file in weight_files(folder / name)), ahead_bytes) as ahead:
        for number, name in enumerate(names):
            part_tick, began = _part_of(tick, ahead, sum(sizes[:number]), sum(sizes)), time.monotonic()
            load = load_transformer if name.startswith("transformer") else _load_module
            dtype = getattr(dtypes, name.removesuffix("_2"))
            loaded[name] = load(folder / name, dtype, place(name), part_tick)
            seconds[name] = time.monotonic() - began
    return Parts(
        index=index,
        tokenizer=None if "tokenizer" in without else load_tokenizer(folder / "tokenizer"),
        text_encoder=loaded.get("text_encoder"),
        vae=loaded["vae"],
        transformer=loaded["transformer"],
        transformer_2=loaded.get("transformer_2"),
        scheduler_config=read_json(folder / "scheduler" / "scheduler_config.json"),
        seconds=seconds,
    )


def load_tokenizer(folder: Path) -> T5Tokenizer:
    """Raises ModelNotFound if there is none, IntegrityError if transformers cannot read it."""
    if not folder.is_dir():
        raise ModelNotFound(f"{folder.name}: is not there")
    with building(folder.name):
        return T5Tokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def read_index(folder: Path) -> Index:
    """Read model_index.json; IntegrityError if it is absent, broken or contradicts itself."""
    data = read_json(folder / "model_index.json")
    low_noise = data.get("transformer_2")
    two_experts = isinstance(low_noise, list) and low_noise[:1] != [None]
    boundary = data.get("boundary_ratio")
    if two_experts != (boundary is not None):
        low = "present" if two_experts else "absent"
        raise IntegrityError(f"model_index.json: transformer_2 is {low}, but boundary_ratio is {boundary}")
    with checking("model_index.json"):
        if boundary is not None:
            check_number("boundary_ratio", boundary, 0, 1)
        return Index(two_experts, boundary, read_flag(data, "expand_timesteps", False))


def _part_of(tick: Tick, ahead: ReadAhead, before: int, total: int) -> Tick:
    """The tick for one part of several."""

    def part_tick(done: int, _total: int) -> None:
        ahead.reached(before + done)
        tick(before + done, total)

    return part_tick


def _load_module(folder: Path, dtype: torch.dtype, device: str, tick: Tick) -> nn.Module:
    """The VAE or the text encoder, by the folder's name."""
    if folder.name == "vae":
        return load_module(build_vae(read_vae_config(folder)), folder, dtype=dtype, device=device, tick=tick)
    encoder = build_text_encoder(read_text_encoder_config(folder))
    return load_module(encoder, folder, dtype=dtype, device=device, tick=tick, aliases=TIED)
