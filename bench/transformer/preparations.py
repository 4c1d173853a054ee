"""How each contestant is made ready: which operations, which attention, compiled or not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch

from bench.transformer.case import BEST, DEFAULT, OURS_TORCH, OURS_TRITON
from bench.transformer.clock import measure_short
from bench.transformer.contestants import Contestant, Weights, build_diffusers, build_ours
from bench.transformer.workloads import Workload
from wan_core.devices import route
from wan_core.kernels.attention import build_attention
from wan_core.kernels.attention_choice import Shape, choose_attention
from wan_core.kernels.triton_ops import find_ops
from wan_core.model.compiled import compile_blocks

DIFFUSERS_ATTENTION = ("native", "_native_cudnn", "_native_flash", "_native_efficient", "flash", "_flash_3")
"""Those of diffusers that compute the same function and need nothing from a hub."""


@dataclass(frozen=True)
class Setting:
    """Where and how all contestants run. `compiler` is a backend of torch.compile; weights random if None."""

    device: torch.device
    dtype: torch.dtype
    compiler: str
    weights: Weights | None = None


def prepare_ours(workload: Workload, setting: Setting, ops: str) -> Contestant:
    """Blocks compiled, the attention that is the fastest at this shape of those for this device."""
    made = workload.transformer
    shape = Shape(1, workload.tokens, workload.tokens, made.heads, made.dim // made.heads)
    picked = choose_attention(shape, setting.dtype, setting.device, order=route(setting.device).attention)
    attend = build_attention(picked.name, setting.device, setting.dtype)
    contestant = build_ours(
        workload, setting.device, setting.dtype, find_ops(ops, setting.device), attend, setting.weights
    )
    compile_blocks(contestant.model, setting.compiler)
    contestant.note = f"attention {picked.name}"
    return contestant


def prepare_diffusers(workload: Workload, setting: Setting) -> Contestant:
    """As it comes: eager, PyTorch's choice of attention."""
    contestant = build_diffusers(workload, setting.device, setting.dtype, setting.weights)
    contestant.note = "eager, attention native"
    return contestant


def prepare_diffusers_best(workload: Workload, setting: Setting) -> Contestant:
    """Its fastest attention, by one block's time, and its repeated blocks compiled."""
    contestant = build_diffusers(workload, setting.device, setting.dtype, setting.weights)
    seconds = {}
    for name in DIFFUSERS_ATTENTION:
        try:
            contestant.model.set_attention_backend(name)
            seconds[name] = measure_short(contestant.block(), setting.device, 3)
        except (RuntimeError, ImportError, ValueError):
            continue  # it does not run here: no package, or no kernel for this device and dtype
    fastest = min(seconds, key=lambda name: seconds[name])
    contestant.model.set_attention_backend(fastest)
    contestant.model.compile_repeated_blocks(fullgraph=True, backend=setting.compiler)
    contestant.note = f"attention {fastest}"
    return contestant


CONTESTANTS: Mapping[str, Callable[[Workload, Setting], Contestant]] = MappingProxyType(
    {
        OURS_TORCH: lambda workload, setting: prepare_ours(workload, setting, "torch"),
        OURS_TRITON: lambda workload, setting: prepare_ours(workload, setting, "triton"),
        DEFAULT: prepare_diffusers,
        BEST: prepare_diffusers_best,
    }
)
