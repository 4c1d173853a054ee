"""Bytes of activations a token at true sizes without a device: fake tensors, every live storage counted.

The algorithm's figures, eager: what a compiler never materialises and what an allocator rounds up are not in
them; attention is that of PyTorch's CPU kernel, which keeps no scores. Counted is what a forward adds to what
was there before it: weights, latents, text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._tools.mem_tracker import MemTracker

from bench.transformer.contestants import Contestant, build_diffusers, build_ours
from bench.transformer.workloads import WORKLOADS, Workload
from wan_core.kernels.ops import TORCH
from wan_core.kernels.triton_ops import TRITON

CPU = torch.device("cpu")
DTYPE = torch.bfloat16

BUILDERS: Mapping[str, Callable[[Workload], Contestant]] = MappingProxyType(
    {
        "diffusers": lambda workload: build_diffusers(workload, CPU, DTYPE),
        "ours, torch": lambda workload: build_ours(workload, CPU, DTYPE, TORCH),
        "ours, triton": lambda workload: build_ours(workload, CPU, DTYPE, TRITON),
    }
)


def measure_activations() -> Iterator[dict[str, Any]]:
    """A row for each shape and contestant."""
    for workload in WORKLOADS.values():
        for name, build in BUILDERS.items():
            yield {"workload": workload.name, "contestant": name, **count(workload, build)}


def count(workload: Workload, build: Callable[[Workload], Contestant]) -> dict[str, float]:
    """Peak bytes of one forward beyond what was held, in all and a token."""
    with FakeTensorMode(), torch.no_grad():
        contestant = build(workload)
        tracker = MemTracker()
        tracker.track_external(contestant.model)
        weights = total(tracker, "current")
        tracker.track_external(*contestant.held)
        held = total(tracker, "current")
        with tracker:
            contestant.forward(0)
        added = total(tracker, "peak") - held
    return {
        "weights_gib": weights / 2**30,
        "inputs_gib": (held - weights) / 2**30,
        "activations_gib": added / 2**30,
        "bytes_a_token": added / workload.tokens,
    }


def total(tracker: MemTracker, moment: str) -> int:
    return tracker.get_tracker_snapshot(moment)[CPU]["Total"]
