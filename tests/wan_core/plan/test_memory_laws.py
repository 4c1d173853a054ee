"""What holds of the memory of every plan and request."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.wan_core.plan.worlds import request_of
from wan_core.catalog.models import MODELS
from wan_core.plan.activations import SLICE_TOKENS
from wan_core.plan.candidates import list_plans
from wan_core.plan.memory import MemoryEstimate, estimate_memory
from wan_core.plan.request import Request
from wan_core.plan.shapes import count_tokens
from wan_core.plan.techniques import TECHNIQUES, Plan

RUNNABLE = [card.id for card in MODELS.values() if not card.cannot_run]
DEVICE = ("text_gib", "denoise_gib", "decode_gib")
FIELDS = (*DEVICE, "host_gib", "pinned_gib", "disk_gib")
OPTIONS = {
    group: [t.id for t in TECHNIQUES.values() if t.group == group]
    for group in ("precision", "placement", "text", "attention", "guidance", "decode")
}
SAVERS = ("component-offload", "block-streaming", "text-encoder-cpu", "sliced-attention", "vae-tiling")


@st.composite
def requests(draw: st.DrawFn) -> Request:
    card = MODELS[draw(st.sampled_from(RUNNABLE))]
    frames = draw(st.sampled_from(card.frame_rule.choices))
    width = card.stride * draw(st.integers(1, card.defaults.width // card.stride))
    height = card.stride * draw(st.integers(1, card.defaults.height // card.stride))
    request = request_of(card.id, resolution=f"{width}x{height}", frames=frames)
    image = "s3://inputs/a.png" if card.takes_image and draw(st.booleans()) else request.image
    guidance = draw(st.sampled_from([1.0, 5.0]))
    return request.model_copy(update={"image": image, "guidance_high": guidance, "guidance_low": guidance})


@st.composite
def techniques(draw: st.DrawFn) -> tuple[str, ...]:
    chosen = [draw(st.sampled_from(OPTIONS[group])) for group in ("precision", "placement")]
    for group in ("text", "attention", "guidance", "decode"):
        chosen += draw(st.sampled_from([[], OPTIONS[group][:1]]))
    return tuple(chosen)


def estimate(request: Request, chosen: tuple[str, ...]) -> MemoryEstimate:
    plan = Plan(model=request.model, device="cuda", techniques=chosen)
    return estimate_memory(plan, MODELS[request.model], request)


@settings(max_examples=150, deadline=None)
@given(requests(), st.data())
def test_fewer_frames_or_pixels_never_need_more(request: Request, data: st.DataObject) -> None:
    card = MODELS[request.model]
    plan = data.draw(st.sampled_from(list_plans(card)))
    choices = [frames for frames in card.frame_rule.choices if frames <= request.frames]
    update = {
        "frames": data.draw(st.sampled_from(choices)),
        "width": card.stride * data.draw(st.integers(1, request.width // card.stride)),
        "height": card.stride * data.draw(st.integers(1, request.height // card.stride)),
    }
    smaller = request.model_copy(update=update)
    whole, less = (estimate_memory(plan, card, asked) for asked in (request, smaller))
    for name in FIELDS:
        assert getattr(less, name) <= getattr(whole, name), name


@settings(max_examples=150, deadline=None)
@given(requests(), techniques(), st.sampled_from(SAVERS))
def test_what_saves_memory_never_takes_more_of_the_device_in_any_phase(
    request: Request, chosen: tuple[str, ...], saver: str
) -> None:
    """By slices nothing is saved where one of them holds nearly all tokens: q, k and v are alive twice."""
    group = TECHNIQUES[saver].group
    if saver == "sliced-attention" and count_tokens(MODELS[request.model], request) <= 2 * SLICE_TOKENS:
        return
    others = [t for t in chosen if TECHNIQUES[t].group != group]
    plain = [*others, "resident"] if group == "placement" else others
    before, after = (
        estimate(request, tuple(sorted(which, key=list(TECHNIQUES).index)))
        for which in (plain, [*others, saver])
    )
    for name in DEVICE:
        assert getattr(after, name) <= getattr(before, name), name


@settings(max_examples=100, deadline=None)
@given(requests(), techniques())
def test_the_peak_is_a_phase_and_pinned_memory_a_part_of_the_hosts(
    request: Request, chosen: tuple[str, ...]
) -> None:
    memory = estimate(request, chosen)
    assert memory.peak_gib == getattr(memory, f"{memory.peak_phase}_gib")
    assert 0 < memory.pinned_gib <= memory.host_gib
    assert memory.disk_gib > 1
