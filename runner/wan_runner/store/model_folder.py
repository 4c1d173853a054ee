"""A folder in diffusers layout as people have it: which of its files are the model's, which are refused."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import takewhile
from pathlib import Path
from typing import Any

from wan_core.errors import InvalidInput, TrustRemoteCode
from wan_runner.store.contents import CODE_ADVICE
from wan_runner.store.manifest import ALLOWED_SUFFIXES, MANIFEST_NAME, NAMES_ADVICE, path_problems

INDEX = "model_index.json"
SHARDS_INDEX = ".safetensors.index.json"
WEIGHT_PARTS = ("transformer", "transformer_2", "vae", "text_encoder")
LAYOUT_ADVICE = "Name a folder in diffusers layout whose weights are safetensors."
PICKLED_SUFFIXES = (
    ".bin",
    ".pt",
    ".pth",
    ".ckpt",
    ".pkl",
    ".pickle",
    ".npy",
    ".npz",
    ".msgpack",
    ".h5",
)
CODE_SUFFIXES = (".py", ".so")

SHOWN = 20
_CARD_BYTES = 64 * 1024
_LICENSE_MAX = 128


def model_files(folder: Path, without: Collection[str] = ()) -> dict[str, Path]:
    """The files below `folder` that a manifest may name, by their paths in the model, but those of the parts
    `without`. Raises as `choose_names`.
    """
    found = {path.relative_to(folder).as_posix(): path for path in sorted(_walk(folder)) if path.is_file()}
    wanted = [name for name in found if name.partition("/")[0] not in without]
    return {name: found[name] for name in choose_names(wanted, str(folder))}


def choose_names(names: Iterable[str], where: str) -> list[str]:
    """Those that are a model's. What no model needs (pictures, dot files) is left out.

    Raises TrustRemoteCode for what can hold code, InvalidInput for names that no model's file may have.
    """
    visible = [name for name in names if not any(s.startswith(".") for s in name.split("/"))]
    code = [name for name in visible if name.lower().endswith((*PICKLED_SUFFIXES, *CODE_SUFFIXES))]
    if code:
        more = f" and {len(code) - SHOWN} more" if len(code) > SHOWN else ""
        raise TrustRemoteCode(
            f"{where} holds files that can run code when opened: {', '.join(code[:SHOWN])}{more}",
            advice=CODE_ADVICE if all(name.lower().endswith(CODE_SUFFIXES) for name in code) else None,
        )
    chosen = [n for n in visible if n.lower().endswith(ALLOWED_SUFFIXES) and n != MANIFEST_NAME]
    problems = path_problems(chosen)
    if problems:
        raise InvalidInput([f"{where}: {problem}" for problem in problems], advice=NAMES_ADVICE)
    return chosen


def missing_parts(index: Mapping[str, Any], present: Iterable[str]) -> list[str]:
    """The parts that model_index.json gives a class but that have no folder with files in `present`."""
    folders = {path.partition("/")[0] for path in present}
    return sorted(part for part in _named_parts(index) if part not in folders)


def missing_weights(index: Mapping[str, Any], present: Collection[str]) -> list[str]:
    """Those of the parts with weights that have a folder in `present`, and in it no safetensors."""
    folders = {path.partition("/")[0] for path in present}
    held = {path.partition("/")[0] for path in present if path.endswith(".safetensors")}
    return sorted({*_named_parts(index)} & {*WEIGHT_PARTS} & (folders - held))


def missing_shards(path: str, index: Mapping[str, Any], present: Collection[str]) -> list[str]:
    """The files that the index of a part's shards at `path` names and that are not in `present`."""
    places, folder = index.get("weight_map"), path.rpartition("/")[0]
    names = {str(name) for name in places.values()} if isinstance(places, dict) else set()
    return sorted({f"{folder}/{name}".lstrip("/") for name in names} - {*present})


def _named_parts(index: Mapping[str, Any]) -> list[str]:
    listed = {part: value for part, value in index.items() if isinstance(value, list)}
    return [part for part, value in listed.items() if value[:1] not in ([], [None]) and part[:1] != "_"]


def read_license(folder: Path) -> str:
    """The licence that a model card names at its top; empty if there is none."""
    try:
        text = (folder / "README.md").read_bytes()[:_CARD_BYTES].decode("utf-8", "replace")
    except OSError:
        return ""
    first, *lines = text.splitlines() or [""]
    for line in takewhile(lambda line: line != "---", lines) if first == "---" else ():
        key, _, value = line.partition(":")
        if key == "license" and value.strip().isprintable():
            return value.strip()[:_LICENSE_MAX]
    return ""


def _walk(folder: Path) -> Iterator[Path]:
    """Every file below `folder`; links are followed, as hub caches need, into each folder once.

    Raises OSError for a folder that cannot be listed: what is in it would be left out in silence.
    """
    entered = set()
    for root, folders, names in os.walk(folder, onerror=_raise, followlinks=True):
        entered.add(os.path.realpath(root))
        folders[:] = [name for name in folders if os.path.realpath(Path(root, name)) not in entered]
        yield from (Path(root, name) for name in names)


def _raise(error: OSError) -> None:
    raise error
