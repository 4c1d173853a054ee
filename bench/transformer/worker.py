"""A worker: a process that is given one case and prints its rows. None can harm the next."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, TextIO

import torch
import triton

from bench.transformer.activations import measure_activations
from bench.transformer.case import Case
from bench.transformer.contestants import hide_unseen, import_diffusers
from bench.transformer.kernels import measure_attention, measure_operations
from bench.transformer.preparations import Setting
from bench.transformer.ratio import measure_ratios
from bench.transformer.sameness import measure_sameness
from bench.transformer.speed import measure_kinds, measure_speed
from bench.transformer.workloads import WORKLOADS, Workload, shrink


def work() -> None:
    """Import what is needed, wait for a case on standard input, print its rows as lines of JSON."""
    out = take_stdout()
    hide_unseen()
    import_diffusers()
    line = sys.stdin.readline()
    if not line:
        return  # there is nothing more to do
    case = Case(**json.loads(line))
    for row in run(case):
        print(json.dumps({"table": case.what, **row}), file=out, flush=True)


def take_stdout() -> TextIO:
    """Standard output for rows alone: what libraries print goes to standard error."""
    ours = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return ours


def run(case: Case) -> Iterator[dict[str, Any]]:
    until = time.monotonic() + case.seconds
    device = torch.device(case.device)
    setting = Setting(device, torch.bfloat16, case.compiler)
    if case.what in WHOLE:
        yield from WHOLE[case.what](device)
        return
    workload = WORKLOADS[case.workload]
    workload = shrink(workload) if case.small else workload
    yield from measure_table(case, workload, setting, until)


def measure_table(case: Case, workload: Workload, setting: Setting, until: float) -> Iterator[dict[str, Any]]:
    if case.what == "speed":
        yield measure_speed(workload, case.contestant, setting, until)
    elif case.what == "kinds":
        yield measure_kinds(workload, case.contestant, setting)
    elif case.what == "sameness":
        yield from measure_sameness(workload, setting)
    elif case.what == "operations":
        yield from measure_operations(workload, setting)
    elif case.what == "attention":
        for keys in (workload.tokens, workload.transformer.text_len):
            yield from measure_attention(workload, setting, keys)
    else:
        raise AssertionError(f"no table is called {case.what}")


def circumstances(device: torch.device) -> Iterator[dict[str, Any]]:
    """What the figures depend on."""
    import diffusers

    found: dict[str, Any] = {
        "device": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load": list(os.getloadavg()),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "triton": triton.__version__,
        "diffusers": diffusers.__version__,
    }
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        found |= {
            "device": properties.name,
            "device_gib": properties.total_memory / 2**30,
            "capability": f"{properties.major}.{properties.minor}",
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
            "driver": driver(),
        }
    yield found


def driver() -> str:
    """The version of NVIDIA's driver, as its own tool tells it."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout
    except (OSError, subprocess.SubprocessError) as error:
        return f"not told: {error}"
    return told.strip().splitlines()[0]


WHOLE: Mapping[str, Callable[[torch.device], Iterator[dict[str, Any]]]] = MappingProxyType(
    {
        "circumstances": circumstances,
        "activations": lambda _: measure_activations(),
        "ratio": lambda _: measure_ratios(),
    }
)
"""Tables that name their shapes themselves."""
