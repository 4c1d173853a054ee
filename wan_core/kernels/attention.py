"""Attention over heads: one function, several backends, resolved to a plain function when a model is built.

B samples, L queries, S keys, H heads of d channels. A backend is data: its function, its tier and what it
needs. Nothing falls back by itself: a function computes with the backend that it is named after, or fails.
FA3 and FA4 take the place of PyTorch's own flash kernel in the whole process, so of `flash`, `fa3`, `fa4` and
`sdpa` only the one built last is what it says. Not covered: masks, causal attention, dropout, 8-bit inputs.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import util
from types import MappingProxyType
from typing import Literal, TypeAlias

import torch
from torch import Tensor
from torch.nn import attention as torch_attention
from torch.nn import functional as F

aten = torch.ops.aten

Attend: TypeAlias = Callable[[Tensor, Tensor, Tensor], Tensor]
"""q [B, L, H, d], k and v [B, S, H, d] -> [B, L, H, d]. No mask, scale 1 / sqrt(d)."""

Tier: TypeAlias = Literal["lossless", "near"]

SCORE_BYTES = 2**30
"""What `sliced` holds of scores at a time, in float32; its softmax holds as much again."""


def sdpa(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """PyTorch's own choice of backend."""
    return _rows_first(F.scaled_dot_product_attention(*_heads_first(q, k, v)))


