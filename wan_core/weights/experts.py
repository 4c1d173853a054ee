"""The transformers of a whole model: one, or two of which each may be absent."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from wan_core.errors import ModelNotFound
from wan_core.kernels.attention import Attend, sdpa
from wan_core.kernels.ops import TORCH, Ops
from wan_core.model.transformer import WanTransformer
from wan_core.weights.layout import HIGH, LOW, find_model
from wan_core.weights.shards import Tick, silent, size_of
from wan_core.weights.transformer import load_transformer


@dataclass(frozen=True)
class Experts:
    """`high` has the noisy steps, or all of them where there is one transformer only."""

    high: WanTransformer | None
    low: WanTransformer | None


def load_experts(
    folder: Path,
    *,
    dtype: torch.dtype,
    device: torch.device | str,
    tick: Tick = silent,
    ops: Ops = TORCH,
    attend: Attend = sdpa,
) -> Experts:
    """The transformers in the folder of a model, laid out as diffusers, Wan or ComfyUI have it.

    `tick` counts the bytes of both. Raises ModelNotFound if there is none, else as `load_transformer` does.
    """
    model = find_model(folder)
    paths = {name: model.parts[name] for name in (HIGH, LOW) if name in model.parts} if model else {}
    if not paths:
        raise ModelNotFound(f"{folder.name}: there is no transformer")
    total, done, loaded = sum(size_of(path) for path in paths.values()), 0, {}
    for name, path in paths.items():
        loaded[name] = load_transformer(
            path,
            dtype=dtype,
            device=device,
            tick=lambda read, _, before=done: tick(before + read, total),
            ops=ops,
            attend=attend,
        )
        done += size_of(path)
    return Experts(loaded.get(HIGH), loaded.get(LOW))
