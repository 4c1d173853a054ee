"""Small published models for tests: real safetensors and settings, a few kilobytes."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

from wan_runner.store.digests import Digests, chunk_sizes, digest_of, fold
from wan_runner.store.manifest import File
from wan_runner.tiny import model_files


def safetensors(data: bytes = b"\0" * 64) -> bytes:
    """One float16 tensor `w` over `data`, in the format's own bytes."""
    header = json.dumps(
        {"w": {"dtype": "F16", "shape": [len(data) // 2], "data_offsets": [0, len(data)]}}
    ).encode()
    return len(header).to_bytes(8, "little") + header + data


def files_of(seed: int = 0, size: int = 64) -> dict[str, bytes]:
    """A model: settings that all seeds share, weights that differ."""
    weights = safetensors(hashlib.sha256(str(seed).encode()).digest() * (size // 32))
    return {
        "model_index.json": json.dumps(
            {"_class_name": "WanPipeline", "transformer": ["diffusers", "X"]}
        ).encode(),
        "transformer/config.json": b'{"_class_name": "WanTransformer3DModel"}',
        "transformer/model.safetensors": weights,
    }


def listed(files: dict[str, bytes]) -> list[File]:
    return [File.of(path, digest_of(data)) for path, data in files.items()]


def written(folder: Path, files: dict[str, bytes]) -> dict[str, Path]:
    """The files on disk below `folder`, by their paths in the model."""
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return {name: folder / name for name in files}


def copy_tiny(folder: Path, model: str = "wan-tiny-i2v") -> Path:
    """A model that ships, as a folder of one's own."""
    for name, file in model_files(model).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, folder / name)
    return folder


def promised(path: str, size: int) -> File:
    """A file of so many bytes that exist nowhere."""
    chunks = [(7, count) for count in chunk_sizes(size)]
    return File.of(path, Digests(size, "0" * 64, fold(chunks), tuple(crc for crc, _ in chunks)))