def math(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Two matrix products and a softmax; holds all B x H x L x S scores."""
    return _rows_first(aten._scaled_dot_product_attention_math(*_heads_first(q, k, v))[0])


def flash(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """FlashAttention as PyTorch carries it, or what was put in its place."""
    return _rows_first(aten._scaled_dot_product_flash_attention(*_heads_first(q, k, v))[0])


def efficient(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """xFormers' memory-efficient attention as PyTorch carries it."""
    return _rows_first(aten._scaled_dot_product_efficient_attention(*_heads_first(q, k, v), None, True)[0])


def cudnn(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """cuDNN's flash attention."""
    return _rows_first(aten._scaled_dot_product_cudnn_attention(*_heads_first(q, k, v), None, True)[0])


def sliced(q: Tensor, k: Tensor, v: Tensor, score_bytes: int = SCORE_BYTES) -> Tensor:
    """`math` over some heads, or some queries of one head, at a time."""
    (b, queries, heads, _), keys = q.shape, k.shape[1]
    out = q.new_empty(q.shape)
    for rows, some in divide(queries, heads, query_bytes=4 * b * keys, score_bytes=score_bytes):
        out[:, rows, some] = math(q[:, rows, some], k[:, :, some], v[:, :, some])
    return out


def divide(queries: int, heads: int, query_bytes: int, score_bytes: int) -> list[tuple[slice, slice]]:
    """Slices of queries and heads that cover both; the float32 scores of each are at most `score_bytes`, or
    those of one query of one head in every sample, which are `query_bytes`.
    """
    fitting = max(1, score_bytes // query_bytes)
    rows, some = min(queries, fitting), max(1, fitting // queries)
    return [
        (slice(row, min(row + rows, queries)), slice(head, min(head + some, heads)))
        for head in range(0, heads, some)
        for row in range(0, queries, rows)
    ]


@torch.library.custom_op("wan::sage_attention", mutates_args=())
def sage(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """SageAttention: q and k in 8 bits. Cannot be differentiated."""
    from sageattention import sageattn

    return sageattn(q, k, v, tensor_layout="NHD", is_causal=False)


@sage.register_fake
def _(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return q.new_empty(q.shape)


def _heads_first(*tensors: Tensor) -> tuple[Tensor, ...]:
    return tuple(tensor.transpose(1, 2) for tensor in tensors)


def _rows_first(x_BHLd: Tensor) -> Tensor:
    return x_BHLd.transpose(1, 2)


@dataclass(frozen=True)
class Backend:
    """A way to compute attention and what it needs.

    `devices` are torch's types, with `rocm` for AMD's GPUs, which torch calls cuda. `architectures` are major
    numbers of CUDA's compute capability, none means any. `flash` names what it puts in the place of PyTorch's
    flash kernel.
    """

    name: str
    tier: Tier
    attend: Attend
    devices: tuple[str, ...]
    dtypes: tuple[torch.dtype, ...]
    architectures: tuple[int, ...] = ()
    package: str = ""
    flash: str = ""

    @property
    def needs(self) -> str:
        """In words."""
        dtypes = " or ".join(str(dtype).removeprefix("torch.") for dtype in self.dtypes)
        found = [" or ".join(self.devices), dtypes]
        if self.architectures:
            found.append("sm_" + ", sm_".join(f"{major}x" for major in self.architectures))
        if self.package:
            found.append(f"the package {self.package}")
        return "; ".join(found)


ANYWHERE = ("cuda", "rocm", "xpu", "mps", "cpu")
HALF = (torch.bfloat16, torch.float16)
FLOAT = (*HALF, torch.float32)

BACKENDS: Mapping[str, Backend] = MappingProxyType(
    {
        backend.name: backend
        for backend in (
            Backend("sdpa", "lossless", sdpa, ANYWHERE, FLOAT),
            Backend("cudnn", "lossless", cudnn, ("cuda",), HALF, (8, 9, 10, 12)),
            Backend("fa3", "lossless", flash, ("cuda",), HALF, (9,), "flash_attn_interface", "FA3"),
            Backend("fa4", "lossless", flash, ("cuda",), HALF, (9, 10), "flash_attn.cute", "FA4"),
            Backend("flash", "lossless", flash, ("cuda", "rocm"), HALF, (8, 9, 10, 12)),
            Backend("efficient", "lossless", efficient, ("cuda", "rocm"), FLOAT),
            Backend("math", "lossless", math, ANYWHERE, FLOAT),
            Backend("sliced", "lossless", sliced, ANYWHERE, FLOAT),
            Backend("sage", "near", sage, ("cuda",), HALF, (8, 9, 10, 12), "sageattention"),
        )
    }
)
ALIASES: Mapping[str, str] = MappingProxyType({"xformers": "efficient"})


class UnknownBackend(ValueError):
    """No backend has this name."""


class BackendLacks(ValueError):
    """The backend cannot run here; the message says what it lacks."""


FAILURES = (RuntimeError, ImportError, ValueError, TypeError, AssertionError)
"""What a backend that does not work here may raise when it is built or called: torch, or its package."""


def find_backend(name: str) -> Backend:
    """By name or alias. Raises UnknownBackend with the nearest name."""
    known = [*BACKENDS, *ALIASES]
    if name not in known:
        nearest = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.0)[0]
        raise UnknownBackend(
            f"there is no attention backend {name!r}; nearest: {nearest}; all: {', '.join(known)}"
        )
    return BACKENDS[ALIASES.get(name, name)]


def build_attention(name: str, device: torch.device, dtype: torch.dtype) -> Attend:
    """The function of a backend, ready to run. Raises UnknownBackend or BackendLacks."""
    backend = find_backend(name)
    if lacking := lacks(backend, device, dtype):
        raise BackendLacks(f"attention backend {backend.name} {lacking}; it needs {backend.needs}")
    if torch_attention.current_flash_attention_impl() is not None:
        torch_attention.restore_flash_attention_impl()
    if backend.flash:
        _put_in_place(backend)
    return backend.attend


def _put_in_place(backend: Backend) -> None:
    try:
        torch_attention.activate_flash_attention_impl(backend.flash)
    except (ImportError, RuntimeError) as error:  # built for another torch, or without the kernels
        raise BackendLacks(f"attention backend {backend.name} cannot be loaded: {error}") from error


def lacks(backend: Backend, device: torch.device, dtype: torch.dtype) -> str:
    """What keeps a backend from running on a device; empty if nothing that can be known beforehand does."""
    kind = "rocm" if device.type == "cuda" and torch.version.hip else device.type
    if kind not in backend.devices:
        return f"does not run on {kind}"
    if dtype not in backend.dtypes:
        return f"does not take {str(dtype).removeprefix('torch.')}"
    if kind == "cuda" and backend.architectures:
        major, minor = torch.cuda.get_device_capability(device)
        if major not in backend.architectures:
            return f"does not run on sm_{major}{minor}"
    return _seek(backend.package) if backend.package else ""


def _seek(package: str) -> str:
    """Why a module cannot be had; empty if it is there. Its parents are imported to look for it."""
    try:
        found = util.find_spec(package)
    except ModuleNotFoundError:
        found = None
    except ImportError as error:  # as of a parent that was built for another torch
        return f"cannot import the package {package}: {error}"
    return "" if found else f"lacks the package {package}"
