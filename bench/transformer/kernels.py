"""Each operation of a block alone, and each attention backend alone: time, rate, distance from float32."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from bench.transformer.clock import measure_short
from bench.transformer.preparations import Setting
from bench.transformer.speed import peak_flops
from bench.transformer.workloads import Workload
from wan_core.catalog.architecture import Transformer
from wan_core.kernels.attention import BACKENDS, FAILURES, build_attention, lacks
from wan_core.kernels.ops import TORCH, Ops
from wan_core.kernels.triton_ops import OpsUnavailable, find_ops
from wan_core.model.rope import build_rope

EPS = 1e-6
ROWS = 64
"""Queries of each head that are held against float32 attention."""


@dataclass(frozen=True)
class Call:
    """Arguments of an operation, and how many values a token it must read and write."""

    arguments: Callable[[Workload, Setting], tuple[Any, ...]]
    values: Callable[[Transformer], int]


def tokens(workload: Workload, setting: Setting, channels: int | None = None) -> Tensor:
    size = (1, workload.tokens, channels or workload.transformer.dim)
    return torch.randn(size, device=setting.device, dtype=setting.dtype)


def weight(workload: Workload, setting: Setting) -> Tensor:
    """Of a norm, float32."""
    return torch.rand(workload.transformer.dim, device=setting.device) + 0.5


def modulation(workload: Workload, setting: Setting) -> Tensor:
    """[1, 1, D] in float32, one of six that lie side by side, as in a block."""
    return torch.randn(1, 1, 6, workload.transformer.dim, device=setting.device).unbind(2)[3]


def norm_arguments(workload: Workload, setting: Setting) -> tuple[Any, ...]:
    return tokens(workload, setting), modulation(workload, setting), modulation(workload, setting), EPS


def residual_arguments(workload: Workload, setting: Setting) -> tuple[Any, ...]:
    return tokens(workload, setting), tokens(workload, setting), modulation(workload, setting)


def heads_arguments(workload: Workload, setting: Setting) -> tuple[Any, ...]:
    made = workload.transformer
    weights = (weight(workload, setting) for _ in range(2))
    rope = build_rope(workload.grid, made.dim // made.heads, setting.device)
    return tokens(workload, setting, 3 * made.dim), *weights, rope.cos, rope.sin, made.heads, EPS


def rms_arguments(workload: Workload, setting: Setting) -> tuple[Any, ...]:
    return tokens(workload, setting), weight(workload, setting), EPS


def gelu_arguments(workload: Workload, setting: Setting) -> tuple[Any, ...]:
    return (tokens(workload, setting, workload.transformer.ffn_dim),)


CALLS: Mapping[str, Call] = MappingProxyType(
    {
        "modulated_norm": Call(norm_arguments, lambda made: 2 * made.dim),
        "gated_residual": Call(residual_arguments, lambda made: 3 * made.dim),
        "qk_norm_rope": Call(heads_arguments, lambda made: 4 * made.dim),
        "rms_norm": Call(rms_arguments, lambda made: 2 * made.dim),
        "gelu": Call(gelu_arguments, lambda made: 2 * made.ffn_dim),
    }
)
"""By the names of the fields of `Ops`."""


def measure_operations(workload: Workload, setting: Setting) -> Iterator[dict[str, Any]]:
    """A row for each operation and way: eager torch, compiled torch, and Triton where it runs."""
    for name, call in CALLS.items():
        for way, operation in ways(name, setting).items():
            torch.manual_seed(0)
            given = call.arguments(workload, setting)
            exact = reference(name, given)
            with torch.no_grad():
                error = distance(operation(*copies(given)), exact)
                del exact
                seconds = measure_short(lambda: operation(*given), setting.device)  # noqa: B023 - called here
            moved = call.values(workload.transformer) * workload.tokens * setting.dtype.itemsize
            yield {
                "workload": workload.name,
                "operation": name,
                "way": way,
                "ms": seconds * 1000,
                "gb_a_s": moved / seconds / 1e9,
                "error": error,
            }


def ways(name: str, setting: Setting) -> dict[str, Callable[..., Any]]:
    eager = getattr(TORCH, name)
    found = {
        "torch": eager,
        "torch, compiled": torch.compile(eager, fullgraph=True, dynamic=False, backend=setting.compiler),
    }
    try:
        triton: Ops = find_ops("triton", setting.device)
    except OpsUnavailable:
        return found
    return {**found, "triton": getattr(triton, name)}


def reference(name: str, given: tuple[Any, ...]) -> Tensor:
    """The operation's result in float32, from the same rounded tokens."""
    with torch.no_grad():
        return flat(getattr(TORCH, name)(*(x.float() if isinstance(x, Tensor) else x for x in given)))


