"""Which model stored weights are of, in which scheme: a transformer, a VAE or a text encoder of Wan."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeAlias

from torch import Tensor

from wan_core.errors import IntegrityError
from wan_core.weights.match import check_floats, check_tensors, merge_aliases
from wan_core.weights.named import Named
from wan_core.weights.schemes import Scheme
from wan_core.weights.shards import Shape, read_headers, read_json, size_of, stored_tensors
from wan_core.weights.text_encoder import VOCABULARY, identify_text_encoder
from wan_core.weights.transformer import identify
from wan_core.weights.transformer_names import PREFIX, name_transformer
from wan_core.weights.vae import identify_vae


class Kind(StrEnum):
    """What weights are of."""

    TRANSFORMER = "transformer"
    VAE = "vae"
    TEXT_ENCODER = "text_encoder"


@dataclass(frozen=True)
class Part:
    """Stored weights of one model. `config` is a TransformerConfig, a UMT5Config, or diffusers' of a VAE."""

    path: Path
    kind: Kind
    scheme: Scheme
    config: Any
    named: Named
    nbytes: int


Identify: TypeAlias = Callable[[Mapping[str, Shape], Path], tuple[Scheme, Any, Named]]


def _identify_transformer(found: Mapping[str, Shape], path: Path) -> tuple[Scheme, Any, Named]:
    scheme, config = identify(found, path)
    return scheme, config, name_transformer(config)


IDENTIFY: Mapping[Kind, Identify] = {
    Kind.TRANSFORMER: _identify_transformer,
    Kind.VAE: identify_vae,
    Kind.TEXT_ENCODER: identify_text_encoder,
}
MARKS: Mapping[str, Kind] = {  # a tensor that only this kind has, in one scheme
    "scale_shift_table": Kind.TRANSFORMER,
    "head.modulation": Kind.TRANSFORMER,
    f"{PREFIX}head.modulation": Kind.TRANSFORMER,
    "decoder.mid_block.resnets.0.norm1.gamma": Kind.VAE,
    "decoder.middle.0.residual.0.gamma": Kind.VAE,
    "encoder.final_layer_norm.weight": Kind.TEXT_ENCODER,
    "blocks.0.pos_embedding.embedding.weight": Kind.TEXT_ENCODER,
}


def identify_part(path: Path) -> Part:
    """What lies at a path, a folder or a file, with every name and shape checked.

    Raises IntegrityError if it is of no model of Wan, of several, or not whole; as `weight_files` besides.
    """
    headers = read_headers(path)
    found = {key: stored.shape for key, stored in headers.items()}
    kinds = sorted({kind for mark, kind in MARKS.items() if mark in found})
    if len(kinds) != 1:
        there = f"tensors of {' and of '.join(kinds)}" if kinds else f"none of {', '.join(MARKS)}"
        raise IntegrityError(f"{path.name}: cannot tell what model it is of: there are {there}")
    scheme, config, named = IDENTIFY[kinds[0]](found, path)
    own = {named.aliases.get(key, key): shape for key, shape in found.items() if key != VOCABULARY}
    files = {key: stored.file.name for key, stored in headers.items()} if path.is_dir() else {}
    guessed = path.is_dir() and not (path / "config.json").is_file()
    what = f"{path.name}, which has no config.json" if guessed else path.name
    check_tensors(own, named.shapes_in(scheme), what, files)
    check_floats({key: stored for key, stored in headers.items() if key != VOCABULARY}, path.name)
    return Part(path, kinds[0], scheme, config, named, size_of(path))


def identify_as(name: str, path: Path) -> Part:
    """The same for what is to be the part `name` of a model, as diffusers calls it."""
    part = identify_part(path)
    if part.kind != name.removesuffix("_2"):
        raise IntegrityError(f"{path.name}: is a {part.kind} where a {name} should be")
    return part


def identify_for_diffusers(path: Path) -> Part:
    """The same for a transformer that diffusers is to load: with a config.json, and under its names.

    diffusers fails within, or takes numbers from nowhere, where such files are not sound.
    """
    read_json(path / "config.json")
    part = identify_part(path)
    if part.kind is not Kind.TRANSFORMER:
        raise IntegrityError(f"{path.name}: is a {part.kind}, not a transformer")
    if part.scheme is not Scheme.DIFFUSERS:
        raise IntegrityError(
            f"{path.name}: tensors are named by {part.scheme}, and diffusers loads its own names only; "
            "wan weights convert --to diffusers writes them"
        )
    return part


def read_part(part: Part, scheme: Scheme) -> dict[str, Tensor]:
    """Its tensors by their names in `scheme`, as views of the mapped files.

    Raises IntegrityError if a tensor that is stored under two names differs.
    """
    tensors = dict(stored_tensors(part.path))
    merge_aliases(tensors, part.named.aliases, part.path.name)
    return {new: tensors[old] for old, new in part.named.renaming(part.scheme, scheme).items()}
