"""Whether a checkpoint is a model that runs here: every name and shape against the architectures known.

Of weights only headers are read, of models in S3 too. A fault of one part is told beside those of the others.
Commands find it under the entry point `wan.checks`, so that nobody has to have the runner to plan.
"""

from __future__ import annotations

import math
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

from wan_core.catalog.architecture import ModelCard
from wan_core.catalog.checked import CheckedCheckpoint, CheckedPart
from wan_core.catalog.models import MODELS
from wan_core.errors import IntegrityError, InvalidInput, ModelNotFound, TrustRemoteCode
from wan_core.weights.configs import config_of
from wan_core.weights.layout import HIGH, LOW, TEXT_ENCODER, VAE, Found
from wan_core.weights.parts import Part, identify_as
from wan_core.weights.schemes import Scheme
from wan_core.weights.shards import read_headers, read_json
from wan_core.weights.vae import DEFAULTS
from wan_runner.store import s3
from wan_runner.store.contents import check_contents
from wan_runner.store.find_parts import check_fit, find_source
from wan_runner.store.header_mirror import mirror_headers
from wan_runner.store.manifest import Manifest
from wan_runner.store.model_folder import INDEX, missing_parts, model_files
from wan_runner.store.sources import Unlisted, find_published
from wan_runner.store.verify import verify_published

S3 = "s3://"
TOKENIZER = "tokenizer"
EXPERTS = (HIGH, LOW)
FAULTS = (IntegrityError, InvalidInput, ModelNotFound, TrustRemoteCode)
"""What may be wrong with a checkpoint; anything else is wrong with the way to it, and ends the check."""


@dataclass
class _Look:
    """What was found so far."""

    model: Found
    parts: dict[str, Part] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def check(where: str | Path, models: Mapping[str, ModelCard] = MODELS) -> CheckedCheckpoint:
    """What lies at a path, or is published under an s3:// address, against the architectures of `models`.

    What is wrong with it is in the answer. Raises InvalidInput for a path that is not there, ModelNotFound,
    AccessDenied and NetworkError where S3 has no such model, or does not answer.
    """
    if str(where).startswith(S3):
        return check_published(str(where), models)
    path = Path(where)
    if not path.exists():
        raise InvalidInput(f"{path}: is not there")
    return check_local(path, models)


def check_local(path: Path, models: Mapping[str, ModelCard] = MODELS) -> CheckedCheckpoint:
    """A model's folder in any layout, or one file of a transformer."""
    kind = "folder" if path.is_dir() else "file"
    try:
        look = _Look(find_source(path))
    except FAULTS as error:
        return CheckedCheckpoint(where=str(path), kind=kind, errors=(error.message,))
    _look_at_parts(look, path)
    cards = _find_cards(look, models) if any(name in look.parts for name in EXPERTS) else ()
    parts = tuple(_tell(name, part) for name, part in look.parts.items())
    return CheckedCheckpoint(
        where=str(path),
        kind=kind,
        layout=str(look.model.scheme),
        models=tuple(card.id for card in cards),
        parts=parts,
        missing=tuple(look.missing),
        bytes=sum(part.bytes for part in parts),
        errors=tuple(look.errors),
        notes=tuple(look.notes),
    )


def check_published(uri: str, models: Mapping[str, ModelCard] = MODELS) -> CheckedCheckpoint:
    """A model in S3: its headers against the architectures, its manifest against what S3 has of each file."""
    client, place = s3.connect(), s3.parse_uri(uri, "model")
    try:
        found = find_published(client, place)
        with tempfile.TemporaryDirectory(prefix="wan-headers-") as folder:
            mirror_headers(client, place, found.files, Path(folder))
            checked = check_local(Path(folder), models)
    except (IntegrityError, TrustRemoteCode) as error:
        return CheckedCheckpoint(where=uri, kind="s3", errors=(error.message,))
    faults, notes = _compare(client, place, found, checked, models)
    return checked.model_copy(
        update={
            "where": uri,
            "kind": "s3",
            "model": found.model if isinstance(found, Manifest) else None,
            "digest": found.digest(),
            "errors": (*(_named(error, folder, uri) for error in checked.errors), *faults),
            "notes": (*checked.notes, *notes),
        }
    )


def _named(error: str, folder: str, uri: str) -> str:
    """What was read at home is told of where it came from."""
    return error.replace(folder, uri).replace(Path(folder).name, uri)


def _compare(
    client: s3.Client,
    place: s3.Location,
    found: Manifest | Unlisted,
    checked: CheckedCheckpoint,
    models: Mapping[str, ModelCard],
) -> tuple[list[str], list[str]]:
    """What is wrong with what the manifest says, and how far it was compared."""
    if isinstance(found, Unlisted):
        return [], [found.warning]
    verified = verify_published(client, place, deep=False, cancel=Event(), tell=lambda *_: None)
    faults = [f"{fault.path} {fault.problem}" for fault in verified.faults]
    named = models.get(found.model)
    if named is not None and checked.models and found.model not in checked.models:
        faults.append(f"it is published as {found.model}, and has the architecture of {checked.models[0]}")
    ways = ", ".join(f"{count} by {way}" for way, count in sorted(verified.ways.items()))
    return faults, [f"{len(found.files)} files compared with the manifest: {ways}"]


