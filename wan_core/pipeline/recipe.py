"""How our transformer computes: operations, attention, guidance, compiled, recorded; never what it computes.

Chosen before it is built. On a GPU attention and guidance are the fastest of those that work, measured once
for a device and shape and then known; each may be fixed by hand. On a CPU nothing is measured: PyTorch's own
attention, one pass after the other, never compiled.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from wan_core.api.spec import Quality
from wan_core.devices import TF32_TIER, route, use_tf32
from wan_core.errors import DeviceOutOfMemory, IncompatibleHardware, InvalidInput
from wan_core.kernels.attention import BACKENDS, Attend, BackendLacks, UnknownBackend, build_attention, sdpa
from wan_core.kernels.attention_choice import Shape, choose_attention
from wan_core.kernels.ops import TORCH, Ops
from wan_core.kernels.picks import NothingWorks, Pick, Refused, pick, seconds_of
from wan_core.kernels.triton_ops import OpsUnavailable, find_ops
from wan_core.model.compiled import is_launch_bound
from wan_core.model.config import TransformerConfig
from wan_core.model.rope import build_rope
from wan_core.model.transformer import Block, stays_fp32
from wan_core.plan.memory import forward_bytes_per_token

SEQUENTIAL, BATCHED = "sequential", "batched"


@dataclass(frozen=True)
class Wishes:
    """What is fixed by hand; None leaves it to measurement, or to the default.

    `tf32` is for products and convolutions of float32. CUDA graphs (`recorded`) and TF32 are off unless asked
    for: the former have not run on a GPU yet, the latter is not lossless.
    """

    ops: str | None = None
    attention: str | None = None
    guidance: str | None = None
    compiled: bool | None = None
    recorded: bool = False
    tf32: bool = False


@dataclass(frozen=True)
class Recipe:
    """The choices, and how each was made."""

    ops: Ops = TORCH
    attend: Attend = sdpa
    attention: Pick = field(default_factory=lambda: Pick("sdpa", "only"))
    guidance: Pick = field(default_factory=lambda: Pick(SEQUENTIAL, "only"))
    compiled: bool = False
    recorded: bool = False
    tf32: bool = False

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, for the manifest."""
        return {
            "name": "wan_core",
            "ops": self.ops.name,
            "attention": _tell(self.attention),
            "guidance": _tell(self.guidance),
            "compiled": self.compiled,
            "recorded": self.recorded,
            "tf32": self.tf32,
        }


def _tell(found: Pick) -> dict[str, Any]:
    """What was picked and how; seconds of those measured and why others were refused, if there are any."""
    known = {"seconds": dict(found.seconds), "refused": dict(found.refused)}
    told = {what: values for what, values in known.items() if values}
    return {"name": found.name, "source": found.source, **told}


@dataclass(frozen=True)
class Work:
    """What the transformer will be asked for: one sample of (t, h, w) tokens, guided or not."""

    config: TransformerConfig
    grid: tuple[int, int, int]
    text_length: int
    dtype: torch.dtype
    device: torch.device
    guided: bool
    quality: Quality
    streamed: bool  # weights pass through the device while a forward runs
    spare_bytes: float  # memory of the device beyond what one sample needs

    @property
    def tokens(self) -> int:
        t, h, w = self.grid
        return t * h * w

    @property
    def may_batch(self) -> bool:
        """Whether guidance has two samples, and memory for both at once."""
        config = self.config
        per_token = forward_bytes_per_token(config.dim, config.ffn_dim, config.heads)
        return self.guided and self.tokens * per_token <= self.spare_bytes


def choose_recipe(work: Work, wishes: Wishes, folder: Path | None) -> Recipe:
    """The recipe for this work; measurements are stored in `folder`.

    Raises InvalidInput if what was fixed by hand cannot be, IncompatibleHardware if torch has no code for the
    device or no attention works there, DeviceOutOfMemory if a block alone is too much.
    """
    if wishes.guidance not in (None, SEQUENTIAL, BATCHED):
        raise InvalidInput(f"guidance: {wishes.guidance} is not {SEQUENTIAL} or {BATCHED}")
    _check_quality(work.quality, wishes)
    use_tf32(route(work.device), wishes.tf32)
    ops = _choose_ops(work, wishes.ops)
    attention = _choose_attention(work, wishes.attention, folder)
    attend = build_attention(attention.name, work.device, work.dtype)
    guidance = _choose_guidance(work, ops, attention.name, wishes.guidance, folder)
    compiled = work.device.type == "cuda" if wishes.compiled is None else wishes.compiled
    if wishes.recorded and not may_record(work, compiled):
        raise InvalidInput("CUDA graphs: only of compiled blocks that stay on a GPU, at small shapes")
    return Recipe(ops, attend, attention, guidance, compiled, wishes.recorded, wishes.tf32)