def copies(given: tuple[Any, ...]) -> tuple[Any, ...]:
    """Operations may write into what they are given."""
    return tuple(x.clone() if isinstance(x, Tensor) else x for x in given)


def flat(result: Tensor | tuple[Tensor, ...]) -> Tensor:
    parts = (result,) if isinstance(result, Tensor) else result
    return torch.cat([part.flatten() for part in parts])


def distance(result: Tensor | tuple[Tensor, ...], exact: Tensor) -> float:
    """Relative L2."""
    return ((flat(result).float() - exact).norm() / exact.norm()).item()


def measure_attention(workload: Workload, setting: Setting, keys: int) -> Iterator[dict[str, Any]]:
    """A row for each backend: of every token to `keys` keys, or what the backend lacks here."""
    made = workload.transformer
    flops = 4 * workload.tokens * keys * made.dim
    for name, backend in BACKENDS.items():
        row = {"workload": workload.name, "keys": keys, "backend": name, "tier": backend.tier}
        if reason := unfit(name, workload, setting, keys):
            yield {**row, "refused": reason}
            continue
        try:
            seconds, error = time_attention(name, workload, setting, keys)
        except FAILURES as refusal:
            why = str(refusal).strip().partition("\n")[0] or type(refusal).__name__
            yield {**row, "refused": why}
            continue
        peak = peak_flops(setting.device)
        share = None if peak is None else flops / seconds / peak
        yield {
            **row,
            "ms": seconds * 1000,
            "tflops": flops / seconds / 1e12,
            "share_of_peak": share,
            "error": error,
        }


def unfit(name: str, workload: Workload, setting: Setting, keys: int) -> str:
    scores = 2 * 4 * workload.transformer.heads * workload.tokens * keys
    if name == "math" and scores > 2**34:
        return f"would hold {scores / 2**30:.0f} GiB of scores"
    return lacks(BACKENDS[name], setting.device, setting.dtype)


def time_attention(name: str, workload: Workload, setting: Setting, keys: int) -> tuple[float, float]:
    """Seconds, and the relative L2 of some rows to float32."""
    made = workload.transformer
    torch.manual_seed(0)
    heads = (made.heads, made.dim // made.heads)
    q, k, v = random_heads(max(workload.tokens, keys), heads, setting)
    q, k, v = q[:, : workload.tokens], k[:, :keys], v[:, :keys]
    attend = build_attention(name, setting.device, setting.dtype)
    with torch.no_grad():
        seconds = measure_short(lambda: attend(q, k, v), setting.device, 5)
        exact = BACKENDS["math"].attend(q[:, :ROWS].float(), k.float(), v.float())
        return seconds, distance(attend(q, k, v)[:, :ROWS], flat(exact))


def random_heads(length: int, heads: tuple[int, int], setting: Setting) -> tuple[Tensor, Tensor, Tensor]:
    """q, k and v as views of one fused projection, as the model has them."""
    fused = torch.randn(1, length, 3, *heads, device=setting.device, dtype=setting.dtype)
    q, k, v = fused.unbind(2)
    return q, k, v