def _look_at_parts(look: _Look, path: Path) -> None:
    """Each part by itself, then whether all are there, fit together and run no code."""
    if path.is_dir() and look.model.scheme is Scheme.DIFFUSERS:
        _look_at_contents(look, path)
    for name, place in look.model.parts.items():
        try:
            look.parts[name] = identify_as(name, place)
        except FAULTS as error:
            told = error.message.startswith(f"{name}:")
            look.errors.append(error.message if told else f"{name}: {error.message}")
    look.missing += (name for name in _missing(look) if name not in look.missing)
    look.errors += [f"{name}: is missing" for name in look.missing]
    if any(name in look.parts for name in EXPERTS):
        try:
            check_fit(look.parts)
        except FAULTS as error:
            look.errors.append(error.message)


def _look_at_contents(look: _Look, folder: Path) -> None:
    """Files that could run code, settings that ask for code, parts that the index names and that lack."""
    try:
        files = model_files(folder)
        check_contents({name: file for name, file in files.items() if file.suffix == ".json"}, folder.name)
        if INDEX in files:
            look.missing += missing_parts(read_json(files[INDEX]), files)
    except FAULTS as error:
        look.errors.append(error.message)


def _missing(look: _Look) -> Iterator[str]:
    """Parts that every model has, and the second expert where the layout says that there are two."""
    there = look.model.parts
    wanted = [VAE, TEXT_ENCODER, *((HIGH, LOW) if look.model.two_experts else ())]
    yield from (name for name in dict.fromkeys(wanted) if name not in there)
    encoder = look.parts.get(TEXT_ENCODER)
    told = encoder is not None and encoder.scheme is Scheme.COMFYUI  # its vocabulary is in the file
    if look.model.tokenizer is None and not told:
        yield TOKENIZER


def _find_cards(look: _Look, models: Mapping[str, ModelCard]) -> tuple[ModelCard, ...]:
    """The models whose architecture this is; if there is none, an error says what comes nearest."""
    experts = [look.parts[name] for name in EXPERTS if name in look.parts]
    configs = {part.config for part in experts}
    alike = [card for card in models.values() if not card.cannot_run and configs == {config_of(card)}]
    count = 2 if look.model.two_experts else 1
    found = [card for card in alike if card.experts == count and _has_vae_of(card, look.parts)]
    if not found:
        look.errors.append(_why_none(alike, experts, count))
    look.notes += [note for card in found[:1] if (note := _tell_boundary(look.model, card))]
    return tuple(found)


def _has_vae_of(card: ModelCard, parts: Mapping[str, Part]) -> bool:
    """Whether the VAE, if there is one, is of the card's widths."""
    if VAE not in parts:
        return True
    config = {**DEFAULTS, **parts[VAE].config}
    decoder = config["decoder_base_dim"] or config["base_dim"]
    said = (config["z_dim"], config["base_dim"], decoder)
    return said == (card.vae.z_channels, card.vae.base_dim, card.vae.decoder_base_dim)


def _why_none(alike: list[ModelCard], experts: list[Part], count: int) -> str:
    t = experts[0].config
    shape = f"{t.layers} blocks of {t.dim}, feed-forward {t.ffn_dim}, {t.in_channels} channels in"
    if len({part.config for part in experts}) > 1:
        return "its two experts are of different architectures"
    pairs = [card for card in alike if card.experts != count]
    if pairs:
        return f"it has {count} of the {pairs[0].experts} experts of {pairs[0].id}"
    if alike:
        return f"its VAE is not that of {', '.join(card.id for card in alike)}"
    return f"its transformer is that of no model here: {shape}"


def _tell_boundary(model: Found, card: ModelCard) -> str:
    """What the folder's own index says of the experts, where that is not what the card says."""
    index = model.folder / INDEX
    if not index.is_file():
        return ""
    said = read_json(index).get("boundary_ratio")
    return (
        "" if said == card.boundary else f"{INDEX} switches experts at {said}, {card.id} at {card.boundary}"
    )


def _tell(name: str, part: Part) -> CheckedPart:
    stored = read_headers(part.path)
    dtypes: Counter[str] = Counter()
    for tensor in stored.values():
        dtypes[tensor.dtype] += tensor.nbytes
    return CheckedPart(
        name=name,
        scheme=str(part.scheme),
        tensors=len(stored),
        parameters=sum(math.prod(tensor.shape) for tensor in stored.values()),
        bytes=part.nbytes,
        dtypes=dict(sorted(dtypes.items())),
    )
