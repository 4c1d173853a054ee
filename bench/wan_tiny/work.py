"""The work folder: each stage's result is stored once, a rerun loads it. The log says how long it took."""

import time
from collections.abc import Callable
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

State = dict[str, Tensor]


def run_stage(work: Path, name: str, make: Callable[[], State]) -> State:
    """The stage's tensors: from the work folder if they are there, else made and stored."""
    path = work / f"{name}.safetensors"
    if not path.exists():
        started = time.monotonic()
        tensors = {key: value.detach().contiguous() for key, value in make().items()}
        partial = path.with_suffix(".partial")
        save_file(tensors, partial)
        partial.rename(path)
        print(f"stage {name}: {time.monotonic() - started:.0f} s", flush=True)
    return load_file(path)
