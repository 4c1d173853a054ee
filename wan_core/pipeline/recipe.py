"""How our transformer computes: operations, attention, guidance, compiled, recorded; never what it computes.

Chosen before it is built. Guidance is the plan's; all else may be fixed by hand. On a GPU attention is the
fastest of those that work, measured once for a device and shape and then known. On a CPU nothing is measured:
PyTorch's own attention, never compiled.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from wan_core.api.spec import Quality
from wan_core.devices import TF32_TIER, route, use_tf32
from wan_core.errors import IncompatibleHardware, InvalidInput
from wan_core.kernels.attention import BACKENDS, Attend, BackendLacks, UnknownBackend, build_attention, sdpa
from wan_core.kernels.attention_choice import Shape, choose_attention
from wan_core.kernels.ops import TORCH, Ops
from wan_core.kernels.picks import NothingWorks, Pick
from wan_core.kernels.triton_ops import OpsUnavailable, find_ops
from wan_core.model.compiled import is_launch_bound
from wan_core.model.config import TransformerConfig
from wan_core.model.sliced import SLICE_TOKENS

SEQUENTIAL, BATCHED = "sequential", "batched"


@dataclass(frozen=True)
class Wishes:
    """What is fixed by hand; None leaves it to measurement, or to the default.

    `tf32` is for products and convolutions of float32. CUDA graphs (`recorded`) and TF32 are off unless asked
    for: the former have not run on a GPU yet, the latter is not lossless.
    """

    ops: str | None = None
    attention: str | None = None
    compiled: bool | None = None
    recorded: bool = False
    tf32: bool = False


@dataclass(frozen=True)
class Recipe:
    """The choices, and how each was made."""

    ops: Ops = TORCH
    attend: Attend = sdpa
    attention: Pick = field(default_factory=lambda: Pick("sdpa", "only"))
    guidance: Pick = field(default_factory=lambda: Pick(SEQUENTIAL, "plan"))
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
    """What the transformer will be asked for: samples of (t, h, w) tokens, as the plan says."""

    config: TransformerConfig
    grid: tuple[int, int, int]
    dtype: torch.dtype
    device: torch.device
    quality: Quality
    guidance: str
    sliced: bool  # queries come in slices of one sample
    streamed: bool  # weights pass through the device while a forward runs

    @property
    def tokens(self) -> int:
        t, h, w = self.grid
        return t * h * w

    @property
    def attention(self) -> Shape:
        """One call of self-attention."""
        queries = min(self.tokens, SLICE_TOKENS) if self.sliced else self.tokens
        samples = 2 if self.guidance == BATCHED and not self.sliced else 1
        return Shape(samples, queries, self.tokens, self.config.heads, self.config.head_dim)


def choose_recipe(work: Work, wishes: Wishes, folder: Path | None) -> Recipe:
    """The recipe for this work; measurements are stored in `folder`.

    Raises InvalidInput if what was fixed by hand cannot be, IncompatibleHardware if torch has no code for the
    device or no attention works there.
    """
    _check_quality(work.quality, wishes)
    use_tf32(route(work.device), wishes.tf32)
    ops = _choose_ops(work, wishes.ops)
    attention = _choose_attention(work, wishes.attention, folder)
    attend = build_attention(attention.name, work.device, work.dtype)
    compiled = work.device.type == "cuda" if wishes.compiled is None else wishes.compiled
    if wishes.recorded and not may_record(work, compiled):
        raise InvalidInput("CUDA graphs: only of compiled blocks that stay on a GPU, at small shapes")
    return Recipe(ops, attend, attention, Pick(work.guidance, "plan"), compiled, wishes.recorded, wishes.tf32)


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
    try:
        return choose_attention(
            work.attention,
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
