"""Which model and settings, for what somebody has: a prompt, perhaps an image, and GPUs. Pure.

The order is stated, not scored. What fits now stands before what fits later, and what keeps to the time that
was given before what does not; then the model with more parameters a step, of which the better videos are to
be expected (assumed: no quality was measured here); then what loses less, the larger picture, the shorter
time. The words of the prompt are not judged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import inf
from typing import Any, Literal

from wan_core.api.model import Document
from wan_core.api.spec import ImageFit, Quality, Spec
from wan_core.api.status import Verdict
from wan_core.catalog.architecture import ModelCard
from wan_core.catalog.models import MODELS
from wan_core.plan.duration import TimeEstimate
from wan_core.plan.explain import losses, words_of_seconds
from wan_core.plan.image_fit import Size, fit_image, have_same_aspect
from wan_core.plan.inventory import Inventory
from wan_core.plan.ladder import build_ladder
from wan_core.plan.profile import trained_shapes
from wan_core.plan.request import Request, fill_request
from wan_core.plan.rungs import Rung

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

    `parameters` are those that a step computes with. `within`: it keeps to the time that was given.
    """

    spec: Spec
    request: Request
    parameters: int
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


def recommend(
    prompt: str,
    inventory: Inventory,
    *,
    image: str | None = None,
    image_size: Size | None = None,
    quality: Quality = Quality.NEAR,
    within_s: float | None = None,
    models: Mapping[str, ModelCard] = MODELS,
    **options: Any,
) -> Advice:
    """Ways of making the video on `inventory`, none that loses more than `quality` allows.

    `image` is its address, `image_size` its width and height if they are known. `options` are those of
    `build_ladder`.
    """
    found: list[Recommendation] = []
    refused: list[str] = []
    for card in models.values():
        if why := _unsuited(card, image):
            refused.append(f"{card.id}: {why}")
            continue
        asked = _request(card, prompt, image, quality)
        best, why = _best_of(card, asked, image_size, inventory, within_s, models, options)
        if best is None:
            refused.append(f"{card.id}: {why}")
        else:
            found.append(best)
    found.sort(key=_order)
    return Advice(recommendations=_with_reasons(found, image_size, within_s), refused=tuple(refused))


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


def _request(card: ModelCard, prompt: str, image: str | None, quality: Quality) -> Request:
    spec = Spec(model=card.id, prompt=prompt, image=image, quality=quality)
    return fill_request(card, spec, "")


def _best_of(
    card: ModelCard,
    asked: Request,
    image_size: Size | None,
    inventory: Inventory,
    within_s: float | None,
    models: Mapping[str, ModelCard],
    options: Mapping[str, Any],
) -> tuple[Recommendation | None, str]:
    """The best shape of one model; why none, if none fits."""
    ways: list[Recommendation] = []
    why = ""
    for shape in _shapes(card, asked, image_size):
        ladder = build_ladder((shape,), inventory, models=models, **options)
        for rung in ladder.runnable:
            late = within_s is not None and (rung.time is None or rung.time.total.high > within_s)
            ways.append(_recommendation(card, shape, rung, image_size, not late))
        if not ladder.runnable:
            least = min(ladder.rungs, key=lambda r: r.memory.peak_gib)
            why = f"{shape.width}x{shape.height}: {least.reason}"
    return min(ways, key=_order, default=None), why


def _shapes(card: ModelCard, asked: Request, image_size: Size | None) -> Iterator[Request]:
    """The trained shapes, as the image is wide or high."""
    for shape in trained_shapes(card, asked):
        size = (shape.width, shape.height)
        if image_size is not None and (image_size[0] < image_size[1]) != (size[0] < size[1]):
            size = (size[1], size[0])
        yield shape.model_copy(update={"width": size[0], "height": size[1]})


def _recommendation(
    card: ModelCard, shape: Request, rung: Rung, image_size: Size | None, within: bool
) -> Recommendation:
    as_it_is = image_size is None or have_same_aspect(image_size, (shape.width, shape.height))
    fit = ImageFit.REFUSE if as_it_is else ImageFit.CROP
    spec = Spec(
        model=card.id,
        prompt=shape.prompt,
        image=shape.image,
        image_fit=fit,
        resolution=f"{shape.width}x{shape.height}",
        frames=shape.frames,
        quality=rung.tier,
    )
    return Recommendation(
        spec=spec,
        request=shape,
        parameters=card.transformer.parameters,
        rung=rung,
        within=within,
        confidence=confidence_of(rung.time),
    )


def _order(one: Recommendation) -> tuple[bool, bool, int, int, int, float, str]:
    rung = one.rung
    seconds = rung.time.total.middle if rung.time is not None else inf
    pixels = one.request.width * one.request.height
    later = rung.verdict is not Verdict.FITS_NOW
    return (later, not one.within, -one.parameters, rung.tier.rank, -pixels, seconds, rung.plan.label)


def _with_reasons(
    found: Sequence[Recommendation], image_size: Size | None, within_s: float | None
) -> tuple[Recommendation, ...]:
    return tuple(
        one.model_copy(update={"reasons": tuple(_reasons(one, found, image_size, within_s))}) for one in found
    )


def _reasons(
    one: Recommendation, found: Sequence[Recommendation], image_size: Size | None, within_s: float | None
) -> Iterator[str]:
    """Why it stands where it stands, each with its number."""
    rung, request = one.rung, one.request
    others = [other for other in found if other is not one]
    billions = f"{one.parameters / 1e9:.3g} billion parameters a step"
    most = all(one.parameters >= other.parameters for other in others)
    yield f"{billions}, {'the most' if most else 'not the most'} of {len(found)} models that can be used"
    yield rung.reason
    if within_s is not None and rung.time is not None:
        longest = words_of_seconds(rung.time.total.high)
        yield f"takes {longest} at the most; {words_of_seconds(within_s)} were given"
    if request.image is not None and image_size is not None:
        fitted = fit_image(image_size, (request.width, request.height), one.spec.image_fit)
        yield f"the image of {image_size[0]}x{image_size[1]}: {fitted.words or 'as it is'}"
    yield from (f"loses: {loss}" for loss in losses(rung.plan))
