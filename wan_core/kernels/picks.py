"""Which of several ways is the fastest here: measured once, stored, used again.

A pick is a file of JSON in a folder that the caller names; its key says what was measured on what. A file
that cannot be read, or that is of another key, is measured again. Timings are wall clock; that nobody else
uses the device meanwhile is not checked.
"""

from __future__ import annotations

import hashlib
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch

RUNS = 3


class Refused(RuntimeError):
    """A candidate does not work here; the message says why."""


class NothingWorks(RuntimeError):
    """Every candidate was refused."""


@dataclass(frozen=True)
class Pick:
    """What was picked. `seconds` and `refused` are by candidate; source: measured, stored, fixed or only."""

    name: str
    source: str
    seconds: Mapping[str, float] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)


def pick(
    key: Mapping[str, str],
    candidates: Mapping[str, Callable[[], float]],
    folder: Path | None = None,
    refused: Mapping[str, str] = MappingProxyType({}),
) -> Pick:
    """The candidate that took the fewest seconds; the first of those that are equal.

    A candidate returns its seconds or raises Refused. A candidate alone is picked without being called.
    `refused` is told beside those: what was never a candidate. Without a folder nothing is stored. Raises
    NothingWorks if nothing is left.
    """
    if len(candidates) == 1:
        return Pick(next(iter(candidates)), "only", {}, refused)
    key = {**key, "candidates": " ".join(candidates)}
    found = _read(folder, key)
    if found is None or found.name not in candidates:
        found = _measure(candidates, refused)
        _write(folder, key, found)
    return replace(found, refused={**refused, **found.refused})


def seconds_of(run: Callable[[], object], device: torch.device) -> float:
    """Median wall-clock seconds of a few runs after one that warms up."""
    run()
    took = []
    for _ in range(RUNS):
        _synchronize(device)
        start = time.perf_counter()
        run()
        _synchronize(device)
        took.append(time.perf_counter() - start)
    return statistics.median(took)


def _synchronize(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def _measure(candidates: Mapping[str, Callable[[], float]], unfit: Mapping[str, str]) -> Pick:
    seconds: dict[str, float] = {}
    refused: dict[str, str] = {}
    for name, measure in candidates.items():
        try:
            seconds[name] = measure()
        except Refused as error:
            refused[name] = str(error)
    if not seconds:
        reasons = [f"{name}: {reason}" for name, reason in {**unfit, **refused}.items()]
        raise NothingWorks("; ".join(reasons) or "there is no candidate")
    return Pick(min(seconds, key=lambda name: seconds[name]), "measured", seconds, refused)


def _path(folder: Path, key: Mapping[str, str]) -> Path:
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    return folder / f"pick-{digest[:20]}.json"


def _read(folder: Path | None, key: Mapping[str, str]) -> Pick | None:
    if folder is None:
        return None
    try:
        document = json.loads(_path(folder, key).read_text())
        pick = Pick(**document["pick"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    if document.get("key") != key or not isinstance(pick.name, str):
        return None
    if not isinstance(pick.seconds, dict) or not isinstance(pick.refused, dict):
        return None
    return replace(pick, source="stored")


def _write(folder: Path | None, key: Mapping[str, str], measured: Pick) -> None:
    """Whole or not at all: several processes may share the folder."""
    if folder is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    document: dict[str, Any] = {"key": dict(key), "pick": asdict(measured)}
    with tempfile.NamedTemporaryFile("w", dir=folder, suffix=".part", delete=False) as file:
        json.dump(document, file, indent=1)
    os.replace(file.name, _path(folder, key))