def _check_quality(floor: Quality, wishes: Wishes) -> None:
    """Raise InvalidInput if something that was fixed by hand is of a lower tier than the request allows."""
    tiers = {"TF32": TF32_TIER} if wishes.tf32 else {}
    if wishes.attention in BACKENDS:
        tiers[f"attention {wishes.attention}"] = BACKENDS[wishes.attention].tier
    for what, tier in tiers.items():
        if Quality(tier).rank > floor.rank:
            raise InvalidInput(f"{what} is {tier}, and spec.quality is {floor}: it may not be lower")


def may_record(work: Work, compiled: bool) -> bool:
    """Whether a forward becomes a CUDA graph: only while its weights lie where they are."""
    return compiled and not work.streamed and is_launch_bound(work.tokens, work.device)


def _choose_ops(work: Work, fixed: str | None) -> Ops:
    """In torch unless fixed: none of the others has been measured to be faster."""
    try:
        return TORCH if fixed is None else find_ops(fixed, work.device)
    except OpsUnavailable as error:
        raise InvalidInput(f"operations: {error}") from error


def _choose_attention(work: Work, fixed: str | None, folder: Path | None) -> Pick:
    config = work.config
    try:
        return choose_attention(
            Shape(1, work.tokens, work.tokens, config.heads, config.head_dim),
            work.dtype,
            work.device,
            order=route(work.device).attention,
            folder=folder,
            fixed=fixed,
        )
    except (UnknownBackend, BackendLacks) as error:
        raise InvalidInput(f"attention: {error}") from error
    except NothingWorks as error:
        raise IncompatibleHardware(f"no attention backend works here: {error}") from error


def _choose_guidance(work: Work, ops: Ops, attention: str, fixed: str | None, folder: Path | None) -> Pick:
    if fixed is not None:
        return Pick(fixed, "fixed")
    attend = build_attention(attention, work.device, work.dtype)
    candidates = {SEQUENTIAL: _measurement(work, ops, attend, passes=2, samples=1)}
    if work.may_batch and work.device.type != "cpu":
        candidates[BATCHED] = _measurement(work, ops, attend, passes=1, samples=2)
    try:
        return pick({**_key(work), "ops": ops.name, "attention": attention}, candidates, folder)
    except NothingWorks as error:
        raise DeviceOutOfMemory(f"one block at {work.tokens} tokens: {error}") from error


def _measurement(work: Work, ops: Ops, attend: Attend, passes: int, samples: int) -> Callable[[], float]:
    """Seconds of one block at the true size, with weights at random, not compiled."""

    def measure() -> float:
        block, inputs = build_block(work, ops, attend, samples)

        def run() -> None:
            for _ in range(passes):
                block(*inputs)

        try:
            with torch.no_grad():
                return seconds_of(run, work.device)
        except torch.OutOfMemoryError as error:
            raise Refused(str(error).partition("\n")[0]) from error

    return measure


def build_block(work: Work, ops: Ops, attend: Attend, samples: int) -> tuple[Block, tuple[Any, ...]]:
    """A block and what it is given."""
    config = work.config
    with work.device:
        block = Block(config, ops, attend)
        for name, parameter in block.named_parameters():
            parameter.data = parameter.data.to(torch.float32 if stays_fp32(name) else work.dtype)
        tokens = torch.randn(samples, work.tokens, config.dim, dtype=work.dtype)
        modulation = torch.randn(samples, 1, 6, config.dim)
        text = torch.randn(2, samples, work.text_length, config.heads, config.head_dim, dtype=work.dtype)
    return block, (tokens, modulation, text, build_rope(work.grid, config.head_dim, work.device))


def _key(work: Work) -> dict[str, str]:
    on_cuda = work.device.type == "cuda"
    return {
        "what": "guidance",
        "device": torch.cuda.get_device_name(work.device) if on_cuda else work.device.type,
        "torch": torch.__version__,
        "dtype": str(work.dtype),
        "block": str(work.config),
        "grid": " ".join(map(str, work.grid)),
    }
