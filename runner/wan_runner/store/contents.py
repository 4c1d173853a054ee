"""What a published model's files may contain: tensors and settings, nothing that runs.

Read only after the bytes were verified, and before anything else may open them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wan_core.errors import IntegrityError, TrustRemoteCode

# The format's own limit: MAX_HEADER_SIZE in safetensors/src/tensor.rs.
SAFETENSORS_HEADER_MAX_BYTES = 100_000_000
SETTINGS_MAX_BYTES = 16 * 1024 * 1024
DIMENSIONS_MAX = 64  # as many as torch has
BITS = {"BOOL": 8, "U8": 8, "I8": 8, "U16": 16, "I16": 16, "U32": 32, "I32": 32, "U64": 64, "I64": 64}
BITS |= {"F16": 16, "BF16": 16, "F32": 32, "F64": 64, "C64": 64}
BITS |= {"F8_E4M3": 8, "F8_E4M3FNUZ": 8, "F8_E5M2": 8, "F8_E5M2FNUZ": 8, "F8_E8M0": 8}
BITS |= {"F6_E2M3": 6, "F6_E3M2": 6, "F4": 4}
CODE_ADVICE = "No code of a model's own runs here: leave it out, or take a model that `wan models` shows."
_TRUSTED_LIBRARIES = {"diffusers", "transformers"}


def check_contents(files: Mapping[str, Path], where: str) -> None:
    """Checks every file, given by its path in the model and where it lies.

    Raises IntegrityError for files that are not what their names say, TrustRemoteCode for settings that
    ask for code from outside diffusers and transformers.
    """
    for name, path in files.items():
        if name.endswith(".safetensors"):
            read_header(path, f"{where}: {name}")
        elif name.endswith(("config.json", "model_index.json")):
            _check_settings(path, name, where)


def read_header(path: Path, where: str) -> dict[str, Any]:
    """What a safetensors file says of each tensor. Raises IntegrityError if it is none."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(SAFETENSORS_HEADER_MAX_BYTES, size - 8):
            raise IntegrityError(
                f"{where} is not safetensors: a header of {length} bytes in a file of {size}"
            )
        header = parse_json(file.read(length), where)
    header.pop("__metadata__", None)
    _check_places(header, size - 8 - length, where)
    return header


def _check_places(header: dict[str, Any], data_bytes: int, where: str) -> None:
    """Each tensor is as large as its dtype and shape, and they lie side by side, as every reader demands."""
    places = []
    for tensor, entry in header.items():
        begin, end = _offsets(entry, f"{where}: {tensor}")
        if not 0 <= begin <= end <= data_bytes:
            raise IntegrityError(f"{where}: tensor {tensor!r} lies at {begin}..{end} of {data_bytes} bytes")
        bits = _bits(entry, f"{where}: {tensor}")
        if bits != (end - begin) * 8:
            raise IntegrityError(
                f"{where}: tensor {tensor!r} is {entry['dtype']} {entry['shape'][:8]}, {bits / 8:g} bytes, "
                f"and has {end - begin}"
            )
        places.append((begin, end, tensor))
    at = 0
    for begin, end, tensor in sorted(places):
        if begin != at:
            raise IntegrityError(f"{where}: tensor {tensor!r} begins at {begin}, the one before ends at {at}")
        at = end
    if at != data_bytes:
        raise IntegrityError(f"{where}: its tensors end at {at} of {data_bytes} bytes")


def _bits(entry: dict[str, Any], where: str) -> int:
    """Of all numbers of a tensor."""
    dtype, shape = entry.get("dtype"), entry.get("shape")
    if not isinstance(dtype, str) or dtype not in BITS:
        raise IntegrityError(f"{where}: dtype {str(dtype)[:40]!r} is none of {', '.join(BITS)}")
    if not isinstance(shape, list) or not all(type(n) is int and 0 <= n < 2**63 for n in shape):
        raise IntegrityError(f"{where}: no shape of whole numbers")
    if len(shape) > DIMENSIONS_MAX:
        raise IntegrityError(f"{where}: {len(shape)} dimensions, at most {DIMENSIONS_MAX}")
    return math.prod(shape) * BITS[dtype]


def _offsets(entry: Any, where: str) -> tuple[int, int]:
    offsets = entry.get("data_offsets") if isinstance(entry, dict) else None
    if isinstance(offsets, list) and len(offsets) == 2 and all(type(n) is int for n in offsets):
        return offsets[0], offsets[1]
    raise IntegrityError(f"{where}: no data_offsets of two numbers")


def _check_settings(path: Path, name: str, where: str) -> None:
    if path.stat().st_size > SETTINGS_MAX_BYTES:
        raise IntegrityError(f"{where}: {name} has more than {SETTINGS_MAX_BYTES} bytes")
    settings = parse_json(path.read_bytes(), f"{where}: {name}")
    wanted = [key for key in ("auto_map", "trust_remote_code", "custom_pipelines") if settings.get(key)]
    if name.endswith("model_index.json"):
        wanted += [key for key, value in settings.items() if _names_foreign_class(key, value)]
    if wanted:
        said = f"{where}: {name} asks for code of its own: {', '.join(wanted[:8])}"
        raise TrustRemoteCode(said, advice=CODE_ADVICE)


def _names_foreign_class(key: str, value: Any) -> bool:
    """Whether a line of model_index.json takes its class from elsewhere than diffusers or transformers."""
    if key == "_class_name":
        return not isinstance(value, str)
    is_class = not key.startswith("_") and isinstance(value, list) and len(value) == 2
    return is_class and all(isinstance(v, str) for v in value) and value[0] not in _TRUSTED_LIBRARIES


def parse_json(data: bytes, where: str) -> dict[str, Any]:
    """A JSON object. Raises IntegrityError."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise IntegrityError(f"{where} is not JSON: {str(error)[:200]}") from error
    if not isinstance(value, dict):
        raise IntegrityError(f"{where} is not a JSON object")
    return value
