"""An administrator's own models: other weights of an architecture of the catalogue, from a YAML text. Pure.

    models:
      - id: corgi-5B
        base: ti2v-5B
        title: Corgis that surf, after Wan2.2 5B
        licence: {name: CC-BY-4.0, commercial: "yes"}
        defaults: {resolution: 832x480, frames: 81, steps: 30, guidance: {scale: 4.0}}
        trainedSizes: [832x480, 480x832]
        trainedFrames: [81]

What an entry does not say is its base's. Its weights lie where all others do, in the folder of its id; what
they themselves tell, the boundary between experts say, is taken from there.
Checked as strictly as a request is: unknown keys are refused, every fault is told at once with its path, what
is wrong and what would be right. Not covered: another architecture; whether the weights fit (`wan validate
--models`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Annotated, Any

from pydantic import Field, StringConstraints, ValidationError

from wan_core.api import rules
from wan_core.api.parse import PROBLEMS_MAX, parse_text
from wan_core.api.problems import problem_of
from wan_core.api.spec import Guidance, ModelId, Number, Resolution, Text, Whole, Wish
from wan_core.api.words import nearest, shown
from wan_core.catalog.architecture import Card, Defaults, FrameRule, Licence, ModelCard, ModelTask, Sizes
from wan_core.catalog.aspects import aspect_of
from wan_core.catalog.control_characters import control_fault
from wan_core.catalog.guidance import choose_scales, guidance_fault
from wan_core.catalog.ids import resolve_model
from wan_core.catalog.models import ENTRIES, MODELS
from wan_core.catalog.shape_rules import frames_fault, size_fault, size_of
from wan_core.errors import InvalidInput

OWN = "own"  # the key of `SOURCES` for what an administrator says
MODELS_MAX = 64
ID_MAX = 63  # it is a folder in S3 and a part of a plan's label
Line = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=200)]
FrameCount = Annotated[int, Field(strict=True, ge=1, le=1001)]


class OwnLicence(Wish):
    """Under what the weights may be used."""

    name: Line
    """Its name, as Apache-2.0."""
    commercial: Line = "not stated"
    """Whether commercially: yes, no, or on which condition."""


class OwnDefaults(Wish):
    """What a request takes where it is silent. Default: the base's."""

    resolution: Resolution | None = None
    """Width x height, as 1280x704."""
    frames: FrameCount | None = None
    """Frames of a video."""
    fps: Whole | None = Field(None, ge=1, le=120)
    """Frames a second."""
    steps: Whole | None = Field(None, ge=1, le=200)
    """Denoising steps."""
    guidance: Guidance | None = None
    """Guidance, by as many experts as the base has."""
    shift: Number | None = Field(None, ge=0.1, le=100.0)
    """Shift of the noise schedule."""
    negative_prompt: Text | None = None
    """What to steer away from."""


class OwnModel(Wish):
    """One entry."""

    id: ModelId
    """How requests name it, and the name of its folder below the prefix of weights."""
    base: ModelId
    """The model of the catalogue whose architecture it has."""
    title: Line
    """What it makes, in a line."""
    licence: OwnLicence | None = None
    """Default: not stated."""
    defaults: OwnDefaults = Field(default_factory=OwnDefaults)
    """What a request takes where it is silent."""
    trained_sizes: list[Resolution] = Field(default_factory=list, max_length=32)
    """Sizes that it was taught with. Default: the base's."""
    trained_frames: list[FrameCount] = Field(default_factory=list, max_length=32)
    """Lengths that it was taught with. Default: the base's."""


class OwnCatalog(Wish):
    """The whole text."""

    models: list[OwnModel] = Field(max_length=MODELS_MAX)
    """The entries."""


