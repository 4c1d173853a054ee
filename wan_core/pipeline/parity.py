"""How far our transformer is from diffusers' own with a user's weights: a forward at a small shape.

What is compared with is diffusers in float32 on the same device. One model is in memory at a time. Not
covered: whole generations, schedulers, VAE and text encoder, which are diffusers' and transformers' own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from diffusers import WanTransformer3DModel as Stock
from torch import Tensor

from wan_core.devices import route, use_tf32
from wan_core.errors import ModelNotFound
from wan_core.kernels.attention import build_attention
from wan_core.pipeline.diffusers import WanTransformer3DModel as Ours
from wan_core.weights.configs import write_config
from wan_core.weights.parts import identify_for_diffusers
from wan_core.weights.shards import read_json

DTYPES: Mapping[str, torch.dtype] = MappingProxyType(
    {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
)
FLOAT32_GATE = 1e-5
"""Relative L2 of ours to diffusers, both in float32."""
HALF_GATE = 1.1
"""Error of ours over that of diffusers in the same dtype, both against float32."""

GRID = (3, 6, 8)  # tokens
TEXT_ROWS, PROMPT_ROWS = 512, 24  # the rest is zeros, as behind any prompt
TIMESTEPS = (987.0, 500.0, 13.0)

Arguments = Mapping[str, Tensor]


@dataclass(frozen=True)
class Finding:
    """Ours in one dtype against diffusers in float32; `theirs` is diffusers in that dtype, compared alike."""

    part: str
    dtype: str
    relative_l2: float
    max_abs: float
    theirs: float | None

    @property
    def ratio(self) -> float | None:
        """Where diffusers is exact, ours must be."""
        if self.theirs == 0:
            return 0.0 if self.relative_l2 == 0 else math.inf
        return None if self.theirs is None else self.relative_l2 / self.theirs

    @property
    def gate(self) -> str:
        return f"L2 <= {FLOAT32_GATE:g}" if self.ratio is None else f"ratio <= {HALF_GATE:g}"

    @property
    def passes(self) -> bool:
        """False for numbers that are none, too."""
        return self.relative_l2 <= FLOAT32_GATE if self.ratio is None else self.ratio <= HALF_GATE


def find_parts(folder: Path) -> list[Path]:
    """The transformers of a model's folder, or the folder itself if it is one's. Raises ModelNotFound."""
    if not folder.is_dir():
        raise ModelNotFound(f"{folder}: there is no such folder", advice="Name a folder in diffusers layout.")
    parts = [folder / name for name in ("transformer", "transformer_2") if (folder / name).is_dir()]
    return parts or [folder]


def measure_parity(
    part: Path, dtypes: Sequence[str], device: torch.device, attention: str = "sdpa"
) -> list[Finding]:
    """A finding for each of `dtypes`. Raises IntegrityError if the folder holds no such model."""
    use_tf32(route(device), on=False)
    for name in dtypes:
        build_attention(attention, device, DTYPES[name])
    arguments = draw_arguments(
        write_config(identify_for_diffusers(part).config), per_frame=_expands_timesteps(part)
    )
    reference = _run(partial(_load_stock, part, torch.float32), arguments, torch.float32, device)
    findings = []
    for name in dtypes:
        dtype = DTYPES[name]
        attend = build_attention(attention, device, dtype)
        ours = _run(partial(Ours.from_pretrained, part, dtype=dtype, attend=attend), arguments, dtype, device)
        theirs = None
        if dtype is not torch.float32:
            half = _run(partial(_load_stock, part, dtype), arguments, dtype, device)
            theirs = relative_l2(half, reference)
        worst = float((ours - reference).abs().max())
        findings.append(Finding(part.name, name, relative_l2(ours, reference), worst, theirs))
    return findings


def draw_arguments(config: Mapping[str, Any], *, per_frame: bool) -> list[Arguments]:
    """What a pipeline would hand over, drawn at random, at several timesteps; the same at every call.

    `per_frame`: a timestep for each token, 0 in the first frame, as ti2v has it with an image.
    """
    patch = config["patch_size"]
    size = [tokens * side for tokens, side in zip(GRID, patch, strict=True)]
    draw = torch.Generator().manual_seed(0)
    text = torch.zeros(1, TEXT_ROWS, config["text_dim"])
    text[:, :PROMPT_ROWS] = torch.randn(1, PROMPT_ROWS, config["text_dim"], generator=draw)
    t, h, w = GRID
    after_first = torch.arange(t).clamp(max=1).repeat_interleave(h * w)[None]
    return [
        {
            "hidden_states": torch.randn(1, config["in_channels"], *size, generator=draw),
            "timestep": timestep * after_first if per_frame else torch.tensor([timestep]),
            "encoder_hidden_states": text,
        }
        for timestep in TIMESTEPS
    ]


def relative_l2(found: Tensor, expected: Tensor) -> float:
    """|found - expected| / |expected|, summed in float64."""
    return float((found.double() - expected.double()).norm() / expected.double().norm())


@torch.no_grad()
def _run(
    load: Callable[[], Any], arguments: Sequence[Arguments], dtype: torch.dtype, device: torch.device
) -> Tensor:
    """The outputs of a model, one after the other, as float32 on the CPU."""
    model = load().to(device)
    outputs = [model(**_place(given, dtype, device), return_dict=False)[0] for given in arguments]
    return torch.cat([output.float().cpu().flatten() for output in outputs])


def _place(given: Arguments, dtype: torch.dtype, device: torch.device) -> dict[str, Tensor]:
    return {
        name: tensor.to(device, torch.float32 if name == "timestep" else dtype)
        for name, tensor in given.items()
    }


def _load_stock(part: Path, dtype: torch.dtype) -> Any:
    return Stock.from_pretrained(part, torch_dtype=dtype, local_files_only=True, use_safetensors=True)


def _expands_timesteps(part: Path) -> bool:
    """As the pipeline's index says, if the transformer has one."""
    index = part.parent / "model_index.json"
    return index.is_file() and bool(read_json(index).get("expand_timesteps", False))
