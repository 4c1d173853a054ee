"""A request with every default filled in: what is planned, and what the runner generates.

The rules here are the model's own, by the catalogue; those that an id's spelling tells are in `api.rules`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from wan_core.api.model import Document
from wan_core.api.spec import Guidance, ImageFit, Quality, Spec
from wan_core.catalog.architecture import Card, ModelCard
from wan_core.catalog.guidance import choose_scales, guidance_fault
from wan_core.catalog.ids import resolve_model
from wan_core.catalog.models import MODELS
from wan_core.catalog.shape_rules import frames_fault, size_fault, size_of
from wan_core.errors import InvalidInput


class Request(Document):
    """One video to make with one model. Guidance is the pair used above and below the expert boundary."""

    model: str
    prompt: str
    negative_prompt: str
    image: str | None = None
    image_fit: ImageFit = ImageFit.REFUSE
    width: int
    height: int
    frames: int
    fps: int
    steps: int
    guidance_high: float
    guidance_low: float
    shift: float
    seed: int
    quality: Quality = Quality.LOSSLESS

    @property
    def guided(self) -> bool:
        """Whether any step is guided: then each takes two forwards, with and without the prompt."""
        return max(self.guidance_high, self.guidance_low) > 1

    @property
    def passes(self) -> int:
        """Forwards of a step."""
        return 2 if self.guided else 1

    def bare(self) -> Request:
        """Without what no plan depends on. Of the image it matters only whether there is one."""
        return self.model_copy(update=UNREAD if self.image is not None else UNREAD | {"image": None})


UNREAD = {
    "prompt": "",
    "negative_prompt": "",
    "image": "s3://image/",
    "image_fit": ImageFit.REFUSE,
    "seed": 0,
}
"""The fields that no plan depends on, as they stand in a bare request."""


def resolve_request(
    spec: Spec, uid: str, model: str | None = None, models: Mapping[str, ModelCard] = MODELS
) -> Request:
    """The request that `spec` makes of its model, or of `model`, one of its fallback models.

    `uid` gives the seed where the spec has none. Raises InvalidInput with every problem at once; that its
    architecture is another is one of them. A card that cannot run yet is resolved all the same: see
    `cannot_run`.
    """
    path = "spec.model" if model is None else f"spec.fallback.models[{_index(spec, model)}]"
    resolved = resolve_model(spec.model if model is None else model, path, models)
    card, image_required = resolved.card, resolved.image_required
    if isinstance(card, ModelCard):
        return fill_request(card, spec, uid, image_required=image_required, models=models)
    problems = find_problems(card, spec, image_required=image_required, models=models)
    raise InvalidInput([f"{path}: {cannot_run(card)}", *problems])


def fill_request(
    card: ModelCard,
    spec: Spec,
    uid: str,
    *,
    image_required: bool = False,
    models: Mapping[str, ModelCard] = MODELS,
) -> Request:
    """`spec` on `card`, with the card's defaults. Raises InvalidInput with every problem at once."""
    problems = find_problems(card, spec, image_required=image_required, models=models)
    if problems:
        raise InvalidInput(problems)
    defaults = card.defaults
    width, height = size_of(spec.resolution) if spec.resolution else (defaults.width, defaults.height)
    high, low = choose_scales(defaults, spec.guidance)
    return Request(
        model=card.id,
        prompt=spec.prompt,
        negative_prompt=defaults.negative_prompt if spec.negative_prompt is None else spec.negative_prompt,
        image=spec.image,
        image_fit=spec.image_fit,
        width=width,
        height=height,
        frames=spec.frames or defaults.frames,
        fps=spec.fps or defaults.fps,
        steps=spec.steps or defaults.steps,
        guidance_high=high,
        guidance_low=low,
        shift=spec.shift or defaults.shift,
        seed=derive_seed(uid) if spec.seed is None else spec.seed,
        quality=spec.quality,
    )


def derive_seed(uid: str) -> int:
    """The first 32 bits of the SHA-256 of a resource's uid."""
    return int.from_bytes(hashlib.sha256(uid.encode()).digest()[:4], "big")


def find_problems(
    card: Card, spec: Spec, *, image_required: bool = False, models: Mapping[str, ModelCard] = MODELS
) -> tuple[str, ...]:
    """What `card` cannot do of what `spec` says, each as `path: what; nearest`; `models` stand in."""
    found = (
        _image_problem(card, spec, image_required, models),
        _frames_problem(card, spec.frames),
        _resolution_problem(card, spec.resolution),
        _guidance_problem(card, spec.guidance),
    )
    return tuple(problem for problem in found if problem)


def cannot_run(card: Card) -> str:
    """Why this version cannot run the model; empty if it can."""
    if not card.cannot_run:
        return ""
    if isinstance(card, ModelCard):
        return f"{card.id} cannot run yet: {card.cannot_run}"
    return f"{card.id} cannot run: {card.cannot_run}; nearest: {', '.join(card.alternatives)}"


def _image_problem(card: Card, spec: Spec, image_required: bool, models: Mapping[str, ModelCard]) -> str:
    if (card.needs_image or image_required) and spec.image is None:
        return f"spec.image: missing; {card.id} starts from an image: s3://BUCKET/KEY"
    if spec.image is not None and not card.takes_image:
        near = [other.id for other in models.values() if _is_kin(card, other) and other.takes_image]
        return f"spec.image: {card.id} takes no image; nearest: {', '.join(near)}"
    return ""


def _is_kin(card: Card, other: ModelCard) -> bool:
    """Whether `other` can run and reads prompts as `card` does; any may stand in for another architecture."""
    alike = not isinstance(card, ModelCard) or other.text_encoder == card.text_encoder
    return alike and not other.cannot_run


def _frames_problem(card: Card, frames: int | None) -> str:
    fault = "" if frames is None else frames_fault(card, frames)
    return f"spec.frames: {fault}" if fault else ""


def _resolution_problem(card: Card, resolution: str | None) -> str:
    fault = "" if resolution is None else size_fault(card, *size_of(resolution))
    return f"spec.resolution: {fault}" if fault else ""


def _guidance_problem(card: Card, guidance: Guidance | None) -> str:
    fault = guidance_fault(card, guidance)
    return f"spec.guidance: {fault}" if fault else ""


def _index(spec: Spec, model: str) -> int:
    return spec.fallback.models.index(model) if model in spec.fallback.models else 0
