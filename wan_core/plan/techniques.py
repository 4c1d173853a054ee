"""The ways of running a model, as data. A plan is a model, a device and a set of these.

The runner binds one implementation to each id; a test proves the two sets equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

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


class Plan(Document):
    """One way of running one model: techniques by id, in the order of `TECHNIQUES`."""

    model: str
    device: Literal["cuda", "cpu"]
    techniques: tuple[str, ...]

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


TECHNIQUES: Mapping[str, Technique] = MappingProxyType({})
