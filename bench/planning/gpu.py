"""The planner's memory against a real GPU: weights of zeros, real kernels, real peaks.

python -m bench.planning.gpu --json FILE [--models ti2v-5B t2v-1.3B ...] [--gib 24]

Each case of `bench.planning.cases` whose plan fits the GPU, or the GiB that are given, runs every phase; what
torch's allocator had allocated and reserved at its peak stands beside the estimate, and what the driver says
is used beside base and all (of the 0.3 to 0.6 GiB that it keeps for itself it does not tell). Nothing here
has run on a GPU by this project: none was at hand. It needs torch with CUDA, and host memory for what a plan
keeps there.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn

from bench.planning.cases import SHAPES, Case, list_cases
from bench.planning.studio import CUDA, count_phases, read_steps
from wan_core.catalog.models import MODELS
from wan_core.plan.memory import MemoryEstimate, estimate_memory

GIB = 2**30


@dataclass(frozen=True)
class Row:
    """GiB of one phase: estimated with base and margin; allocated and reserved by torch; used on the GPU."""

    case: Case
    phase: str
    estimated: float
    allocated: float
    reserved: float
    used: float

    @property
    def error(self) -> float:
        """By how much the estimate is more than what was used, in percent."""
        return 100 * (self.estimated / self.used - 1)


def count(call: Callable[[], Any], held: Iterable[nn.Module], tensors: Iterable[Tensor]) -> dict[str, int]:
    """Peak bytes while `call` runs; modules and tensors are there anyway."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(CUDA)
    before = outside()
    call()
    torch.cuda.synchronize(CUDA)
    reserved = torch.cuda.max_memory_reserved(CUDA)
    return {
        "allocated": torch.cuda.max_memory_allocated(CUDA),
        "reserved": reserved,
        "used": reserved + max(before, outside()),
    }


def outside() -> int:
    """What is used on the GPU beside what torch's allocator holds: contexts, libraries, other processes."""
    free, total = torch.cuda.mem_get_info(CUDA)
    return total - free - torch.cuda.memory_reserved(CUDA)


@contextmanager
def zeros() -> Iterator[None]:
    """Inside, weights are zeros: random ones take minutes to make, and may overflow."""
    with torch.no_grad(), ExitStack() as stack:
        for name in ("kaiming_uniform_", "uniform_", "normal_"):
            stack.enter_context(patch.object(nn.init, name, lambda tensor, *_, **__: tensor.zero_()))
        yield


def measure(case: Case) -> Iterator[Row]:
    estimated, steps = estimate(case), read_steps(case)
    with zeros():
        phases = count_phases(case, steps, count)
    for phase, found in phases.items():
        gib = {name: round(size / GIB, 3) for name, size in found.items()}
        yield Row(case, phase, getattr(estimated, f"{phase}_gib"), **gib)


def estimate(case: Case) -> MemoryEstimate:
    return estimate_memory(case.plan, MODELS[case.model], case.request)


def main(argv: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="bench.planning.gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, required=True, help="the file that is written after each case")
    parser.add_argument("--models", nargs="*", default=list(SHAPES), choices=list(SHAPES))
    parser.add_argument("--gib", type=float, help="of the GPU; default: what is free on it")
    given = parser.parse_args(argv)
    if not torch.cuda.is_available():
        raise SystemExit("torch sees no GPU here; without one: python -m bench.planning.memory")
    room = given.gib or torch.cuda.mem_get_info(CUDA)[0] / GIB
    rows: list[Row] = []
    for case in list_cases(given.models, every=True):
        if estimate(case).peak_gib > room:
            continue
        for row in measure(case):
            rows.append(row)
            print(case.model, case.shape, *case.techniques, row.phase, end=": ")
            print(f"{row.estimated} estimated, {row.used} used ({row.error:+.1f} %)", flush=True)
        facts = {"gpu": torch.cuda.get_device_name(CUDA), "torch": torch.__version__}
        given.json.write_text(json.dumps({**facts, "rows": [asdict(r) for r in rows]}, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
