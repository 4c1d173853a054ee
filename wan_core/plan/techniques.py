"""The ways of running a model, as data. A plan is a model, a device and a set of these.

The runner binds one implementation to each id; a test proves the two sets equal. What a technique needs of
the hardware besides memory is data too (`Needs`), and `suits` is the one place where it is looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Literal, get_args

from pydantic import field_validator, model_validator

from wan_core.api.model import Document
from wan_core.api.spec import Quality
from wan_core.catalog.gpu_card import SINCE, Capability
from wan_core.plan.activations import SLICE_TOKENS, TILE_PIXELS
from wan_core.plan.host import TILE_STEP, TILED

Group = Literal["precision", "placement", "text", "attention", "guidance", "decode"]
GROUPS: tuple[Group, ...] = get_args(Group)
REQUIRED: tuple[Group, ...] = ("precision", "placement")
"""Groups of which a plan holds exactly one; of the others it may hold none."""

LAST_WITHOUT_BF16: Capability = (7, 5)
"""Turing; nothing lies between it and Ampere (CUDA programming guide, table of compute capabilities)."""
OLDEST_CAPABILITY: Capability = (5, 0)
"""Maxwell: the oldest row of `wan_core.devices`. Whether the installed torch carries its code, it asks."""


@dataclass(frozen=True)
class Needs:
    """What there must be besides memory. Both capabilities are NVIDIA's, and included.

    An unknown capability counts as recent: it has what begins somewhere, and not what ends somewhere.
    `beyond` says why nothing later is meant. `guided`: only for requests of two passes a step.
    """

    min_capability: Capability | None = None
    max_capability: Capability | None = None
    beyond: str = ""
    guided: bool = False


@dataclass(frozen=True)
class Technique:
    """One way of running: what it saves, costs and loses. Of each group a plan holds at most one.

    `quality` is a figure with its source, or "unmeasured"; empty where nothing is lost.
    """

    id: str
    group: Group
    tier: Quality
    summary: str
    loses: str
    quality: str
    memory: str
    time: str
    devices: tuple[str, ...] = ("cuda",)
    needs: Needs = Needs()


TECHNIQUES: Mapping[str, Technique] = MappingProxyType(
    {
        technique.id: technique
        for technique in (
            Technique(
                id="bf16",
                group="precision",
                tier=Quality.LOSSLESS,
                summary="weights as published; bfloat16 on a GPU, but float32 in the VAE and on a CPU",
                loses="nothing: it is the precision that the weights are published for",
                quality="",
                memory="2 bytes a weight on a GPU, 4 in the VAE and on a CPU",
                time="the reference",
                devices=("cuda", "cpu"),
                needs=Needs(min_capability=SINCE["bf16"]),
            ),
            Technique(
                id="fp32",
                group="precision",
                tier=Quality.LOSSLESS,
                summary="weights as published, computed in float32: for GPUs that have no bfloat16",
                loses="nothing: float32 holds every bfloat16 number",
                quality="",
                memory="4 bytes a weight, twice the activations and the host memory of bf16",
                time="float32 arithmetic, without tensor cores",
                needs=Needs(
                    min_capability=OLDEST_CAPABILITY,
                    max_capability=LAST_WITHOUT_BF16,
                    beyond="later ones have bf16",
                ),
            ),
            Technique(
                id="resident",
                group="placement",
                tier=Quality.LOSSLESS,
                summary="every component stays on the device",
                loses="nothing",
                quality="",
                memory="the sum of all weights on the device in every phase",
                time="the reference",
                devices=("cuda", "cpu"),
            ),
            Technique(
                id="component-offload",
                group="placement",
                tier=Quality.LOSSLESS,
                summary="one component on the device at a time, one expert of two; the rest in host memory",
                loses="nothing: weights are copied, not changed",
                quality="",
                memory="the largest component on the device, all weights on the host",
                time="each component crosses the bus when its turn comes, once a video",
            ),
            Technique(
                id="block-streaming",
                group="placement",
                tier=Quality.LOSSLESS,
                summary="transformer blocks come from host memory as they are used, other parts by turns",
                loses="nothing: weights are copied, not changed",
                quality="",
                memory="two blocks of the transformer on the device, all weights on the host",
                time="every block crosses the bus once a forward, hidden where computing takes longer",
            ),
            Technique(
                id="text-encoder-cpu",
                group="text",
                tier=Quality.LOSSLESS,
                summary="the prompt is encoded on the CPU; the text encoder never is on the device",
                loses="nothing beyond another order of sums",
                quality="",
                memory="the text encoder leaves the device for the host",
                time="encoding takes as long as the CPU needs for it",
            ),
            Technique(
                id="sliced-attention",
                group="attention",
                tier=Quality.LOSSLESS,
                summary=f"blocks of the transformer work on slices of {SLICE_TOKENS:,} tokens, with all keys",
                loses="nothing: the same sums, by fewer rows at a time",
                quality="",
                memory="of all tokens only the stream and q, k, v are alive, the rest of one slice: "
                "A14B at 1280x720x81 3.2 GiB of activations instead of 8.7",
                time="more and smaller kernels; unmeasured on a GPU",
            ),
            Technique(
                id="guidance-batching",
                group="guidance",
                tier=Quality.LOSSLESS,
                summary="the passes with the prompt and with the negative prompt are two samples of one",
                loses="nothing beyond another order of sums",
                quality="",
                memory="activations of two samples instead of one",
                time="2 % less on an H100 with 14B, 2 % more on an L40S with 1.3B "
                "(hao-ai-lab/FastVideo#1416); blocks that are streamed cross the bus once a step, not twice",
                needs=Needs(guided=True),
            ),
            Technique(
                id="vae-tiling",
                group="decode",
                tier=Quality.NEAR,
                summary=f"the VAE decodes overlapping tiles of {TILE_PIXELS} pixels; the host blends them",
                loses="attention and convolutions see one tile; seams are blended",
                quality="57.6 dB to whole frames by wan-tiny's VAE, bf16 63.5 (bench.planning.tiling, "
                "2026-11-22); Wan's own unmeasured",
                memory="decoding needs a tile's activations instead of a frame's; tiles wait on the host",
                time=f"overlaps are decoded twice: {TILED:.1f}x the pixels (a tile each {TILE_STEP})",
            ),
        )
    }
)


class Plan(Document):
    """One way of running one model: techniques by id, in the order of `TECHNIQUES`.

    Exactly one precision and one placement, at most one of each other group, each able to run on the device.
    """

    model: str
    device: Literal["cuda", "cpu"]
    techniques: tuple[str, ...]

    @field_validator("techniques")
    @classmethod
    def _known_and_ordered(cls, techniques: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := [t for t in techniques if t not in TECHNIQUES]:
            raise ValueError(f"no such technique: {', '.join(unknown)}")
        groups = [TECHNIQUES[t].group for t in techniques]
        for group in GROUPS:
            if groups.count(group) > 1:
                raise ValueError(f"more than one technique of group {group}")
            if group in REQUIRED and group not in groups:
                raise ValueError(f"no technique of group {group}")
        if list(techniques) != [t for t in TECHNIQUES if t in techniques]:
            raise ValueError("techniques are not in the order of the table")
        return techniques

    @model_validator(mode="after")
    def _runs_on_device(self) -> Plan:
        if misfits := [t for t in self.techniques if self.device not in TECHNIQUES[t].devices]:
            raise ValueError(f"not for {self.device}: {', '.join(misfits)}")
        return self

    @property
    def label(self) -> str:
        """The plan as one word, unique within a ladder: `wan-tiny/cpu/bf16+resident`."""
        return f"{self.model}/{self.device}/{'+'.join(self.techniques)}"

    def uses(self, technique: str) -> bool:
        return technique in self.techniques

    @property
    def tier(self) -> Quality:
        """The worst tier among its techniques."""
        return max((TECHNIQUES[t].tier for t in self.techniques), key=lambda tier: tier.rank)


def suits(what: Technique | Plan, kind: str, capability: Capability | None, name: str = "this") -> str:
    """Why `what` is not for a device of this kind and compute capability; empty if it is.

    Memory is not looked at. Each refusal has its numbers; `name` is what it calls the device. A capability
    of None: there is none, or it is not known.
    """
    devices = (what.device,) if isinstance(what, Plan) else what.devices
    if kind not in devices:
        return f"is for {' or '.join(devices)}, {name} is {kind}"
    used = what.techniques if isinstance(what, Plan) else (what.id,)
    return "" if kind == "cpu" else _refuse_capability(used, capability, name)


@cache
def _refuse_capability(techniques: tuple[str, ...], capability: Capability | None, name: str) -> str:
    has = f"that of {name} is unknown" if capability is None else f"{name} has {_dotted(capability)}"
    for technique, needs in ((t, TECHNIQUES[t].needs) for t in techniques):
        least, most = needs.min_capability, needs.max_capability
        if least is not None and capability is not None and capability < least:
            return f"needs compute capability {_dotted(least)} for {technique}, {has}"
        if most is not None and (capability is None or capability > most):
            return f"is for compute capability {_dotted(most)} or less ({needs.beyond}), {has}"
    return ""


def _dotted(capability: Capability) -> str:
    return "{}.{}".format(*capability)