def load_catalog(text: str | bytes, source: str) -> Mapping[str, ModelCard]:
    """The cards of the entries in `text`, by id. `source` names the text in messages.

    Raises InvalidInput with every problem, as `own.yaml: models[0].defaults.frames: 82 is not 4k+1; nearest:
    81, 85`.
    """
    data, problems = parse_text(text, source, "catalogue")
    told: list[str] = []
    try:
        entries = list(enumerate(OwnCatalog.model_validate(data, by_alias=True, by_name=False).models))
    except ValidationError as error:
        told = [problem_of(one, OwnCatalog) for one in error.errors(include_url=False)]
        entries = list(_valid_entries(data))
    cards, more = _build(entries)
    told += more
    if len(told) > PROBLEMS_MAX:
        told = [*told[:PROBLEMS_MAX], f"and {len(told) - PROBLEMS_MAX} more like these"]
    if problems or told:
        raise InvalidInput([*problems, *(f"{source}: {problem}" for problem in told)])
    return cards


def build_own(entries: Sequence[OwnModel]) -> Mapping[str, ModelCard]:
    """The cards of `entries`, by id. Raises InvalidInput with every problem, each with its path."""
    cards, problems = _build(enumerate(entries))
    if problems:
        raise InvalidInput(problems)
    return cards


def _valid_entries(data: object) -> Iterator[tuple[int, OwnModel]]:
    """Those that are valid by themselves: what else is wrong with them is told too."""
    entries = data.get("models") if isinstance(data, dict) else None
    for index, entry in enumerate(entries if isinstance(entries, list) else ()):
        with suppress(ValidationError):
            yield index, OwnModel.model_validate(entry, by_alias=True, by_name=False)


def _build(entries: Iterable[tuple[int, OwnModel]]) -> tuple[Mapping[str, ModelCard], list[str]]:
    """Cards of the entries, and what is wrong with them. A number says where an entry stands."""
    cards: dict[str, ModelCard] = {}
    problems: list[str] = []
    for index, entry in entries:
        faults = [*_id_faults(entry.id, cards), *_base_faults(entry.base), *_text_faults(entry)]
        if entry.base in MODELS:
            card = build_card(entry, MODELS[entry.base])
            faults += _faults_of(entry, card)
            cards[entry.id] = card
        problems += [f"models[{index}].{fault}" for fault in faults]
    return cards, problems


def build_card(entry: OwnModel, base: ModelCard) -> ModelCard:
    """The base's card with what the entry says over it."""
    sizes, lengths = _sizes(entry, base.sizes), _frame_rule(entry, base.frame_rule)
    licence = entry.licence
    return replace(
        base,
        id=entry.id,
        title=entry.title,
        licence=Licence(licence.name, licence.commercial, OWN)
        if licence is not None
        else Licence("not stated", f"not stated; {base.id} is under {base.licence.name}", OWN),
        defaults=_defaults(entry, base.defaults, sizes, lengths),
        sizes=sizes,
        frame_rule=lengths,
        alternatives=(base.id,),
        weights_of=base.id,
        source=OWN,
    )


def _sizes(entry: OwnModel, base: Sizes) -> Sizes:
    if not entry.trained_sizes:
        return base
    trained = tuple(size_of(resolution) for resolution in entry.trained_sizes)
    most = max([base.max_pixels, *(width * height for width, height in trained)])
    aspects = tuple(dict.fromkeys(aspect_of(*size) for size in trained))
    return replace(base, trained=trained, aspects=aspects, max_pixels=most, source=OWN)


def _frame_rule(entry: OwnModel, base: FrameRule) -> FrameRule:
    if not entry.trained_frames:
        return base
    trained = tuple(entry.trained_frames)
    return replace(base, trained=trained, most=max(base.most, *trained), source=OWN)


def _defaults(entry: OwnModel, base: Defaults, sizes: Sizes, lengths: FrameRule) -> Defaults:
    """Of a size or length that it was taught with, where only those are said."""
    said = entry.defaults
    width, height = (base.width, base.height) if not entry.trained_sizes else sizes.trained[0]
    width, height = size_of(said.resolution) if said.resolution else (width, height)
    return Defaults(
        width=width,
        height=height,
        frames=said.frames or (lengths.trained[0] if entry.trained_frames else base.frames),
        fps=said.fps or base.fps,
        steps=said.steps or base.steps,
        guidance=choose_scales(base, said.guidance),
        shift=said.shift or base.shift,
        negative_prompt=base.negative_prompt if said.negative_prompt is None else said.negative_prompt,
        source=OWN,
    )


