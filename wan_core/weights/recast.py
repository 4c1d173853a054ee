"""A part written under diffusers' names in another dtype, one tensor in memory at a time.

Which tensors change: of the text encoder all, of a transformer all but those that the model keeps in float32
(`wan_core.model.transformer.FP32`), of the VAE none, because it computes in float32. By default only float32
is narrowed, to bfloat16, in which both compute on a GPU: there a load gives the same bits as before.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path

import torch
from torch import Tensor

from wan_core.errors import InvalidInput
from wan_core.model.transformer import stays_fp32
from wan_core.weights.files import split_shards, write_json
from wan_core.weights.parts import Kind, Part, read_part
from wan_core.weights.programs import write_part_config
from wan_core.weights.schemes import Scheme
from wan_core.weights.shards import WHOLE_STEM, Shape, Tick, read_headers, silent
from wan_core.weights.transformer_names import entries

SHARD_BYTES = 5 * 10**9  # whoever loads holds one shard; half of what diffusers writes
WORDS = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
WORDS |= {"F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2}
NAMES = {dtype: word for word, dtype in WORDS.items()}
WIDE = (torch.float64, torch.float32)


class Dtype(StrEnum):
    """What to write: everything as it is stored, or in one dtype."""

    KEEP = "keep"
    BF16 = "bf16"
    FP16 = "fp16"
    FP32 = "fp32"

    @property
    def torch(self) -> torch.dtype | None:
        """None for `keep`."""
        known = {Dtype.BF16: torch.bfloat16, Dtype.FP16: torch.float16, Dtype.FP32: torch.float32}
        return known.get(self)


def stored_dtypes(part: Part) -> dict[str, torch.dtype]:
    """Each tensor by diffusers' name, in the dtype that its file has it in."""
    headers = read_headers(part.path)
    stored = {
        part.named.aliases.get(name, name): WORDS[h.dtype] for name, h in headers.items() if h.dtype in WORDS
    }
    renaming = part.named.renaming(part.scheme, Scheme.DIFFUSERS)
    return {new: stored[old] for old, new in renaming.items()}


def choose_dtypes(part: Part, wanted: Dtype | None) -> dict[str, torch.dtype]:
    """The dtype to write each in; without `wanted`, bfloat16 for what is stored wider than that."""
    stored = stored_dtypes(part)
    if part.kind is Kind.VAE or wanted is Dtype.KEEP:
        return stored
    exact = _exact_names(part) if part.kind is Kind.TRANSFORMER else set()
    target = wanted.torch if wanted else None
    return {
        name: dtype if name in exact else (target or (torch.bfloat16 if dtype in WIDE else dtype))
        for name, dtype in stored.items()
    }


def _exact_names(part: Part) -> set[str]:
    """diffusers' names of what a transformer keeps in float32."""
    kept = (entry for entry in entries(part.config) if stays_fp32(entry.ours))
    return {name for entry in kept for name in entry.names[Scheme.DIFFUSERS]}


def size_as(part: Part, dtypes: Mapping[str, torch.dtype]) -> int:
    """Bytes of its tensors in these dtypes."""
    shapes = part.named.shapes_in(Scheme.DIFFUSERS)
    return sum(_bytes_of(shapes[name], dtype) for name, dtype in dtypes.items())


def _bytes_of(shape: Shape, dtype: torch.dtype) -> int:
    return torch.empty(shape, dtype=dtype, device="meta").nbytes


def write_recast(part: Part, dtypes: Mapping[str, torch.dtype], folder: Path, tick: Tick = silent) -> None:
    """config.json and shards of the part as diffusers has them. Raises InvalidInput, OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    shapes = part.named.shapes_in(Scheme.DIFFUSERS)
    empty = {n: torch.empty(shapes[n], dtype=d, device="meta") for n, d in dtypes.items()}
    tensors = read_part(part, Scheme.DIFFUSERS)
    write_part_config(part, Scheme.DIFFUSERS, folder, next(iter(dtypes.values())))
    stem = "model" if part.kind is Kind.TEXT_ENCODER else WHOLE_STEM
    shards = split_shards(empty, SHARD_BYTES)
    total, done, weight_map = sum(tensor.nbytes for tensor in empty.values()), 0, {}
    for number, names in enumerate(shards, 1):
        place = f"-{number:05}-of-{len(shards):05}" if len(shards) > 1 else ""
        file = folder / f"{stem}{place}.safetensors"
        for name, count in _write_shard(file, {name: tensors[name] for name in names}, empty, part.path.name):
            weight_map[name] = file.name
            done += count
            tick(done, total)
    if len(shards) > 1:
        index = {"metadata": {"total_size": total}, "weight_map": weight_map}
        write_json(folder / f"{stem}.safetensors.index.json", index)


def _write_shard(
    file: Path, tensors: Mapping[str, Tensor], like: Mapping[str, Tensor], what: str
) -> Iterator[tuple[str, int]]:
    """Writes tensors in the dtypes of `like`; yields each name with its bytes once they are written.

    Wide dtypes come first, as safetensors has it, so that every tensor is aligned.
    """
    order = sorted(tensors, key=lambda name: (-like[name].element_size(), name))
    with file.open("wb") as opened:
        opened.write(_header({name: like[name] for name in order}))
        for name in order:
            data = _cast(tensors[name], like[name].dtype, f"{what}: {name}")
            opened.write(memoryview(data.contiguous().view(-1).view(torch.uint8).numpy()))
            yield name, data.nbytes


def _header(like: Mapping[str, Tensor]) -> bytes:
    """The length and the JSON with which a safetensors file begins."""
    entries_of, end = {"__metadata__": {"format": "pt"}}, 0
    for name, tensor in like.items():
        begin, end = end, end + tensor.nbytes
        entries_of[name] = {
            "dtype": NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [begin, end],
        }
    text = json.dumps(entries_of, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _cast(tensor: Tensor, dtype: torch.dtype, what: str) -> Tensor:
    """Raises InvalidInput if float16 cannot hold a number: it would be infinite."""
    if tensor.dtype == dtype:
        return tensor
    cast = tensor.to(dtype)
    if dtype is torch.float16 and bool((cast.isinf() & ~tensor.float().isinf()).any()):
        raise InvalidInput(
            f"{what} has numbers that fp16 cannot hold, up to {float(tensor.float().abs().max()):.4g}",
            advice="Use --dtype bf16, or keep.",
        )
    return cast
