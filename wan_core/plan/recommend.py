"""Which model and settings, for what somebody has: a prompt, perhaps an image, and GPUs. Pure.

The order is stated, not scored. What fits now stands before what fits later, and what keeps to the time that
was given before what does not; then the model with more parameters a step, of which the better videos are to
be expected (assumed: no quality was measured here); then what loses less, the larger picture, the shorter
time. The tiny models of this repository come last. The words of the prompt are not judged.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Literal

from wan_core.api.model import Document
from wan_core.api.spec import ImageFit, Quality, Spec
from wan_core.api.status import Verdict
from wan_core.catalog.architecture import ModelCard
from wan_core.catalog.models import MODELS, WAN_TINY
from wan_core.plan.criteria import DEFAULT_CRITERIA, Criteria
from wan_core.plan.duration import TimeEstimate
from wan_core.plan.image_fit import Size, fit_image, have_same_aspect, nearest_resolution
from wan_core.plan.inventory import Inventory
from wan_core.plan.ladder import build_ladder
from wan_core.plan.ladder_words import losses, words_of_seconds, words_of_span
from wan_core.plan.profile import trained_shapes
from wan_core.plan.request import Request, fill_request
from wan_core.plan.rungs import Ladder, Rung

Level = Literal["high", "medium", "low"]
HIGH, MEDIUM = 0.8, 0.5  # of the estimated time, measured or at least published: ours


class Confidence(Document):
    """How much of the estimated time rests on measurements of this plan on this GPU, and how much on figures
    published of others: shares of 1. The rest is assumed.
    """

    level: Level
    measured: float
    published: float
    why: str


class Recommendation(Document):
    """One way, complete: `spec` is what would be written in a manifest, `rung` how it would run.

    `parameters` are those that a step computes with. `within`: it keeps to the time that was given, by the
    middle of the estimate. `demonstrates`: the model is one that ships to show that everything works.
    """

    spec: Spec
    request: Request
    parameters: int
    demonstrates: bool = False
    rung: Rung
    within: bool
    confidence: Confidence
    reasons: tuple[str, ...] = ()


class Advice(Document):
    """Recommendations, the best first, of each model one at most.

    `refused` says why others are not among them: `MODEL: why`.
    """

    recommendations: tuple[Recommendation, ...] = ()
    refused: tuple[str, ...] = ()


@dataclass(frozen=True)
class Wish:
    """What is wanted, and what there is. `image` is its address, `size` its width and height if known."""

    prompt: str
    image: str | None
    size: Size | None
    quality: Quality
    within_s: float | None
    inventory: Inventory
    models: Mapping[str, ModelCard]
    criteria: Criteria


def recommend(
    prompt: str,
    inventory: Inventory,
    *,
    image: str | None = None,
    image_size: Size | None = None,
    quality: Quality = Quality.NEAR,
    within_s: float | None = None,
    models: Mapping[str, ModelCard] = MODELS,
    criteria: Criteria = DEFAULT_CRITERIA,
) -> Advice:
    """Ways of making the video on `inventory`, none that loses more than `quality` allows.

    `image` is its address, `image_size` its width and height if they are known.
    """
    wish = Wish(prompt, image, image_size, quality, within_s, inventory, models, criteria)
    found: list[Recommendation] = []
    refused: list[str] = []
    for card in models.values():
        best, why = (None, unsuited) if (unsuited := _unsuited(card, image)) else _best_of(card, wish)
        if best is None:
            refused.append(f"{card.id}: {why}")
        else:
            found.append(best)
    found.sort(key=_order)
    told = tuple(one.model_copy(update={"reasons": tuple(_reasons(one, found, wish))}) for one in found)
    return Advice(recommendations=told, refused=tuple(refused))


def confidence_of(time: TimeEstimate | None) -> Confidence:
    """From how much of the estimate was measured."""
    if time is None:
        return Confidence(
            level="low", measured=0.0, published=0.0, why="nothing is known of this GPU's speed"
        )
    total = time.total.middle
    share = round(time.denoise_s.middle / total, 2) if total else 0.0
    measured = share if time.basis == "measured" else 0.0
    published = share if time.basis == "published" else 0.0
    level: Level = "high" if measured >= HIGH else "medium" if measured + published >= MEDIUM else "low"
    rests = {"measured": "measurements of it", "published": "published figures of its kind"}
    on = rests.get(time.basis, "an assumed efficiency")
    why = f"{100 * share:.0f} % of the time is denoising, which rests on {on}; the rest is assumed"
    return Confidence(level=level, measured=measured, published=published, why=why)


def _unsuited(card: ModelCard, image: str | None) -> str:
    if card.cannot_run:
        return card.cannot_run
    if image is None and card.needs_image:
        return "starts from an image, and there is none"
    if image is not None and not card.takes_image:
        return "takes no image"
    return ""


def _best_of(card: ModelCard, wish: Wish) -> tuple[Recommendation | None, str]:
    """The best shape of one model; why none, if none fits."""
    ways: list[Recommendation] = []
    why = ""
    for shape in _shapes(card, wish):
        ladder = _ladder(shape, wish)
        ways += _ways(card, shape, ladder, wish)
        if not ladder.runnable:
            least = min(ladder.rungs, key=lambda rung: (not rung.product, rung.memory.peak_gib))
            why = f"{shape.width}x{shape.height}: {least.reason}"
    if ways and not any(way.within for way in ways):
        ways += _shorter(card, ways[-1].request, wish)
    return min(ways, key=_order, default=None), why


def _shapes(card: ModelCard, wish: Wish) -> Iterator[Request]:
    """The trained shapes, as the image is wide or high; of its very aspect where only areas count."""
    spec = Spec(model=card.id, prompt=wish.prompt, image=wish.image, quality=wish.quality)
    for shape in trained_shapes(card, fill_request(card, spec, "")):
        size = (shape.width, shape.height)
        if wish.size is not None and (wish.size[0] < wish.size[1]) != (size[0] < size[1]):
            size = (size[1], size[0])
        if wish.size is not None and card.sizes.by_area:
            size = nearest_resolution(card, wish.size, size) or size
        yield shape.model_copy(update={"width": size[0], "height": size[1]})


def _shorter(card: ModelCard, shape: Request, wish: Wish) -> tuple[Recommendation, ...]:
    """The longest video of this size that keeps to the time, if any does. Fewer frames take less."""
    choices = card.frame_rule.shorter(shape.frames)

    def at(frames: int) -> tuple[Recommendation, ...]:
        other = shape.model_copy(update={"frames": frames})
        return tuple(way for way in _ways(card, other, _ladder(other, wish), wish) if way.within)

    count = bisect_left(choices, True, key=lambda frames: not at(frames))
    return at(choices[count - 1]) if count else ()


def _ladder(shape: Request, wish: Wish) -> Ladder:
    return build_ladder((shape,), wish.inventory, models=wish.models, criteria=wish.criteria)


def _ways(card: ModelCard, shape: Request, ladder: Ladder, wish: Wish) -> Iterator[Recommendation]:
    """The best rung of each tier."""
    tiers: set[Quality] = set()
    for rung in ladder.runnable:
        if rung.tier not in tiers:
            tiers.add(rung.tier)
            yield _way(card, shape, rung, wish)


def _way(card: ModelCard, shape: Request, rung: Rung, wish: Wish) -> Recommendation:
    as_it_is = wish.size is None or have_same_aspect(wish.size, (shape.width, shape.height))
    late = wish.within_s is not None and (rung.seconds is None or rung.seconds > wish.within_s)
    spec = Spec(
        model=card.id,
        prompt=shape.prompt,
        image=shape.image,
        image_fit=ImageFit.REFUSE if as_it_is else ImageFit.CROP,
        resolution=f"{shape.width}x{shape.height}",
        frames=shape.frames,
        quality=rung.tier,
    )
    return Recommendation(
        spec=spec,
        request=shape,
        parameters=card.transformer.parameters,
        demonstrates=card.family == WAN_TINY.family,
        rung=rung,
        within=not late,
        confidence=confidence_of(rung.time),
    )


def _order(one: Recommendation) -> tuple[bool, bool, bool, int, int, int, float, str]:
    rung, request = one.rung, one.request
    seconds = inf if rung.seconds is None else rung.seconds
    pixels = request.width * request.height
    later = rung.verdict is not Verdict.FITS_NOW
    fits = (one.demonstrates, later, not one.within)
    return (*fits, -one.parameters, rung.tier.rank, -pixels, seconds, rung.plan.label)


def _reasons(one: Recommendation, found: Sequence[Recommendation], wish: Wish) -> Iterator[str]:
    """Why it stands where it stands, each with its number."""
    rung, request = one.rung, one.request
    card = wish.models[one.spec.model]
    millions = f"{one.parameters / 1e6:,.0f} million parameters a step"
    most = all(one.parameters >= other.parameters for other in found)
    rank = "the most" if most else "not the most"
    yield f"{card.title}: {millions}, {rank} of the models that fit here ({len(found)})"
    yield rung.reason
    if wish.within_s is not None and rung.time is not None:
        yield f"takes {words_of_span(rung.time.total)}; {words_of_seconds(wish.within_s)} were given"
    if request.frames < card.defaults.frames:
        shown = f"{request.frames} frames in place of the model's own {card.defaults.frames}"
        yield f"{shown}: what keeps to the time"
    if request.image is not None and wish.size is not None:
        fitted = fit_image(wish.size, (request.width, request.height), one.spec.image_fit)
        yield f"the image of {wish.size[0]}x{wish.size[1]}: {fitted.words or 'as it is'}"
    yield from (f"loses: {loss}" for loss in losses(rung.plan))
