"""What people have of a model, as the files and parts of one in our layout. Reads; writes when told to.

SRC is a folder of diffusers, of Wan's own programs or of ComfyUI, or one ComfyUI file. Where nothing has to
change, files are taken from where they lie; other parts are written one at a time, when their turn comes.
Of all of them names, shapes and dtypes are held against the architecture, for which torch is imported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from wan_core.api.words import nearest, printable
from wan_core.errors import TABLE, IntegrityError, InvalidInput, ModelNotFound
from wan_runner.store.contents import check_contents, parse_json, read_header
from wan_runner.store.model_folder import (
    INDEX,
    LAYOUT_ADVICE,
    WEIGHT_PARTS,
    missing_parts,
    model_files,
    read_license,
)
from wan_runner.tiny import TINY_MODELS

if TYPE_CHECKING:
    from wan_core.catalog.architecture import ModelCard
    from wan_core.weights.layout import Found
    from wan_core.weights.parts import Part

RECAST_PARTS = ("transformer", "transformer_2", "text_encoder")
WIDE = {"F32", "F64"}


@dataclass(frozen=True)
class Made:
    """Files that are not there yet: `write` makes them in a folder, about `nbytes` of them.

    It is given what to tell of bytes done and in all, which may raise to stop it.
    """

    name: str
    nbytes: int
    write: Callable[[Path, Callable[[int, int], None]], None]


@dataclass(frozen=True)
class Assembly:
    """A whole model: what lies there by its path in the model, what is to be made, and what is said of it."""

    files: Mapping[str, Path]
    made: tuple[Made, ...] = ()
    source: str = ""
    license: str = ""
    notes: tuple[str, ...] = ()

    @property
    def nbytes(self) -> int:
        return sum(path.stat().st_size for path in self.files.values()) + sum(m.nbytes for m in self.made)


@dataclass
class _Draft:
    files: dict[str, Path] = field(default_factory=dict)
    made: list[Made] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@contextmanager
def reading_source() -> Iterator[None]:
    """Whoever reads SRC is not told to publish it again, which is what helps where S3 has wrong bytes."""
    try:
        yield
    except IntegrityError as error:
        if error.advice == TABLE[error.category].advice:
            error.advice = (
                "Compare SRC with where it came from, and get again what differs; "
                "`wan validate --models SRC` tells of each part."
            )
        raise


@reading_source()
def assemble(
    source: Path,
    model_id: str,
    *,
    encoders: Path | None = None,
    dtype: str | None = None,
    cards: Iterable[ModelCard] | None = None,
) -> Assembly:
    """The model that lies at `source`; text encoder, VAE and tokenizer from `encoders` if that is given.

    Raises InvalidInput, ModelNotFound for pickles, IntegrityError.
    """
    _require_there(source, f"SRC is a folder, a file, or {' or '.join(TINY_MODELS)}", TINY_MODELS)
    if encoders is not None:
        _require_there(encoders, "--encoders-from is a folder, or a file")
    if (source / INDEX).is_file():
        check_contents({INDEX: source / INDEX}, str(source))
        if encoders is None and _has_configs(source) and not _needs_cast(source, dtype):
            return _as_it_is(source)
    return _with_weights(source, model_id, encoders, dtype, cards)


def _require_there(path: Path, what: str, others: Iterable[str] = ()) -> None:
    """Raises ModelNotFound, with the nearest name of what lies beside it."""
    if path.exists():
        return
    beside = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    near = "".join(f"; nearest: {printable(name)}" for name in nearest(path.name, [*beside, *others]))
    raise ModelNotFound(f"{path} is not there{near}", advice=f"{what}: correct the path.")


def _as_it_is(source: Path) -> Assembly:
    """A folder in diffusers layout, nothing of which has to change, whose parts are those of a model."""
    from wan_runner.store import find_parts

    files = model_files(source)
    _require_parts(source, files)
    find_parts.identify(find_parts.find_source(source))
    return Assembly(files, source=f"folder {printable(source.name)}", license=read_license(source))


def _has_configs(source: Path) -> bool:
    """Whether every part has the config.json that is written where there is none."""
    there = [source / name for name in WEIGHT_PARTS if (source / name).is_dir()]
    return all((part / "config.json").is_file() for part in there)


def _needs_cast(source: Path, dtype: str | None) -> bool:
    """Whether a part may have to be written in another dtype, as far as the files' headers tell."""
    if dtype == "keep":
        return False
    files = [file for name in RECAST_PARTS for file in sorted((source / name).glob("*.safetensors"))]
    files = [file for file in files if file.is_file()]  # to open a pipe would wait for who writes it
    found = {entry.get("dtype") for file in files for entry in read_header(file, str(file)).values()}
    return bool(found & WIDE) or (dtype is not None and bool(found))


