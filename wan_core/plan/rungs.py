"""What a ladder is made of: a plan, what it needs and takes, its verdict, and what would change that."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from wan_core.api.model import Document
from wan_core.api.spec import Quality
from wan_core.api.status import Verdict
from wan_core.plan.duration import TimeEstimate
from wan_core.plan.memory import MemoryEstimate
from wan_core.plan.product_names import product_key
from wan_core.plan.span import Span
from wan_core.plan.techniques import Plan

CureKind = Literal["frames", "resolution", "quality", "model", "product", "gpu", "memory", "host"]
Value = str | int | float


class Cure(Document):
    """A change that makes a plan fit; of a model, another plan of another model.

    `value` is what `kind` has to be: for frames, resolution, quality and model what the spec would say,
    `product` what spec.scheduling.gpuProducts would name; `gpu` a card of the catalogue, `memory` and `host`
    GiB of a device and of a node (of a plan that fits later: GiB free). `also` changes with it.
    """

    kind: CureKind
    value: Value
    text: str
    also: tuple[tuple[CureKind, Value], ...] = ()


class MeasuredNeed(Document):
    """What a plan needs on one product, by what was measured there."""

    product: str
    memory: MemoryEstimate


class Rung(Document):
    """One plan, what it needs, and whether the inventory has it.

    `memory` is by estimate; on the products of `measured` theirs holds. `products` are the GPU products on
    which it fits, now or later; empty for a CPU. `time` and `cost` are for the whole video on `product`, the
    fastest that is free, else the fastest that fits, and of `device_gib`; where none fits, the largest there
    is. `notes` say what was corrected by measurements. Rungs of one `job` ride on one Job of a cluster: 1 is
    made first; None where nothing fits.
    """

    plan: Plan
    memory: MemoryEstimate
    measured: tuple[MeasuredNeed, ...] = ()
    time: TimeEstimate | None = None
    cost: Span | None = None
    tier: Quality
    verdict: Verdict
    reason: str = ""
    cures: tuple[Cure, ...] = ()
    products: tuple[str, ...] = ()
    product: str = ""
    device_gib: float | None = Field(None, gt=0)
    job: int | None = Field(None, ge=1)
    notes: tuple[str, ...] = ()

    @property
    def seconds(self) -> float | None:
        """The middle of the time; None where nothing is known of the GPU."""
        return self.time.total.middle if self.time is not None else None

    @property
    def would_fit_if(self) -> tuple[str, ...]:
        return tuple(cure.text for cure in self.cures)

    @property
    def need(self) -> MemoryEstimate:
        """What it needs on `product`."""
        return self.need_on(self.product)

    def need_on(self, product: str) -> MemoryEstimate:
        """What it needs on that product, however its name is spelt."""
        if not self.measured:
            return self.memory
        key = product_key(product)
        return next((m.memory for m in self.measured if product_key(m.product) == key), self.memory)

    def bare(self) -> Rung:
        """Without what only people read: as it travels to a runner."""
        told = {"time": None, "cost": None, "cures": (), "notes": (), "device_gib": None, "job": None}
        return self.model_copy(update=told)


class Ladder(Document):
    """Rungs, best first; at most `RUNGS_MAX`. `left_out` is the inventory's."""

    rungs: tuple[Rung, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def runnable(self) -> tuple[Rung, ...]:
        return tuple(r for r in self.rungs if r.verdict is not Verdict.NEVER)
