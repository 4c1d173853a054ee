"""Tensors as they are stored: one safetensors file, or several in one folder. Reads; never writes.

Headers tell where each lies; `wan_core.weights.reading` loads them. Who writes them elsewhere takes views of
the mapped files, so that nothing is in memory before it is used. A name that is stored twice is refused, so
is a file that the index names and that is not there.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from wan_core.errors import IntegrityError, ModelNotFound, TrustRemoteCode

WHOLE_STEM = "diffusion_pytorch_model"
"""What diffusers and Wan name their files; others beside them are not of the model."""

LENGTH_BYTES = 8
"""A file begins with the length of its header, a 64-bit number; the tensors follow on the header."""

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")

DTYPES: Mapping[str, torch.dtype] = MappingProxyType(
    {
        "F64": torch.float64,
        "F32": torch.float32,
        "F16": torch.float16,
        "BF16": torch.bfloat16,
        "F8_E4M3": torch.float8_e4m3fn,
        "F8_E4M3FNUZ": torch.float8_e4m3fnuz,
        "F8_E5M2": torch.float8_e5m2,
        "F8_E5M2FNUZ": torch.float8_e5m2fnuz,
        "I64": torch.int64,
        "I32": torch.int32,
        "I16": torch.int16,
        "I8": torch.int8,
        "U64": torch.uint64,
        "U32": torch.uint32,
        "U16": torch.uint16,
        "U8": torch.uint8,
        "BOOL": torch.bool,
        "C64": torch.complex64,
    }
)
"""safetensors' words. It has others, for numbers of fewer than 8 bits, which torch cannot hold."""

Shape: TypeAlias = tuple[int, ...]
Tick: TypeAlias = Callable[[int, int], None]
"""Called after each tensor, or part of one, with bytes read and bytes in all; may raise Interrupted."""


def silent(done: int, total: int) -> None:
    """A tick for those who do not watch."""


@dataclass(frozen=True)
class Stored:
    """What a file's header says of one tensor: safetensors' word for its dtype, such as BF16, and from which
    byte of the file on it lies.
    """

    shape: Shape
    dtype: str
    file: Path
    begin: int

    @property
    def torch_dtype(self) -> torch.dtype:
        """KeyError if torch has none such."""
        return DTYPES[self.dtype]

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.torch_dtype.itemsize


def weight_files(path: Path) -> list[Path]:
    """The safetensors files at a path, which is a file or a folder.

    Raises TrustRemoteCode if only pickles are there, ModelNotFound if nothing is, IntegrityError if there is
    something else.
    """
    if path.suffix in PICKLES:
        raise TrustRemoteCode(f"{path.name}: is a pickle, and pickles never run here")
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise ModelNotFound(f"{path.name}: is not there")
    files = sorted(path.glob(f"{WHOLE_STEM}*.safetensors")) or sorted(path.glob("*.safetensors"))
    if not files:
        raise _without_weights(path)
    for file in files:
        if not file.is_file():
            raise IntegrityError(f"{path.name}: {file.name} is no file, or a link to nothing")
    _check_index(path, files)
    return files


def size_of(path: Path) -> int:
    """Bytes of the files at a path."""
    return sum(file.stat().st_size for file in weight_files(path))


def read_headers(path: Path) -> dict[str, Stored]:
    """Every stored tensor by name, from the headers alone."""
    found: dict[str, Stored] = {}
    for file in weight_files(path):
        for key, stored in _read_header(file):
            if key in found:
                raise IntegrityError(
                    f"{path.name}: {key} is stored twice, in {found[key].file.name} and in {file.name}"
                )
            found[key] = stored
    return found


def stored_tensors(path: Path) -> Iterator[tuple[str, Tensor]]:
    """Every stored tensor, file by file, as a view of the mapped file."""
    read_headers(path)
    for file in weight_files(path):
        with _opened(file) as opened:
            for key in opened.keys():  # noqa: SIM118 - safe_open is not a mapping
                yield key, opened.get_tensor(key)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; IntegrityError if the file is absent, cannot be read or holds something else."""
    name = f"{path.parent.name}/{path.name}"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise IntegrityError(f"{name} is not there") from error
    except OSError as error:
        raise IntegrityError(f"{name}: {error.strerror}") from error
    except RecursionError as error:
        raise IntegrityError(f"{name} is not a config: it is nested too deeply") from error
    except ValueError as error:
        raise IntegrityError(f"{name} is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise IntegrityError(f"{name} is not a JSON object")
    return data


def _read_header(file: Path) -> Iterator[tuple[str, Stored]]:
    """In the file's order. What safetensors opens has a header without gaps or overlaps, in a whole file.

    For torch it would map the file privately, which a machine with less memory than the file may refuse.
    """
    with _opened(file, "np"), file.open("rb") as opened:
        length = int.from_bytes(opened.read(LENGTH_BYTES), "little")
        header = json.loads(opened.read(length))
    tensors = [(key, told) for key, told in header.items() if key != "__metadata__"]
    for key, told in sorted(tensors, key=lambda item: item[1]["data_offsets"]):
        begin = LENGTH_BYTES + length + told["data_offsets"][0]
        yield key, Stored(tuple(told["shape"]), told["dtype"], file, begin)


@contextmanager
def _opened(file: Path, framework: str = "pt") -> Iterator[Any]:
    try:
        with safe_open(file, framework=framework, device="cpu") as opened:
            yield opened
    except (OSError, SafetensorError) as error:
        raise IntegrityError(f"{'/'.join(file.parts[-2:])}: {error}") from error


def _without_weights(folder: Path) -> IntegrityError | TrustRemoteCode:
    pickles = sorted(file.name for file in folder.iterdir() if file.suffix in PICKLES)
    if pickles:
        return TrustRemoteCode(
            f"{folder.name}: weights are pickled ({pickles[0]}), and pickles never run here"
        )
    return IntegrityError(f"{folder.name}: there is no .safetensors file")


def _check_index(folder: Path, files: list[Path]) -> None:
    for index in sorted(folder.glob("*.safetensors.index.json")):
        weight_map = read_json(index).get("weight_map")
        if not isinstance(weight_map, dict):
            raise IntegrityError(f"{folder.name}: {index.name} has no weight_map")
        absent = sorted(set(map(str, weight_map.values())) - {file.name for file in files})
        if absent:
            raise IntegrityError(f"{folder.name}: {index.name} names {absent[0]}, which is not there")
