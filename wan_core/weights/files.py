"""Writing weights: safetensors in shards with an index, and folders that appear once they are whole.

Tensors are written from where they lie; views of mapped files pass through without a copy in memory. What is
there already is never replaced.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from wan_core.errors import InsufficientDiskSpace, InvalidInput
from wan_core.weights.shards import Tick, silent

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""The disk is full, or the user's share of it, or a file is larger than the file system allows."""
OS_ERROR = re.compile(r"os error (\d+)")
"""How safetensors tells errno."""
SHARD_BYTES = 10 * 10**9  # as diffusers has it (ModelMixin.save_pretrained, max_shard_size)


@contextmanager
def appearing(target: Path, nbytes: int = 0) -> Iterator[Path]:
    """A folder to write into, which becomes `target` at the end and is gone if there is none.

    Raises InvalidInput if something of that name is there, InsufficientDiskSpace if `nbytes` do not fit or
    what is written does not.
    """
    if target.name in ("", ".."):
        raise InvalidInput(f"{target}: ends with no name of a folder to write")
    if os.path.lexists(target):
        raise InvalidInput(f"{target}: is there already, and nothing is overwritten")
    target.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(target.parent).free
    if nbytes > free:
        raise InsufficientDiskSpace(f"{target}: needs {nbytes} bytes, and {free} are free")
    draft = Path(mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        whole = draft / target.name
        whole.mkdir()
        yield whole
        _put(whole, target)
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        raise InsufficientDiskSpace(f"{target}: {error.strerror}; nothing of it is kept") from error
    finally:
        shutil.rmtree(draft)


def write_tensors(
    folder: Path,
    stem: str,
    tensors: Mapping[str, Tensor],
    *,
    shard_bytes: int | None = SHARD_BYTES,
    tick: Tick = silent,
) -> None:
    """`stem`.safetensors, or its shards and their index where one file would be larger than `shard_bytes`."""
    shards = split_shards(tensors, shard_bytes)
    total = sum(tensor.nbytes for tensor in tensors.values())
    done = 0
    weight_map: dict[str, str] = {}
    for number, names in enumerate(shards, 1):
        part = f"-{number:05}-of-{len(shards):05}" if len(shards) > 1 else ""
        file = folder / f"{stem}{part}.safetensors"
        _save({name: tensors[name] for name in names}, file)
        weight_map |= dict.fromkeys(names, file.name)
        done += sum(tensors[name].nbytes for name in names)
        tick(done, total)
    if len(shards) > 1:
        index = {"metadata": {"total_size": total}, "weight_map": weight_map}
        write_json(folder / f"{stem}.safetensors.index.json", index)


def split_shards(tensors: Mapping[str, Tensor], shard_bytes: int | None) -> list[list[str]]:
    """Names in their order, in as few runs as hold no more bytes than that; a larger tensor is alone."""
    shards: list[list[str]] = [[]]
    room = shard_bytes
    for name, tensor in tensors.items():
        if room is not None and tensor.nbytes > room and shards[-1]:
            shards.append([])
            room = shard_bytes
        shards[-1].append(name)
        room = None if room is None else room - tensor.nbytes
    return shards


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """JSON as diffusers writes it."""
    path.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def save_pickle(tensors: Mapping[str, Tensor], file: Path) -> None:
    """As torch.save writes them. Raises OSError as any file does."""
    try:
        with file.open("wb") as opened:
            torch.save(dict(tensors), opened)
    except RuntimeError as error:  # torch ends the archive that it could not write, and stumbles over that
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise


def _save(tensors: dict[str, Tensor], file: Path) -> None:
    try:
        save_file(tensors, file, metadata={"format": "pt"})
    except SafetensorError as error:
        code = OS_ERROR.search(str(error))
        if code is None:
            raise
        number = int(code[1])
        raise OSError(number, os.strerror(number), str(file)) from error


def _put(whole: Path, target: Path) -> None:
    """Give it its name: a rename replaces nothing but an empty folder."""
    try:
        whole.rename(target)
    except OSError as error:
        if not os.path.lexists(target):
            raise
        raise InvalidInput(f"{target}: has appeared meanwhile, and nothing is overwritten") from error
