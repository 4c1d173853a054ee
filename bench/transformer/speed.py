"""A step of one contestant: its time, energy and memory, and a profile of it by kind of kernel."""

from __future__ import annotations

import re
import time
from collections import Counter
from typing import Any

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from bench.transformer.clock import (
    Joules,
    Timing,
    measure,
    measure_short,
    peak_memory,
    start_memory,
    time_once,
)
from bench.transformer.contestants import Contestant
from bench.transformer.preparations import CONTESTANTS, Setting
from bench.transformer.workloads import Workload
from wan_core.catalog.gpus import find_gpu

STEPS = 5
FORWARDS = 2
"""Of a step: with the prompt, and with the negative one."""
LONGEST = 12
"""Kernels that a profile names."""

KINDS = (
    ("elementwise", r"^triton_(poi|red|per)_"),  # Inductor names them after neighbours too: mm, attention
    ("attention", r"attention|flash|fmha|sdpa"),
    ("gemm", r"gemm|nvjet|cutlass|cublas|xmma|addmm|::b?mm$|::linear|triton_tem|gemv|splitk"),
    (
        "elementwise",
        r"triton|elementwise|reduce|norm|rope|gated|copy|mem(set|cpy)|cat|fill|gelu|silu|softmax|aten::",
    ),
)
"""Patterns in the names of kernels, and on a CPU of operators; the first that is found counts."""


def measure_speed(workload: Workload, name: str, setting: Setting, until: float) -> dict[str, Any]:
    """One row: the medians of up to `STEPS` steps after one that warms up."""
    device = setting.device
    contestant = CONTESTANTS[name](workload, setting)
    with torch.no_grad():
        first_s = time_once(lambda: check_finite(contestant.forward(0)), device)
        contestant.forward(1)
        held, counter = start_memory(device), Joules(device)
        before, began = counter.read(), time.monotonic()
        timing = measure(lambda: step(contestant), device, STEPS, until)
        after, peak = counter.read(), peak_memory(device)
        elapsed_s = time.monotonic() - began
        block_s = measure_short(contestant.block(), device, 5)
    energy = None if after is None else (after - before) / len(timing.seconds)
    return {
        "workload": workload.name,
        "contestant": name,
        "runs_on": contestant.note,
        "first_forward_s": first_s,
        **rates(workload, timing, peak_flops(device)),
        "ms_a_block": block_s * 1000,
        "joules_a_step": energy,
        "joules_missing": counter.why,
        "measured_for_s": elapsed_s,
        "peak_gib": None if peak is None else peak / 2**30,
        "activation_bytes_a_token": None if peak is None else (peak - held) / workload.tokens,
    }


def step(contestant: Contestant) -> None:
    for prompt in range(FORWARDS):
        contestant.forward(prompt)


def rates(workload: Workload, timing: Timing, peak: float | None) -> dict[str, Any]:
    """What follows from a step's median time. `share_of_peak` is None for a device whose peak is unknown."""
    median = timing.median
    flops = FORWARDS * workload.flops / median
    return {
        "s_a_step": median,
        "s_a_step_spread": list(timing.spread),
        "steps": len(timing.seconds),
        "ms_a_forward": median / FORWARDS * 1000,
        "tokens_a_s": FORWARDS * workload.tokens / median,
        "tflops": flops / 1e12,
        "share_of_peak": None if peak is None else flops / peak,
    }


def peak_flops(device: torch.device) -> float | None:
    """Of dense bf16 products, by the product's name; None where the catalogue does not know it."""
    card = find_gpu(torch.cuda.get_device_name(device)) if device.type == "cuda" else None
    return None if card is None or card.bf16_tflops is None else card.bf16_tflops * 1e12


def measure_kinds(workload: Workload, name: str, setting: Setting) -> dict[str, Any]:
    """One row: seconds of a step by kind of kernel, and the kernels that took longest."""
    device = setting.device
    contestant = CONTESTANTS[name](workload, setting)
    with torch.no_grad():
        step(contestant)
        wall_s = time_once(lambda: step(contestant), device)
        seconds = kernel_seconds(contestant, device)
    kinds: Counter[str] = Counter()
    for kernel, spent in seconds.items():
        kinds[kind_of(kernel)] += spent
    longest = sorted(seconds.items(), key=lambda item: -item[1])[:LONGEST]
    return {
        "workload": workload.name,
        "contestant": name,
        "runs_on": contestant.note,
        "s_a_step": wall_s,
        "seconds": dict(kinds),
        "longest": [
            {"kernel": kernel, "seconds": spent, "kind": kind_of(kernel)} for kernel, spent in longest
        ],
    }


def kernel_seconds(contestant: Contestant, device: torch.device) -> dict[str, float]:
    """Seconds on the device by kernel, or on a CPU by operator, in one step."""
    on_gpu = device.type == "cuda"
    activities = [ProfilerActivity.CUDA] if on_gpu else [ProfilerActivity.CPU]
    with profile(activities=activities) as found:
        step(contestant)
        if on_gpu:
            torch.cuda.synchronize(device)
    wanted = DeviceType.CUDA if on_gpu else DeviceType.CPU
    field = "self_device_time_total" if on_gpu else "self_cpu_time_total"
    events = [
        event
        for event in found.key_averages()
        if event.device_type == wanted
        and not event.is_user_annotation  # whose kernels are counted themselves
    ]
    return {event.key: getattr(event, field) / 1e6 for event in events}


def kind_of(kernel: str) -> str:
    for kind, pattern in KINDS:
        if re.search(pattern, kernel, re.IGNORECASE):
            return kind
    return "other"


def check_finite(output: torch.Tensor) -> None:
    if not torch.isfinite(output).all():
        raise FloatingPointError("the transformer's output holds values that are not numbers")
