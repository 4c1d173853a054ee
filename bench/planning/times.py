"""What the planner says of a step against what others published, and what asking it costs.

`python -m bench.planning.times` prints Markdown. The rows are figures of other programs for the same
arithmetic; those that a range was made of lie in it by construction, the others are its test. Nothing here
was measured by us but the last line.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from wan_core.api.spec import Spec
from wan_core.catalog.gpu_card import GpuCard
from wan_core.catalog.gpus import GPUS
from wan_core.catalog.models import MODELS
from wan_core.plan.duration import estimate_time
from wan_core.plan.request import Request, fill_request
from wan_core.plan.span import Span
from wan_core.plan.techniques import Plan

CALLS = 2000
ROUNDING = 0.03  # shares have two digits


@dataclass(frozen=True)
class Anchor:
    """A published step. `rest`: the figure is of a whole run by its steps, what is not denoising included."""

    gpu: str
    model: str
    resolution: str
    seconds: float
    program: str
    rest: bool = False
    frames: int | None = None


# Wan 2.1's 14B is taken as one expert of A14B at the same shape: it has image tokens besides.
ANCHORS = (
    Anchor("H100 SXM", "t2v-A14B", "832x480", 326.9 / 40, "Wan2.2, FA3 (comp_effic.png)", rest=True),
    Anchor("H100 SXM", "t2v-A14B", "1280x720", 1041.5 / 40, "Wan2.2, FA3 (comp_effic.png)", rest=True),
    Anchor("H100 SXM", "t2v-A14B", "832x480", 9.77, "diffusers, Wan2.1 14B (LightX2V, 2025-12)"),
    Anchor("H100 SXM", "t2v-A14B", "832x480", 8.93, "xDiT, likewise"),
    Anchor("H100 SXM", "t2v-A14B", "832x480", 7.35, "FastVideo, likewise"),
    Anchor("H100 SXM", "t2v-A14B", "832x480", 6.13, "SGLang, likewise"),
    Anchor("H100 SXM", "t2v-A14B", "832x480", 5.18, "LightX2V, likewise"),
    Anchor("H200", "t2v-A14B", "832x480", 5.142, "SGLang (sglang#25483)"),
    Anchor("H200", "t2v-A14B", "1280x720", 19.39, "SGLang, GPU not named (sglang#18149)"),
    Anchor("A100 SXM 80GB", "t2v-A14B", "832x480", 785.7 / 40, "Wan2.2, FA2 (comp_effic.png)", rest=True),
    Anchor("A100 SXM 80GB", "t2v-A14B", "1280x720", 2735.7 / 40, "Wan2.2, FA2 (comp_effic.png)", rest=True),
    Anchor("A100 SXM 80GB", "t2v-1.3B", "832x480", 4.91, "FastVideo, eager"),
    Anchor("A100 SXM 80GB", "t2v-1.3B", "832x480", 3.78, "FastVideo, compiled"),
    Anchor("RTX 4090", "ti2v-5B", "1280x704", 534.7 / 50, "Wan2.2 (comp_effic.png)", rest=True),
    Anchor("RTX 4090 D", "t2v-A14B", "832x480", 30.5, "diffusers, Wan2.1 14B (LightX2V, 2025-12)"),
    Anchor("RTX 4090 D", "t2v-A14B", "832x480", 22.66, "FastVideo, likewise; attention not stated"),
    Anchor("B200", "t2v-A14B", "1280x720", 370.8 / 40, "TensorRT-LLM, FA4 (blog 25)", frames=77),
    Anchor("RTX 5090", "t2v-A14B", "1280x720", 4549 / 40, "TurboDiffusion's baseline, if 40 steps"),
)


def request_of(anchor: Anchor) -> Request:
    """A text that a model makes a video of by its defaults, at this size."""
    spec = Spec(model=anchor.model, prompt="a cat", resolution=anchor.resolution, frames=anchor.frames)
    return fill_request(MODELS[anchor.model], spec, "bench")


def plan_of(model: str) -> Plan:
    """Everything on the GPU: what the published programs did, or came to the same as."""
    return Plan(model=model, device="cuda", techniques=("bf16", "resident"))


def rows() -> list[str]:
    """The table."""
    gpus = {gpu.name: gpu for gpu in GPUS}
    return [
        "| GPU | model and shape | published, s a step | by | the planner's range | inside |",
        "| --- | --- | --- | --- | --- | --- |",
        *(_row(anchor, gpus[anchor.gpu]) for anchor in ANCHORS),
    ]


def _row(anchor: Anchor, gpu: GpuCard) -> str:
    request = request_of(anchor)
    found = estimate_time(plan_of(anchor.model), MODELS[anchor.model], request, gpu)
    assert found is not None
    step = found.seconds_per_step
    cells = (
        anchor.gpu,
        f"{anchor.model} {anchor.resolution}x{request.frames}",
        f"{anchor.seconds:.2f}{', with the rest' if anchor.rest else ''}",
        anchor.program,
        f"{step.low:.2f} to {step.high:.2f}",
        verdict(anchor.seconds, step),
    )
    return f"| {' | '.join(cells)} |"


def verdict(seconds: float, step: Span) -> str:
    """`yes` within the rounding of the shares, else by how much it is off."""
    if step.low * (1 - ROUNDING) <= seconds <= step.high * (1 + ROUNDING):
        return "yes"
    return f"**{seconds / (step.low if seconds < step.low else step.high) - 1:+.0%}**"


def microseconds() -> float:
    """What one estimate takes."""
    card, gpu = MODELS["t2v-A14B"], GPUS[0]
    plan, request = plan_of(card.id), request_of(ANCHORS[1])
    started = time.perf_counter()
    for _ in range(CALLS):
        estimate_time(plan, card, request, gpu)
    return (time.perf_counter() - started) / CALLS * 1e6


def main() -> None:
    """Print both."""
    print("\n".join(rows()))
    print(f"\nOne estimate: {microseconds():.0f} us.")


if __name__ == "__main__":
    main()
