"""Whether stored tensors are those that a model needs: every name once, in its shape, of floating point."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping
from itertools import islice
from types import MappingProxyType

import torch
from torch import Tensor

from wan_core.errors import IntegrityError
from wan_core.weights.shards import Shape, Stored

SHOWN = 5
NAME_MAX = 120
TENSORS_ADVICE = (
    "A model has just the tensors of the architecture that its config.json tells: merge adapters into them, "
    "and leave out what is not the model's."
)
FLOATS = ("F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2")
"""safetensors' words for weights that mean what they are; integers are quantised, and need a scale."""


def check_tensors(
    found: Mapping[str, Shape],
    expected: Mapping[str, Shape],
    what: str,
    files: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Raise IntegrityError that names what is misshapen, missing or unexpected, and the nearest name.

    `files` says in which file a tensor lies, where that is to be told.
    """
    misshapen = [key for key in expected if key in found and tuple(found[key]) != tuple(expected[key])]
    missing = [key for key in expected if key not in found]
    unexpected = [key for key in found if key not in expected]
    count = len(misshapen) + len(missing) + len(unexpected)
    if count:
        within = {key: f" in {name}" for key, name in files.items()}
        shown = islice(_problems(misshapen, missing, unexpected, found, expected, within), SHOWN)
        rest = f"; and {count - SHOWN} more" if count > SHOWN else ""
        raise IntegrityError(f"{what}: {'; '.join(shown)}{rest}", advice=TENSORS_ADVICE)


def check_floats(found: Mapping[str, Stored], what: str) -> None:
    """Raise IntegrityError if a weight is not a floating-point number: a cast would make noise of it."""
    for key, stored in found.items():
        if stored.dtype not in FLOATS:
            raise IntegrityError(
                f"{what}: {key} is {stored.dtype}, not one of {', '.join(FLOATS)}; quantised weights are not "
                "read here",
                advice="Take the model in bfloat16, float16 or float32.",
            )


def merge_aliases(tensors: dict[str, Tensor], aliases: Mapping[str, str], what: str) -> None:
    """Of two names of a tensor keep the second. Raises IntegrityError if both are there and differ."""
    for alias, name in aliases.items():
        twin = tensors.pop(alias, None)
        if twin is not None and not torch.equal(twin, tensors.setdefault(name, twin)):
            raise IntegrityError(f"{what}: {alias} and {name} are one tensor, but differ")


def _problems(
    misshapen: list[str],
    missing: list[str],
    unexpected: list[str],
    found: Mapping[str, Shape],
    expected: Mapping[str, Shape],
    within: Mapping[str, str],
) -> Iterator[str]:
    for key in misshapen:
        yield f"{key}{within.get(key, '')} is {list(found[key])}, not {list(expected[key])}"
    for key in missing:
        yield f"{key} {list(expected[key])} is missing{_nearest(key, unexpected, found)}"
    for key in unexpected:
        near = _nearest(key, expected, expected)
        yield f"{_cut(key)} {list(found[key])}{within.get(key, '')} is not of this model{near}"


def _cut(key: str) -> str:
    return key if len(key) <= NAME_MAX else f"{key[:NAME_MAX]}..."


def _nearest(key: str, names: Collection[str], shapes: Mapping[str, Shape]) -> str:
    near = difflib.get_close_matches(_cut(key), [name for name in names if len(name) <= NAME_MAX], 1)
    return f", nearest: {near[0]} {list(shapes[near[0]])}" if near else ""