def _require_parts(source: Path, files: Mapping[str, Path]) -> None:
    missing = missing_parts(parse_json(files[INDEX].read_bytes(), INDEX), files)
    if missing:
        raise InvalidInput(
            f"{source}: {INDEX} names {', '.join(missing)}, of which there are no files", advice=LAYOUT_ADVICE
        )


def _with_weights(
    source: Path, model_id: str, encoders: Path | None, dtype: str | None, cards: Iterable[ModelCard] | None
) -> Assembly:
    """A model of which some parts are to be named or stored otherwise."""
    from wan_core.catalog.models import MODELS
    from wan_core.weights.layout import VAE
    from wan_core.weights.recast import Dtype
    from wan_runner.store import find_parts

    model = find_parts.merge(find_parts.find_source(source), encoders)
    parts = find_parts.identify(model)
    draft, changed = _Draft(), {}
    for name, part in parts.items():
        said = _add_part(draft, name, part, Dtype(dtype) if dtype else None)
        if said:
            changed[name] = said
    if (source / INDEX).is_file():
        rest = model_files(source, without=parts)
        draft.files |= {**_tokenizer_files(model), **rest}
        _require_parts(source, {**draft.files, **dict.fromkeys(f"{m.name}/" for m in draft.made)})
    else:
        card = find_parts.find_card_of(model, parts, model_id, tuple(cards or MODELS.values()))
        draft.made.append(Made("settings", 2**20, partial(_write_settings, model, parts, card)))
    told = "; ".join(f"{name}: {said}" for name, said in changed.items())
    kind = "folder" if source.is_dir() else "file"
    note = f"{VAE}: as it is stored, because it computes in float32"
    return Assembly(
        draft.files,
        tuple(draft.made),
        f"{kind} {printable(source.name)}, named by {model.scheme}" + (f"; {told}" if told else ""),
        read_license(source),
        (*draft.notes, *([note] if VAE in parts else [])),
    )


def _add_part(draft: _Draft, name: str, part: Part, wanted: object) -> str:
    """Takes a part's files, or has them made; returns which dtypes are written as others."""
    from wan_core.weights.recast import choose_dtypes, size_as, stored_dtypes
    from wan_core.weights.schemes import Scheme

    stored, dtypes = stored_dtypes(part), choose_dtypes(part, wanted)
    ready = part.scheme is Scheme.DIFFUSERS and (part.path / "config.json").is_file()
    if ready and stored == dtypes:
        draft.files |= {f"{name}/{path}": file for path, file in model_files(part.path).items()}
        return ""
    nbytes = size_as(part, dtypes)
    draft.made.append(Made(name, nbytes, partial(_write_part, part, dtypes, name)))
    said = _tell_change(stored, dtypes)
    note = f"{name}: {len(dtypes)} tensors named by {part.scheme}, {nbytes / 1e9:.3f} GB"
    draft.notes.append(f"{note}, {said}" if said else note)
    return said


def _tell_change(stored: Mapping[str, object], dtypes: Mapping[str, object]) -> str:
    """`float32 written as bfloat16, 18 tensors stay float32`."""
    changes = sorted({(str(stored[n]), str(dtypes[n])) for n in dtypes if stored[n] != dtypes[n]})
    told = [f"{before} written as {after}".replace("torch.", "") for before, after in changes]
    cast = {before for before, _ in changes}
    kept = [n for n in dtypes if stored[n] == dtypes[n] and str(stored[n]) in cast]
    if kept:
        told.append(f"{len(kept)} tensors stay {str(stored[kept[0]]).removeprefix('torch.')}")
    return ", ".join(told)


def _write_part(
    part: Part, dtypes: Mapping[str, object], name: str, folder: Path, tick: Callable[[int, int], None]
) -> None:
    from wan_core.weights.recast import write_recast

    write_recast(part, dtypes, folder / name, tick)


def _tokenizer_files(model: Found) -> dict[str, Path]:
    """Those of the tokenizer, wherever it was found."""
    if model.tokenizer is None:
        return {}
    return {f"tokenizer/{path}": file for path, file in model_files(model.tokenizer).items()}


def _write_settings(
    model: Found, parts: Mapping[str, Part], card: ModelCard, folder: Path, tick: Callable[[int, int], None]
) -> None:
    """Tokenizer, scheduler and index: the index names the parts for which there are folders."""
    from wan_core.weights.programs import write_rest
    from wan_core.weights.schemes import Scheme

    for name in parts:
        (folder / name).mkdir()
    write_rest(model, parts, Scheme.DIFFUSERS, folder, card)
