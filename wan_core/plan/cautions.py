"""What is correct in a request, or in the plan that it gets, but slow or poor: each with its number and what
would be better.

A caution refuses nothing. Of prompts it tells lengths, never words: it stands in statuses and Events. What a
technique loses is told with the plan (`ladder_words.losses`), what only the device knows by the runner.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import ceil

from wan_core.api.durations import read_duration
from wan_core.api.spec import Quality, Spec
from wan_core.catalog.architecture import ModelCard
from wan_core.catalog.gpu_card import SINCE, GpuCard, Precision
from wan_core.catalog.gpus import find_gpu
from wan_core.plan.duration import moved_once, streamed_bytes
from wan_core.plan.host import GIB
from wan_core.plan.ladder_words import words_of_seconds
from wan_core.plan.memory import estimate_memory
from wan_core.plan.operations import step_operations
from wan_core.plan.prompt_length import estimate, tell_cut, texts_of
from wan_core.plan.request import Request
from wan_core.plan.rungs import Rung
from wan_core.plan.techniques import TECHNIQUES, Plan

# Ours, where to begin to speak: below half of a model's own steps, at half as fast again or slow a file, at a
# tenth more or less area than any that an image-to-video model was taught with.
FEW_STEPS = 0.5
OTHER_PACE = 1.5
OTHER_AREA = 0.1


def find_warnings(card: ModelCard, spec: Spec, request: Request, rung: Rung | None) -> tuple[str, ...]:
    """What speaks against this request of `card`, and against the plan `rung` that it would run by, if any:
    `path: what, with its number; what would be better`.
    """
    asked = (text for check in OF_REQUEST for text in check(card, spec, request))
    if rung is None:
        return tuple(asked)
    return (*(text for check in OF_PLAN for text in check(card, spec, request, rung)), *asked)


def _size(card: ModelCard, _: Spec, request: Request) -> Iterator[str]:
    asked, trained = (request.width, request.height), card.sizes.trained
    area = request.width * request.height
    near = sorted(trained, key=lambda size: (abs(size[0] * size[1] - area), size != asked[::-1], size))
    if asked in trained:
        return
    share, what = area / (near[0][0] * near[0][1]) - 1, "is no size"
    if card.sizes.by_area and abs(share) <= OTHER_AREA:
        return
    if card.sizes.by_area:
        what = f"has {abs(share) * 100:.0f} % {'more' if share > 0 else 'fewer'} pixels than any size"
    sizes = ", ".join(f"{width}x{height}" for width, height in near)
    yield f"spec.resolution: {asked[0]}x{asked[1]} {what} that {card.id} was taught with; nearest: {sizes}"


def _frames(card: ModelCard, _: Spec, request: Request) -> Iterator[str]:
    taught = max(card.frame_rule.trained)
    if request.frames <= taught:
        return
    more = request.frames / taught
    shorter = step_operations(card, request.model_copy(update={"frames": taught}))
    work = step_operations(card, request).total / shorter.total
    yield (
        f"spec.frames: {request.frames} are {more:.1f} times the {taught} that {card.id} was taught with, "
        f"and {work:.1f} times their work a step; beyond {taught} motion may freeze or repeat"
    )


def _steps(card: ModelCard, _: Spec, request: Request) -> Iterator[str]:
    own = card.defaults.steps
    if request.steps < FEW_STEPS * own:
        share = request.steps / own * 100
        what = f"{request.steps} is {share:.0f} % of the model's own {own}"
        yield f"spec.steps: {what}; so few leave blur and noise"


def _guidance(card: ModelCard, spec: Spec, request: Request) -> Iterator[str]:
    asked, own = (request.guidance_high, request.guidance_low), card.defaults.guidance
    if any(mine <= 1 < default for mine, default in zip(asked, own, strict=True)):
        words = [" and ".join(f"{scale:g}" for scale in dict.fromkeys(pair)) for pair in (asked, own)]
        yield f"spec.guidance: at {words[0]} the prompt is followed loosely; the model's own is {words[1]}"
    if spec.negative_prompt and not request.guided:
        yield "spec.negativePrompt: is not read, for no step is guided: that takes a guidance above 1"


def _fps(card: ModelCard, _: Spec, request: Request) -> Iterator[str]:
    own = card.defaults.fps
    ratio = request.fps / own
    if request.frames > 1 and not 1 / OTHER_PACE < ratio < OTHER_PACE:
        pace = f"{ratio:.1f} times as fast" if ratio > 1 else f"{1 / ratio:.1f} times as slow"
        length = request.frames / request.fps
        yield f"spec.fps: {request.fps} shows {pace} motion as the model's own {own}: {length:.1f} s in all"


def _fit(_: ModelCard, spec: Spec, __: Request) -> Iterator[str]:
    if "image_fit" in spec.model_fields_set and spec.image is None:
        yield f"spec.imageFit: {spec.image_fit.value} has nothing to act on, for there is no spec.image"


def _prompts(card: ModelCard, _: Spec, request: Request) -> Iterator[str]:
    for field, text in texts_of(request).items():
        if told := tell_cut(field, estimate(text, card)):
            yield told


def _cpu(card: ModelCard, _: Spec, request: Request, rung: Rung) -> Iterator[str]:
    if rung.plan.device != "cpu":
        return
    time = f", {words_of_seconds(rung.seconds)} by estimate" if rung.seconds is not None else ""
    if "cuda" not in card.devices:
        yield f"plan: runs on the CPU{time}"
        return
    need = estimate_memory(_resident(card), card, request).peak_gib
    yield f"plan: runs on the CPU{time}; a GPU with {ceil(need)} GiB would hold all of it"


def _offload(card: ModelCard, _: Spec, request: Request, rung: Rung) -> Iterator[str]:
    placement = next(t for t in rung.plan.techniques if TECHNIQUES[t].group == "placement")
    if rung.plan.device != "cuda" or placement == "resident":
        return
    need = estimate_memory(_resident(card), card, request).peak_gib
    step, once = streamed_bytes(rung.plan, card, request) / GIB, moved_once(rung.plan, card) / GIB
    crossing = (
        f"{step:.1f} GiB cross the bus in each of {request.steps} steps"
        if step
        else f"{once:.1f} GiB cross it once"
    )
    yield f"plan: {placement}, as all of it needs {need:.1f} GiB of one GPU; {crossing}"


def _precision(_: ModelCard, spec: Spec, __: Request, rung: Rung) -> Iterator[str]:
    """What every GPU of the plan lacks: bf16, the flash attention that begins with it, or FP8 where the floor
    of quality would allow it.
    """
    cards = [card for product in rung.products if (card := find_gpu(product)) is not None]
    if not cards or len(cards) < len(rung.products):
        return  # nothing is known of one of them
    best = max(cards, key=lambda card: (card.compute_capability or (0, 0), card.name))
    if all("bf16" in card.cannot for card in cards):
        since = "{}.{}".format(*SINCE["bf16"])
        lacks = f"no bf16 and no flash attention, which begin with {since}"
        yield f"plan: {_named(best)} has {lacks}: float32{_peak(best, 'fp32')}"
    elif spec.quality is not Quality.LOSSLESS and all("fp8" in card.cannot for card in cards):
        since = "{}.{}".format(*SINCE["fp8"])
        yield f"plan: {_named(best)} has no FP8, which begins with {since}: bf16{_peak(best, 'bf16')}"


def _deadline(_: ModelCard, spec: Spec, __: Request, rung: Rung) -> Iterator[str]:
    limit = read_duration(spec.deadlines.run)
    if limit is not None and rung.seconds is not None and rung.seconds > limit.total_seconds():
        needed = f"the {words_of_seconds(rung.seconds)} that the plan takes by estimate"
        yield f"spec.deadlines.run: {spec.deadlines.run} is less than {needed}"


def _resident(card: ModelCard) -> Plan:
    return Plan(model=card.id, device="cuda", techniques=("bf16", "resident"))


def _named(gpu: GpuCard) -> str:
    capability = gpu.compute_capability
    return gpu.name if capability is None else "{} (compute capability {}.{})".format(gpu.name, *capability)


def _peak(gpu: GpuCard, precision: Precision) -> str:
    figure = gpu.tflops.get(precision)
    return f", at most {figure:g} TFLOP/s" if figure is not None else ""


OF_REQUEST: tuple[Callable[[ModelCard, Spec, Request], Iterator[str]], ...] = (
    _size,
    _frames,
    _steps,
    _guidance,
    _fps,
    _fit,
    _prompts,
)
OF_PLAN: tuple[Callable[[ModelCard, Spec, Request, Rung], Iterator[str]], ...] = (
    _cpu,
    _offload,
    _precision,
    _deadline,
)
