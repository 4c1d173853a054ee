"""Why a plan fits nowhere, with the numbers, and which change of request or hardware would make it fit."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence, Set
from math import ceil

from wan_core.catalog.architecture import ModelCard
from wan_core.plan.inventory import Inventory
from wan_core.plan.memory import MemoryEstimate, estimate_memory
from wan_core.plan.places import BF16_CAPABILITY, Place
from wan_core.plan.request import Request
from wan_core.plan.techniques import Plan

Rooms = Set[tuple[float, float]]
"""GiB of device and host memory that stand side by side somewhere."""


def why_never(plan: Plan, memory: MemoryEstimate, places: Sequence[Place], inventory: Inventory) -> str:
    """One clause with what is needed and the most that there is."""
    need = f"needs {memory.peak_gib:.1f} GiB ({memory.peak_phase})"
    here = [p for p in places if p.kind == plan.device]
    if not here:
        return f"{need}, {_nothing_of(plan, inventory)}"
    suited = [p for p in here if p.has_bf16]
    if not suited:
        best = max(here, key=lambda p: (p.capability or (0, 0), p.product))
        have, want = ("{}.{}".format(*c) for c in (best.capability or (0, 0), BF16_CAPABILITY))
        return f"needs compute capability {want} for bf16, {best.product} has {have}"
    largest = max(suited, key=lambda p: (p.total_gib, p.product))
    if plan.device == "cuda" and memory.peak_gib > largest.total_gib:
        return f"{need}, the largest GPU is {largest.product} with {largest.total_gib:.1f} GiB"
    roomy = [p for p in suited if memory.peak_gib <= p.total_gib] or suited
    host = max(roomy, key=lambda p: (p.host_total_gib, p.node))
    where = f"the largest node{'' if plan.device == 'cpu' else ' with a fitting GPU'}, {host.node},"
    return f"needs {memory.host_gib:.1f} GiB of host memory, {where} has {host.host_total_gib:.1f} GiB"


def find_cures(plan: Plan, card: ModelCard, request: Request, places: Sequence[Place]) -> tuple[str, ...]:
    """Each change that alone makes the plan fit one of `places`, as it would be written or bought."""
    found: list[str] = []
    rooms = {(place.total_gib, place.host_total_gib) for place in places if place.has_bf16}
    if frames := _most_frames(plan, card, request, rooms):
        found.append(f"frames: {frames}")
    if size := _largest_size(plan, card, request, rooms):
        found.append("resolution: {}x{}".format(*size))
    return (*found, *_hardware(plan, estimate_memory(plan, card, request), places))


def _nothing_of(plan: Plan, inventory: Inventory) -> str:
    gpus = [gpu for node in inventory.nodes for gpu in node.gpus]
    if plan.device == "cpu":
        return "spec.scheduling.gpuProducts allows GPUs only" if inventory.nodes else "there are 0 nodes"
    if not gpus:
        return "there is no GPU here"
    names = ", ".join(sorted({gpu.product for gpu in gpus}))
    return f"spec.scheduling.gpuProducts allows none of the GPUs here ({names})"


def _fits(plan: Plan, card: ModelCard, request: Request, rooms: Rooms) -> bool:
    memory = estimate_memory(plan, card, request)
    return any(memory.peak_gib <= device and memory.host_gib <= host for device, host in rooms)


def _most_frames(plan: Plan, card: ModelCard, request: Request, rooms: Rooms) -> int | None:
    """The largest valid number of frames that fits, below the one asked for; a still is no answer.

    Memory grows with frames.
    """
    choices = range(1 + card.vae.stride_t, request.frames, card.vae.stride_t)

    def too_many(frames: int) -> bool:
        return not _fits(plan, card, request.model_copy(update={"frames": frames}), rooms)

    count = bisect_right(choices, False, key=too_many)
    return choices[count - 1] if count else None


def _largest_size(plan: Plan, card: ModelCard, request: Request, rooms: Rooms) -> tuple[int, int] | None:
    """The largest size on the stride, of about the same aspect, that fits."""
    for width, height in _smaller_sizes(card, request):
        if _fits(plan, card, request.model_copy(update={"width": width, "height": height}), rooms):
            return width, height
    return None


def _smaller_sizes(card: ModelCard, request: Request) -> Iterator[tuple[int, int]]:
    """Down to half of each side: less is another video."""
    stride = card.stride
    for width in range((request.width - 1) // stride * stride, (request.width - 1) // 2, -stride):
        height = width * request.height // request.width // stride * stride
        if height:
            yield width, height


def _hardware(plan: Plan, memory: MemoryEstimate, places: Sequence[Place]) -> tuple[str, ...]:
    found: list[str] = []
    suited = [place for place in places if place.has_bf16]
    if plan.device == "cuda" and all(memory.peak_gib > place.total_gib for place in suited):
        capability = "" if suited or not places else " and compute capability {}.{}".format(*BF16_CAPABILITY)
        found.append(f"a GPU with {ceil(memory.peak_gib)} GiB{capability}")
    if places and all(memory.host_gib > place.host_total_gib for place in places):
        found.append(f"a node with {ceil(memory.host_gib)} GiB of memory")
    return (" and ".join(found),) if found else ()
