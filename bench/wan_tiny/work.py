"""The work folder: each stage's result is stored once, with the seconds it took; a rerun loads it."""

import json
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
        note_seconds(work, name, time.monotonic() - started)
        partial.rename(path)
    return load_file(path)


def note_seconds(work: Path, name: str, seconds: float) -> None:
    path = work / "seconds.json"
    notes = read_seconds(work)
    notes[name] = round(seconds, 1)
    path.write_text(json.dumps(notes, indent=2) + "\n")
    print(f"stage {name}: {seconds:.0f} s", flush=True)


def read_seconds(work: Path) -> dict[str, float]:
    path = work / "seconds.json"
    return json.loads(path.read_text()) if path.exists() else {}
