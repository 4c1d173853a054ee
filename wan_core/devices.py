"""What a device computes with: one table, from its kind and architecture to dtype, attention and allocator.

Only the CPU's row was tried here; those for GPUs follow what others published about them. Within a row
attention is only an order of candidates: what is used is measured. Not covered: memory, two GPUs, Apple's.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import torch

from wan_core.errors import IncompatibleHardware

Capability = tuple[int, int]

TF32_TIER: Final = "near"
"""TF32 keeps 10 bits of a float32's 23: its results are not those of float32."""
TF32_SINCE: Capability = (8, 0)
ALLOCATOR_VARIABLES = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF")
EXPANDABLE = "expandable_segments:True"  # one growing segment: experts and VAE leave no gaps between them


@dataclass(frozen=True)
class Route:
    """How a device is used. `attention` names backends of `wan_core.kernels.attention`, likeliest first;
    `allocator` is for PYTORCH_ALLOC_CONF, empty for torch's default.
    """

    name: str
    dtype: torch.dtype
    attention: tuple[str, ...]
    allocator: str = ""
    tf32: bool = False


def _cuda(name: str, dtype: torch.dtype, *attention: str, tf32: bool = True) -> Route:
    return Route(name, dtype, attention, EXPANDABLE, tf32)


CUDA: Mapping[Capability, Route] = MappingProxyType(
    {  # from this compute capability on
        # cuDNN 1.24-1.98x FA4 on B200 (sgl-project/sglang#33655)
        (10, 0): _cuda("Blackwell", torch.bfloat16, "cudnn", "fa4", "flash", "efficient"),
        # cuDNN 0.88x on RTX PRO 6000 (huggingface/transformers#48163)
        (12, 0): _cuda("Blackwell RTX", torch.bfloat16, "flash", "cudnn", "efficient"),
        # FA2 370, cuDNN 595, FA3 648 TFLOP/s on H100 (arXiv 2407.08608)
        (9, 0): _cuda("Hopper", torch.bfloat16, "cudnn", "fa3", "fa4", "flash", "efficient"),
        # cuDNN 1.00x on L40S, 0.82x on A100 (huggingface/transformers#48163)
        (8, 9): _cuda("Ada", torch.bfloat16, "flash", "cudnn", "efficient"),
        (8, 0): _cuda("Ampere", torch.bfloat16, "flash", "cudnn", "efficient"),
        # no bfloat16, no flash attention in torch; tensor cores for float16 alone, which ends at 65,504: T5's
        # feed-forward passes it (transformers keeps its `wo` in float32 for that), and nothing shows that the
        # stream of a Wan, made for bfloat16's range, does not
        (7, 0): _cuda("Volta or Turing", torch.float32, "efficient", "sliced", tf32=False),
        (5, 0): _cuda("Maxwell or Pascal", torch.float32, "efficient", "sliced", tf32=False),
    }
)
OTHERS: Mapping[str, Route] = MappingProxyType(
    {
        "rocm": Route("ROCm", torch.bfloat16, ("flash", "efficient", "sdpa")),
        "xpu": Route("XPU", torch.bfloat16, ("sdpa", "sliced")),
        "cpu": Route("CPU", torch.float32, ("sdpa",)),
    }
)


def route(device: torch.device) -> Route:
    """The row of a device. Raises IncompatibleHardware if there is none or torch has no code for it."""
    kind = "rocm" if device.type == "cuda" and torch.version.hip else device.type
    if kind == "cuda":
        capability = torch.cuda.get_device_capability(device)
        check_built(capability, torch.cuda.get_arch_list())
        return route_cuda(capability)
    if kind not in OTHERS:
        raise IncompatibleHardware(f"nothing here runs on {kind}; there are cuda, {', '.join(OTHERS)}")
    return OTHERS[kind]


def route_cuda(capability: Capability) -> Route:
    """The newest row that is not newer than the GPU."""
    rows = [since for since in CUDA if since <= capability]
    if not rows:
        raise IncompatibleHardware(
            f"compute capability {_dotted(capability)} is older than {_dotted(min(CUDA))}"
        )
    return CUDA[max(rows)]


def check_built(capability: Capability, built: Sequence[str]) -> None:
    """Raises IncompatibleHardware unless torch carries code for the GPU.

    `sm_XY` runs on the same major number from Y on, `compute_XY` (to be compiled by the driver) on all later;
    what ends in `a` runs on XY alone (NVIDIA, CUDA C++ programming guide, architecture-specific features).
    """
    for name in built:
        kind, _, digits = name.partition("_")
        number = int("".join(filter(str.isdigit, digits)))
        found = (number // 10, number % 10)
        later = not name.endswith("a") and (kind == "compute" or found[0] == capability[0])
        if found == capability or (found < capability and later):
            return
    raise IncompatibleHardware(
        f"this torch is built for {', '.join(built)}, not for compute capability {_dotted(capability)}"
    )


def apply_allocator(chosen: Route) -> None:
    """Tell torch's allocator, before it allocates anything; what the environment says already stays."""
    if chosen.allocator and not any(name in os.environ for name in ALLOCATOR_VARIABLES):
        os.environ[ALLOCATOR_VARIABLES[0]] = chosen.allocator


def use_tf32(chosen: Route, on: bool) -> None:
    """Matrix products and convolutions of float32 tensors in TF32, tier `near`; off is exact.

    PyTorch's own default is off for products, but on for cuDNN's convolutions. Raises IncompatibleHardware
    where there is no TF32.
    """
    if on and not chosen.tf32:
        raise IncompatibleHardware(
            f"{chosen.name} has no TF32: it exists from compute capability {_dotted(TF32_SINCE)} on"
        )
    torch.backends.cuda.matmul.allow_tf32 = on
    torch.backends.cudnn.allow_tf32 = on


def _dotted(capability: Capability) -> str:
    return ".".join(map(str, capability))
