"""Which requests and plans are counted: every model that has weights of its own, 12 shapes each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from types import MappingProxyType

from wan_core.api.spec import Spec
from wan_core.catalog.models import MODELS
from wan_core.plan.memory import hold, live_bytes
from wan_core.plan.request import Request, fill_request
from wan_core.plan.techniques import Plan

WAN_21 = (
    "832x480x81", "1280x720x81", "832x480x17", "1280x720x17", "480x832x49", "720x1280x33",
    "960x544x121", "624x624x81", "832x480x161", "832x480x33", "1280x720x121", "832x480x1",
)  # fmt: skip
WAN_22 = (
    "1280x704x121", "1280x704x17", "704x1280x81", "960x544x121", "640x352x49", "832x480x121",
    "1280x704x241", "1280x704x1", "704x704x81", "960x544x17", "1280x704x49", "352x640x121",
)  # fmt: skip
SHAPES: Mapping[str, Sequence[str]] = MappingProxyType(
    {"t2v-A14B": WAN_21, "i2v-A14B": WAN_21, "ti2v-5B": WAN_22, "t2v-1.3B": WAN_21}
)
PLANS = (
    "resident",
    "component-offload",
    "block-streaming text-encoder-cpu",
    "component-offload sliced-attention vae-tiling",
    "resident guidance-batching",
    "block-streaming text-encoder-cpu sliced-attention guidance-batching vae-tiling",
)
IN_FLOAT32 = 9
"""Of twelve cases this one; the others are in bfloat16."""


@dataclass(frozen=True)
class Case:
    """A model at WIDTHxHEIGHTxFRAMES with techniques; `image`: one is given where it need not be."""

    model: str
    shape: str
    techniques: tuple[str, ...]
    image: bool = False

    @property
    def request(self) -> Request:
        width, height, frames = map(int, self.shape.split("x"))
        card = MODELS[self.model]
        image = "s3://inputs/a.png" if self.image or card.needs_image else None
        size = f"{width}x{height}"
        spec = Spec(model=self.model, prompt="a corgi", resolution=size, frames=frames, image=image)
        return fill_request(card, spec, "bench")

    @property
    def plan(self) -> Plan:
        return Plan(model=self.model, device="cuda", techniques=self.techniques)

    def estimate(self, phase: str) -> int:
        """Bytes alive on the GPU, by the planner: before its base and margin."""
        held = hold("cuda", self.techniques, MODELS[self.model])
        return int(getattr(live_bytes(held, MODELS[self.model], self.request), phase))


def list_cases(models: Iterable[str], every: bool) -> Iterator[Case]:
    """Each shape with one plan in turn, or with every plan; an image with every other where one may be."""
    for model in models:
        shapes, card = SHAPES[model], MODELS[model]
        turns = product(shapes, PLANS) if every else zip(shapes, PLANS * 2, strict=True)
        for number, (shape, plan) in enumerate(turns):
            precision = "fp32" if number % 12 == IN_FLOAT32 else "bf16"
            may_begin = card.takes_image and not card.needs_image
            yield Case(model, shape, (precision, *plan.split()), may_begin and number % 2 == 0)