def _id_faults(model_id: str, before: Mapping[str, Card]) -> Iterator[str]:
    """Nobody who writes an id may get another model for it than before."""
    if any(character in model_id for character in "/:"):
        yield f"id: {shown(model_id)} has a / or a :, and it is the name of a folder"
    elif len(model_id) > ID_MAX:
        yield f"id: {shown(model_id)} has {len(model_id)} characters; the maximum is {ID_MAX}"
    elif model_id.lower() in {known.lower() for known in before}:
        yield f"id: {shown(model_id)} is given twice"
    elif model_id.lower() in {known.lower() for known in ENTRIES}:
        yield f"id: {shown(model_id)} is a model of the catalogue; choose another"
    elif note := _read_as(model_id):
        yield f"id: {note}; choose another"


def _read_as(model_id: str) -> str:
    try:
        return resolve_model(model_id).note
    except InvalidInput:
        return ""


def _base_faults(base: str) -> Iterator[str]:
    card = ENTRIES.get(base)
    able = [known.id for known in MODELS.values() if not known.cannot_run]
    if card is None:
        near = nearest(base, able, count=2) or able
        yield f"base: {shown(base)} is not in the catalogue; nearest: {', '.join(near)}"
    elif card.cannot_run:
        yield f"base: {base} cannot run, nor could this: {card.cannot_run}; there are: {', '.join(able)}"


def _text_faults(entry: OwnModel) -> Iterator[str]:
    """They are shown in tables and statuses, and the negative prompt is encoded."""
    licence = entry.licence
    lines = {"title": entry.title}
    if licence is not None:
        lines |= {"licence.name": licence.name, "licence.commercial": licence.commercial}
    for path, line in lines.items():
        if not line.strip():
            yield f"{path}: is blank"
        if fault := control_fault(line, line=True):
            yield f"{path}: {fault}"
    if fault := control_fault(entry.defaults.negative_prompt or ""):
        yield f"defaults.negativePrompt: {fault}"


def _faults_of(entry: OwnModel, card: ModelCard) -> Iterator[str]:
    """What is wrong with an entry as the card that it makes, each as `path: what`."""
    for index, frames in enumerate(entry.trained_frames):
        if fault := frames_fault(card, frames):
            yield f"trainedFrames[{index}]: {fault}"
    for index, resolution in enumerate(entry.trained_sizes):
        if fault := size_fault(card, *size_of(resolution)):
            yield f"trainedSizes[{index}]: {fault}"
    if entry.defaults.frames and (fault := frames_fault(card, entry.defaults.frames)):
        yield f"defaults.frames: {fault}"
    if entry.defaults.resolution and (fault := size_fault(card, *size_of(entry.defaults.resolution))):
        yield f"defaults.resolution: {fault}"
    if fault := guidance_fault(MODELS[entry.base], entry.defaults.guidance):
        yield f"defaults.guidance: {fault}"
    if fault := _spelling_fault(card):
        yield f"id: {fault}"


def _spelling_fault(card: ModelCard) -> str:
    """The API server knows families by the spelling of ids: an id may not promise what the card denies."""
    denied: dict[str, Any] = {
        rules.FRAMES_4K1: card.frame_rule.step == 4 and card.frame_rule.first == 1,
        rules.STRIDE_32: card.stride == 32,
        rules.NEEDS_IMAGE: card.needs_image,
        rules.TAKES_NO_IMAGE: card.task is ModelTask.T2V,
        rules.TWO_EXPERTS: card.experts == 2,
        rules.ONE_EXPERT: card.experts == 1,
    }
    if all(true for pattern, true in denied.items() if rules.matches(card.id, pattern)):
        return ""
    return f"{shown(card.id)} is spelt like another kind of model than {card.weights_of}; choose another"
