"""How much memory a plan needs, by phase: weights exactly, activations by formula, the rest by constants.

Weights are counted from the architecture, what is alive besides in `activations` and `host`; both are held
against our modules at true size (`python -m bench.planning.memory`, docs/benchmarks.md). Encoding an image
is the beginning of the phase `denoise`. Texts that are known already need no text encoder: whether they are,
only the runner can see, so they are counted as unknown, and what that spares is simply free. Not covered:
workspaces of cuDNN beyond `MARGIN` (it takes a smaller algorithm where memory is short), several GPUs, stock
diffusers in the place of our transformer.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import ceil

from pydantic import Field

from wan_core.api.model import Document
from wan_core.catalog.architecture import ModelCard
from wan_core.plan.activations import (
    Work,
    decode_bytes,
    denoise_bytes,
    encode_bytes,
    encode_text_bytes,
    states_bytes,
)
from wan_core.plan.host import (
    GIB,
    RING_BYTES,
    buffer_bytes,
    disk_bytes,
    frames_bytes,
    picture_bytes,
    pinned_bytes,
    rounding_bytes,
    rows_bytes,
)
from wan_core.plan.request import Request
from wan_core.plan.shapes import (
    BF16_BYTES,
    FP32_BYTES,
    streamed_block_bytes,
    text_bytes,
    text_projection_bytes,
    transformer_bytes,
    vae_bytes,
)
from wan_core.plan.techniques import Plan

# CUDA context with the libraries' handles and workspaces, 0.5 GiB; and what the driver keeps of the memory it
# names (`GpuCard.memory_mib`): 0.34 GiB of an 8 GB card or an RTX 4090, 0.5 of an H100, 0.6 of an H200, by
# messages of torch that people quote. Assumed, not measured here: no GPU was at hand.
DEVICE_BASE_GIB = 1.0
# Peak RSS of a whole run of wan-tiny on a CPU, nearly all of it Python and torch: 1.0 GiB
# (2-core EPYC, torch 2.15.0, diffusers 0.42.1, 2026-11-21).
HOST_BASE_CPU_GIB = 1.0
# The same with CUDA's libraries. Assumed, not measured here.
HOST_BASE_CUDA_GIB = 3.0
# What the allocator rounds up and fragments, as a factor on the sum. Assumed; expandable segments
# (`wan_core.devices`) leave no gaps between parts. One public figure: ti2v-5B at 1280x704x121 took 22.9 GB on
# an RTX 4090 in the original code, its VAE in float32 (Wan2.2, comp_effic.png); we say 22.2 GiB, 23.8 GB.
MARGIN = 1.02
# Blocks on the device while streaming: the one that computes and the one that arrives.
STREAMED_BLOCKS = 2


class MemoryEstimate(Document):
    """GiB by phase on the device; on the host, and how much of that is pinned; on the node's disk.

    On the CPU the device is the host: phases are host memory then, and `host_gib` is their peak.
    """

    text_gib: float = Field(ge=0)
    denoise_gib: float = Field(ge=0)
    decode_gib: float = Field(ge=0)
    host_gib: float = Field(ge=0)
    pinned_gib: float = Field(0.0, ge=0)
    disk_gib: float = Field(0.0, ge=0)

    @property
    def peak_gib(self) -> float:
        return max(self.text_gib, self.denoise_gib, self.decode_gib)

    @property
    def peak_phase(self) -> str:
        """The phase that needs most; of equals the first."""
        phases = {"text": self.text_gib, "denoise": self.denoise_gib, "decode": self.decode_gib}
        return max(phases, key=phases.__getitem__)


@dataclass(frozen=True)
class Phases:
    """Bytes by phase."""

    text: float
    denoise: float
    decode: float


@dataclass(frozen=True)
class Held:
    """What of a plan does not depend on the request: bytes of weights by phase, on host and disk; how."""

    device: Phases
    host: int
    pinned: int
    packing: int  # a pinned buffer, while what it is filled with is still there
    disk: int
    work: Work
    streamed: bool
    tiled: bool
    text_on_host: bool
    text: int  # bytes of encoding texts, wherever it is done


def estimate_memory(plan: Plan, card: ModelCard, request: Request) -> MemoryEstimate:
    """What `plan` needs for `request`, in GiB."""
    held = hold(plan.device, plan.techniques, card)
    live, host = live_bytes(held, card, request), host_bytes(held, card, request)
    if plan.device == "cpu":
        frames = frames_bytes(request)
        found = [_gib(size + frames, HOST_BASE_CPU_GIB) for size in (live.text, live.denoise, live.decode)]
        return MemoryEstimate(
            text_gib=found[0],
            denoise_gib=found[1],
            decode_gib=found[2],
            host_gib=max(found),
            disk_gib=_up(held.disk / GIB),
        )
    return MemoryEstimate(
        text_gib=_gib(live.text, DEVICE_BASE_GIB),
        denoise_gib=_gib(live.denoise, DEVICE_BASE_GIB),
        decode_gib=_gib(live.decode, DEVICE_BASE_GIB),
        host_gib=_gib(host, HOST_BASE_CUDA_GIB),
        pinned_gib=_up(held.pinned / GIB),
        disk_gib=_up(held.disk / GIB),
    )


@lru_cache(maxsize=1024)
def hold(device: str, techniques: tuple[str, ...], card: ModelCard) -> Held:
    """What a plan of these techniques holds, whatever the request."""
    uses = frozenset(techniques)
    number_bytes = FP32_BYTES if device == "cpu" or "fp32" in uses else BF16_BYTES
    on_host, streamed = "text-encoder-cpu" in uses, "block-streaming" in uses
    model, encoder = card.transformer, card.text_encoder
    text = text_bytes(encoder, number_bytes)
    every = text + card.experts * transformer_bytes(model, number_bytes) + vae_bytes(card)
    resident = "resident" in uses
    rounding = rounding_bytes(card, number_bytes) if streamed else 0
    return Held(
        device=_weights(card, number_bytes, 0 if on_host else text, resident, streamed),
        host=RING_BYTES + ((text if on_host else 0) if resident else every) + rounding,
        pinned=RING_BYTES + (pinned_bytes(card, number_bytes) if streamed else 0),
        packing=max(buffer_bytes(model, number_bytes)) if streamed else 0,
        disk=disk_bytes(card),
        work=Work(number_bytes, "guidance-batching" in uses, "sliced-attention" in uses),
        streamed=streamed,
        tiled="vae-tiling" in uses,
        text_on_host=on_host,
        text=encode_text_bytes(encoder, model.text_len, number_bytes),
    )


def _weights(card: ModelCard, number_bytes: int, text: int, resident: bool, streamed: bool) -> Phases:
    """Bytes of weights on the device, by phase; `text`: of the text encoder, if it is there at all."""
    model = card.transformer
    expert, vae = transformer_bytes(model, number_bytes), vae_bytes(card)
    if resident:
        every = text + card.experts * expert + vae
        return Phases(every, every, every)
    if streamed:
        block, projection = (
            streamed_block_bytes(model, number_bytes),
            text_projection_bytes(model, number_bytes),
        )
        expert -= model.layers * (block + projection) - STREAMED_BLOCKS * block
    return Phases(text, expert, vae)


def live_bytes(held: Held, card: ModelCard, request: Request) -> Phases:
    """Bytes that are alive on the device, by phase, without context and what an allocator rounds up."""
    steps = held.device.denoise + denoise_bytes(card, request, held.work, held.streamed)
    states = states_bytes(card.text_encoder, card.transformer.text_len, held.work.number_bytes)
    vae = held.device.decode + states
    return Phases(
        text=held.device.text + (states if held.text_on_host else held.text),
        denoise=max(steps, vae + encode_bytes(card, request, held.tiled)) if request.image else steps,
        decode=vae + decode_bytes(card, request, held.tiled),
    )


def host_bytes(held: Held, card: ModelCard, request: Request) -> float:
    """Bytes on the host of a GPU, without Python and libraries: weights, and the most that comes beside."""
    rows = rows_bytes(request) if held.tiled else 0
    text = held.text if held.text_on_host else 0
    return held.host + max(held.packing, text, picture_bytes(card, request), frames_bytes(request) + rows)


def _gib(size: float, base_gib: float = 0.0) -> float:
    """GiB with margin and base."""
    return _up(size / GIB * MARGIN + base_gib)


def _up(gib: float) -> float:
    """To a hundredth above, so that what is shown is what is compared."""
    return ceil(gib * 100) / 100
