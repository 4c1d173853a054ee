"""Which parts of a model lie where, in whosever layout: those of SRC, and those that --encoders-from adds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from wan_core.catalog.architecture import ModelCard
from wan_core.catalog.models import MODELS
from wan_core.errors import InvalidInput, ModelNotFound, TrustRemoteCode
from wan_core.weights.configs import config_of
from wan_core.weights.convert import find_card
from wan_core.weights.layout import HIGH, INDEX, LOW, TEXT_ENCODER, VAE, Found, find_model
from wan_core.weights.parts import Kind, Part, identify_as, identify_part
from wan_core.weights.schemes import Scheme
from wan_core.weights.shards import PICKLES
from wan_core.weights.vae import DEFAULTS

SOURCE_ADVICE = "Name a model's folder, or a ComfyUI file of a transformer."
ENCODERS_ADVICE = (
    "Take those parts from safetensors: --encoders-from DIR, a folder in diffusers layout or "
    "one with ComfyUI's files."
)


def find_source(source: Path) -> Found:
    """The parts at `source`, of which the transformers must be there."""
    if source.is_file():
        if source.suffix not in (".safetensors", *PICKLES):
            raise InvalidInput(f"{source} is no .safetensors file", advice=SOURCE_ADVICE)
        part = identify_part(source)
        if part.kind is not Kind.TRANSFORMER:
            raise InvalidInput(f"{source} is a {part.kind}; a model is published by its transformer")
        return Found(source, part.scheme, {HIGH: source}, False, None)
    model = find_model(source)
    if model is None or not {HIGH, LOW} & set(model.parts):
        raise InvalidInput(
            f"{source}: holds no transformer where diffusers, Wan's own programs or ComfyUI keep it",
            advice=SOURCE_ADVICE,
        )
    return model


def merge(model: Found, encoders: Path | None) -> Found:
    """`model` with the VAE, text encoder and tokenizer of `encoders`. Raises TrustRemoteCode for pickles."""
    if encoders is None:
        _refuse_pickles(model)
        return model
    found = _find_encoders(encoders)
    _refuse_pickles(found)
    missing = {VAE, TEXT_ENCODER} - set(found.parts)
    if missing:
        raise ModelNotFound(
            f"--encoders-from: {encoders} holds no {' and no '.join(sorted(missing))}", advice=ENCODERS_ADVICE
        )
    parts = {**model.parts, **{name: found.parts[name] for name in (VAE, TEXT_ENCODER)}}
    return replace(model, parts=parts, tokenizer=found.tokenizer or model.tokenizer)


def _find_encoders(folder: Path) -> Found:
    """In a model's folder, or among the safetensors files of any other."""
    model = find_model(folder) if folder.is_dir() else None
    if model is not None:
        return model
    files = sorted(folder.glob("*.safetensors")) if folder.is_dir() else [folder]
    parts: dict[str, Path] = {}
    for file in files:
        kind = str(identify_part(file).kind)
        if kind in parts and kind != Kind.TRANSFORMER:
            raise InvalidInput(
                f"--encoders-from: {parts[kind].name} and {file.name} are both a {kind}; leave one there"
            )
        parts[kind] = file
    return Found(folder, Scheme.COMFYUI, parts, False, None)


def _refuse_pickles(model: Found) -> None:
    """Raises TrustRemoteCode, naming all that a person has to replace."""
    pickles = sorted(path.name for path in model.parts.values() if path.suffix in PICKLES)
    if pickles:
        raise TrustRemoteCode(
            f"{model.folder}: {' and '.join(pickles)} {'are pickles' if pickles[1:] else 'is a pickle'}, and "
            "pickles never run here",
            advice=ENCODERS_ADVICE,
        )


def identify(model: Found) -> dict[str, Part]:
    """Every part, looked at: each is what its place says, all are there, and they fit together."""
    missing = [name for name in (VAE, TEXT_ENCODER) if name not in model.parts]
    if missing and not (model.folder / INDEX).is_file():  # an index says itself which parts there are
        raise InvalidInput(f"{model.folder} holds no {' and no '.join(missing)}", advice=ENCODERS_ADVICE)
    parts = {name: identify_as(name, path) for name, path in model.parts.items()}
    check_fit(parts)
    encoder = parts.get(TEXT_ENCODER)
    told = encoder is not None and encoder.scheme is Scheme.COMFYUI  # its vocabulary is in the file
    if model.tokenizer is None and not told:
        raise InvalidInput(f"{model.folder} holds no tokenizer", advice=ENCODERS_ADVICE)
    return parts


def check_fit(parts: Mapping[str, Part]) -> None:
    """Raises InvalidInput if the VAE or the text encoder is another model's."""
    config = next(parts[name].config for name in (HIGH, LOW) if name in parts)
    if VAE in parts:
        channels = {**DEFAULTS, **parts[VAE].config}["z_dim"]
        if channels != config.out_channels:
            raise InvalidInput(
                f"{parts[VAE].path}: its latents have {channels} channels, those of the transformer have "
                f"{config.out_channels}; name the VAE of the same model"
            )
    if TEXT_ENCODER in parts and parts[TEXT_ENCODER].config.d_model != config.text_dim:
        raise InvalidInput(
            f"{parts[TEXT_ENCODER].path}: is {parts[TEXT_ENCODER].config.d_model} wide, and the transformer "
            f"takes {config.text_dim}; name the text encoder of the same model"
        )


def find_card_of(
    model: Found, parts: Mapping[str, Part], model_id: str, cards: Sequence[ModelCard]
) -> ModelCard:
    """The model of the catalogue. Raises InvalidInput if it is none, half of one, or not `model_id`."""
    config = next(parts[name].config for name in (HIGH, LOW) if name in parts)
    pairs = [card for card in cards if card.experts == 2 and config_of(card) == config]
    count = len({HIGH, LOW} & set(parts))
    if pairs and count == 1 and not any(card.experts == 1 and config_of(card) == config for card in cards):
        raise InvalidInput(
            f"{model.folder}: this is one of the two experts of {pairs[0].id}",
            advice="Name a folder with both: diffusion_models/ with *high_noise* and *low_noise*.",
        )
    if not any(card.experts == count and not card.cannot_run and config_of(card) == config for card in cards):
        raise InvalidInput(
            f"{model.folder}: its transformers are those of no model of the catalogue, so boundary and "
            "scheduler are not known",
            advice="Publish it in diffusers layout: model_index.json and the scheduler's folder tell both.",
        )
    card = find_card(model, parts, cards)
    if model_id != card.id and model_id in MODELS:
        raise InvalidInput(
            f"{model.folder} holds the weights of {card.id}, not of {model_id}",
            advice=f"Publish it as .../{card.id}.",
        )
    return card
