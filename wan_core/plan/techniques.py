"""The ways of running a model, as data. A plan is a model, a device and a set of these.

The runner binds one implementation to each id; a test proves the two sets equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

from pydantic import field_validator, model_validator

from wan_core.api.model import Document
from wan_core.api.spec import Quality

Group = Literal["precision", "placement", "text", "decode"]


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
                id="vae-tiling",
                group="decode",
                tier=Quality.NEAR,
                summary="the VAE decodes overlapping tiles of 256 pixels and blends them",
                loses="attention and convolutions see one tile; seams are blended",
                quality="unmeasured",
                memory="decoding needs a tile's activations instead of a frame's",
                time="overlaps are decoded twice: 1.8x the pixels (256 tiles each 192)",
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
        for group in get_args(Group):
            if groups.count(group) > 1:
                raise ValueError(f"more than one technique of group {group}")
            if group in ("precision", "placement") and group not in groups:
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
