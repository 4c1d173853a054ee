"""Which attention backend is the fastest for one shape on one device, of those that compute the right thing.

Each candidate is held against float32 arithmetic on the CPU at a small shape, then timed at the true one. A
backend of tier `near` is never a candidate: it runs where it is fixed by hand. Memory that a backend takes
beside its timing is not weighed: what runs out of it is refused.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor

from wan_core.kernels.attention import FAILURES, Attend, build_attention, find_backend, lacks, math
from wan_core.kernels.picks import Pick, Refused, pick, seconds_of

TOLERANCE: Mapping[torch.dtype, float] = MappingProxyType(
    {torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 1e-2}
)
"""Relative L2 to float32: a rounding of the output, and of the weights before the second product."""
TF32_TOLERANCE = 2e-3
"""Where float32 products are in TF32: 10 bits of mantissa."""
MATH_BYTES = 4 * 2**30
"""Scores in float32 above which `math` is not tried."""


class Shape(NamedTuple):
    """One call of attention."""

    samples: int
    queries: int
    keys: int
    heads: int
    head_dim: int


def choose_attention(
    shape: Shape,
    dtype: torch.dtype,
    device: torch.device,
    *,
    order: Sequence[str],
    folder: Path | None = None,
    fixed: str | None = None,
) -> Pick:
    """The name of the fastest backend of `order`, or `fixed` if that is given; then nothing is measured.

    Raises UnknownBackend or BackendLacks for a fixed one, NothingWorks if none of `order` runs.
    """
    if fixed is not None:
        build_attention(fixed, device, dtype)
        return Pick(find_backend(fixed).name, "fixed")
    refused = {name: reason for name in order if (reason := _unfit(name, shape, dtype, device))}
    candidates = {name: _measurement(name, shape, dtype, device) for name in order if name not in refused}
    return pick(_key(shape, dtype, device), candidates, folder, refused)


def _unfit(name: str, shape: Shape, dtype: torch.dtype, device: torch.device) -> str:
    backend = find_backend(name)
    scores = 4 * shape.samples * shape.heads * shape.queries * shape.keys
    if backend.tier != "lossless":
        return f"is {backend.tier}, not lossless"
    if backend.attend is math and scores > MATH_BYTES:
        return f"holds {scores / 2**30:.1f} GiB of scores, more than {MATH_BYTES / 2**30:.0f} GiB"
    return lacks(backend, device, dtype)


def _key(shape: Shape, dtype: torch.dtype, device: torch.device) -> dict[str, str]:
    on_cuda = device.type == "cuda"
    name = torch.cuda.get_device_name(device) if on_cuda else f"{device.type} {platform.processor()}"
    return {
        "what": "attention",
        "device": name,
        "torch": torch.__version__,
        "dtype": str(dtype),
        "float32": torch.get_float32_matmul_precision(),
        "shape": " ".join(map(str, shape)),
    }


def _measurement(name: str, shape: Shape, dtype: torch.dtype, device: torch.device) -> Callable[[], float]:
    def measure() -> float:
        try:
            attend = build_attention(name, device, dtype)
            _check(attend, shape.head_dim, dtype, device)
            q, k, v = _random(shape, dtype, device)
            return seconds_of(lambda: attend(q, k, v), device)
        except FAILURES as error:
            raise Refused(str(error).strip().partition("\n")[0] or type(error).__name__) from error

    return measure


def _check(attend: Attend, head_dim: int, dtype: torch.dtype, device: torch.device) -> None:
    for keys in (200, 72):
        q, k, v = _random(Shape(1, 200, keys, 2, head_dim), dtype, torch.device("cpu"))
        expected = math(q.float(), k.float(), v.float())
        got = attend(q.to(device), k.to(device), v.to(device)).float().cpu()
        error = ((got - expected).norm() / expected.norm()).item()
        bound = _tolerance(dtype, device)
        if not error <= bound:  # NaN is refused too
            raise Refused(f"is wrong: relative L2 {error:.1e} to float32, more than {bound:.0e}")


def _tolerance(dtype: torch.dtype, device: torch.device) -> float:
    in_tf32 = device.type == "cuda" and torch.get_float32_matmul_precision() != "highest"
    return max(TOLERANCE[dtype], TF32_TOLERANCE if in_tf32 else 0.0)


def _random(shape: Shape, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Laid out as the model has them: views of one fused projection."""
    rows = max(shape.queries, shape.keys)
    size = (shape.samples, rows, 3, shape.heads, shape.head_dim)
    generator = torch.Generator(device).manual_seed(0)
    q, k, v = torch.randn(size, dtype=dtype, device=device, generator=generator).unbind(2)
    return q[:, : shape.queries], k[:, : shape.keys], v[:, : shape.keys]
