"""What people call a model -> the card that runs it.

Nothing is replaced quietly: `Resolved.note` says what was read as what, and an id of a model that does not
exist is refused with the nearest that does.

Read: ids of the catalogue in any case, an administrator's own among them; `wan_implementation:<id>`; names of
the official repositories, `[Wan-AI/]Wan2.x-<task>-<size>[-Diffusers]`, and of those of other architectures;
tasks without a size where one model alone answers to it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from wan_core.api.words import nearest, shown
from wan_core.catalog.architecture import Card, ModelCard
from wan_core.catalog.models import MODELS, OTHERS
from wan_core.errors import InvalidInput

LEGACY_PREFIX = "wan_implementation:"
OFFICIAL = re.compile(r"^(?:wan-ai/)?wan(?P<version>[0-9]+\.[0-9]+)-(?P<rest>[a-z0-9.-]+?)(?:-diffusers)?$")

# Published by Wan-AI, by version: what is in the catalogue, and what exists but is not.
PUBLISHED: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "2.1": MappingProxyType({"t2v-1.3b": "t2v-1.3B"}),
        "2.2": MappingProxyType(
            {
                "t2v-a14b": "t2v-A14B",
                "i2v-a14b": "i2v-A14B",
                "ti2v-5b": "ti2v-5B",
                "s2v-14b": "s2v-14B",
                "animate-14b": "animate-14B",
                "t2v": "t2v-A14B",
                "i2v": "i2v-A14B",
                "ti2v": "ti2v-5B",
                "s2v": "s2v-14B",
                "animate": "animate-14B",
            }
        ),
    }
)
ABSENT: Mapping[str, tuple[str, tuple[str, ...]]] = MappingProxyType(
    {
        "t2v-14b": ("is of Wan2.1 and not in this catalogue", ("t2v-A14B",)),
        "i2v-14b": ("is of Wan2.1 and not in this catalogue", ("i2v-A14B",)),
        "i2v-14b-480p": ("is of Wan2.1 and not in this catalogue", ("i2v-A14B",)),
        "i2v-14b-720p": ("is of Wan2.1 and not in this catalogue", ("i2v-A14B",)),
        "flf2v-14b-720p": ("is of Wan2.1 and not in this catalogue", ("i2v-A14B",)),
        "vace-1.3b": ("is of Wan2.1 and not in this catalogue", ("t2v-1.3B",)),
        "vace-14b": ("is of Wan2.1 and not in this catalogue", ("t2v-A14B",)),
        "t2v-1b": ("does not exist: no such model was published", ("t2v-1.3B",)),
        "i2v-1b": ("does not exist: no such model was published", ("ti2v-5B",)),
        "ti2v-1b": ("does not exist: no such model was published", ("ti2v-5B",)),
        "guoyww/animatediff-motion-adapter-sdxl-beta": (
            "is for Stable Diffusion XL and not in this catalogue",
            ("animatediff",),
        ),
        "t2v": ("is ambiguous", ("t2v-A14B", "t2v-1.3B")),
    }
)
SIZELESS: Mapping[str, str] = MappingProxyType(
    {"i2v": "i2v-A14B", "ti2v": "ti2v-5B", "s2v": "s2v-14B", "animate": "animate-14B"}
)
IMAGE_TO_VIDEO_5B = "i2v-5b"
# How models of other architectures are written: by their repositories, and in short.
OF_OTHERS: Mapping[str, re.Pattern[str]] = MappingProxyType(
    {
        "svd": re.compile(r"(stabilityai/)?(stable-video-diffusion(-img2vid)?|svd)"),
        "svd-xt": re.compile(r"(stabilityai/)?(stable-video-diffusion-img2vid-|svd[_-])xt([-_.]?1[-_.]1)?"),
        "animatediff": re.compile(r"(guoyww/)?animatediff(-motion-adapter-v1-5(-[23])?|[-_]v[123])?"),
    }
)


@dataclass(frozen=True)
class Resolved:
    """The card that an id stands for. `image_required` may be stricter than the card.

    `note` says what was read as what; it is empty where the id is the card's own.
    """

    card: Card
    image_required: bool
    note: str = ""


def resolve_model(
    model_id: str, path: str = "spec.model", models: Mapping[str, ModelCard] = MODELS
) -> Resolved:
    """The card that `model_id` stands for, among `models` or those of other architectures.

    Raises InvalidInput, one problem at `path` with the nearest ids, if no model of the catalogue is meant.
    """
    known: Mapping[str, Card] = {**OTHERS, **models}
    if model_id in known:
        return Resolved(known[model_id], known[model_id].needs_image)
    name = model_id.lower().removeprefix(LEGACY_PREFIX)
    by_lower = {one.lower(): card for one, card in known.items()}
    if card := by_lower.get(name) or _of_others(name):
        return _named(model_id, card)
    official = OFFICIAL.match(name)
    task = official["rest"] if official else name
    if task == IMAGE_TO_VIDEO_5B and (official is None or official["version"] == "2.2"):
        return _with_image(model_id)
    found = PUBLISHED.get(official["version"], {}).get(task) if official else SIZELESS.get(task)
    if found is None:
        raise _refusal(model_id, task, path, models)
    return _named(model_id, MODELS[found])


def _of_others(name: str) -> Card | None:
    return next((OTHERS[known] for known, pattern in OF_OTHERS.items() if pattern.fullmatch(name)), None)


def _named(model_id: str, card: Card) -> Resolved:
    return Resolved(card, card.needs_image, f"{shown(model_id)} is read as {card.id}")


def _with_image(model_id: str) -> Resolved:
    return Resolved(MODELS["ti2v-5B"], True, f"{shown(model_id)} is read as ti2v-5B with an image")


def _refusal(model_id: str, name: str, path: str, models: Mapping[str, ModelCard]) -> InvalidInput:
    what, near = ABSENT.get(name, ("is not in the catalogue", ()))
    near = near or tuple(nearest(name, (*models, *OTHERS), count=2, cutoff=0.5))
    hint = f"nearest: {', '.join(near)}" if near else f"there are: {', '.join(models)}"
    return InvalidInput(f"{path}: {shown(model_id)} {what}; {hint}")
