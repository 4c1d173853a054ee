"""A model, or a part of one, written anew under the names and in the files of another program.

Tensors keep their bytes and dtypes; only names change. Not covered: casting, merging, quantising, and LoRA.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeAlias

from wan_core.catalog.architecture import ModelCard
from wan_core.catalog.models import MODELS
from wan_core.errors import InvalidInput, ModelNotFound
from wan_core.weights.configs import check_fits, config_of
from wan_core.weights.files import appearing
from wan_core.weights.layout import HIGH, LOW, Found, find_model
from wan_core.weights.parts import Kind, Part, identify_as, identify_part
from wan_core.weights.programs import destination, write_part, write_rest
from wan_core.weights.schemes import Scheme
from wan_core.weights.text_encoder import check_text_encoder_fits
from wan_core.weights.vae import check_vae_fits

Say: TypeAlias = Callable[[str], None]


def convert(
    source: Path, target: Path, scheme: Scheme, say: Say, cards: Iterable[ModelCard] = tuple(MODELS.values())
) -> None:
    """Write what lies at `source`, a model's folder or one part's folder or file, to the new folder `target`.

    Raises InvalidInput if the program cannot hold it or `target` is there, IntegrityError if weights are not
    those of a model of Wan, TrustRemoteCode if they are pickles, ModelNotFound, InsufficientDiskSpace.
    """
    if not source.exists():
        raise ModelNotFound(f"{source}: is not there")
    if source.is_dir() and os.path.realpath(source) in map(str, Path(os.path.realpath(target)).parents):
        raise InvalidInput(f"{target}: lies within {source}, which is only read; name a place outside of it")
    model = find_model(source) if source.is_dir() else None
    if model and not model.parts:
        raise ModelNotFound(
            f"{source}: is laid out as a model of {model.scheme}, but there are no weights in it"
        )
    paths = model.parts if model else {source.stem: source}
    parts = {name: identify_as(name, path) if model else identify_part(path) for name, path in paths.items()}
    for part in parts.values():
        check_part_fits(part, scheme)
    card = find_card(model, parts, cards) if model and _needs_card(model, scheme) else None
    with appearing(target, sum(part.nbytes for part in parts.values())) as folder:
        for name, part in parts.items():
            size = f"{len(part.named.shapes)} tensors, {part.nbytes / 1e9:.3f} GB"
            say(f"{name}: {size}, named by {part.scheme}")
            place, stem = destination(name, scheme, target.name, model)
            write_part(part, scheme, folder / place, stem)
        if model:
            write_rest(model, parts, scheme, folder, card)


def check_part_fits(part: Part, scheme: Scheme) -> None:
    """Raise InvalidInput if the scheme's program cannot hold a model of these sizes."""
    if part.kind is Kind.TRANSFORMER:
        check_fits(part.config, scheme)
    elif part.kind is Kind.TEXT_ENCODER:
        check_text_encoder_fits(part.config, scheme)
    elif scheme is not Scheme.DIFFUSERS:
        check_vae_fits(part.config, scheme)


def find_card(model: Found, parts: Mapping[str, Part], cards: Iterable[ModelCard]) -> ModelCard:
    """The model of the catalogue that these experts are of. Raises InvalidInput if there is none.

    Weights tell neither the boundary between experts nor the scheduler's shift.
    """
    configs = {parts[name].config for name in (HIGH, LOW) if name in parts}
    for card in cards:
        if not card.cannot_run and (card.experts == 2) == model.two_experts and configs == {config_of(card)}:
            return card
    raise InvalidInput(
        "the transformers are those of no model of the catalogue, so boundary and scheduler are not known; "
        "convert the parts one by one"
    )


def _needs_card(model: Found, scheme: Scheme) -> bool:
    return scheme is Scheme.DIFFUSERS and model.scheme is not Scheme.DIFFUSERS
