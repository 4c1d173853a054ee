"""Fields of a config.json, held against what they may be before anything is built of them.

Whatever builds a module takes a number that is absurd at its word, or fails somewhere inside. Each problem is
a ValueError that says the field, its value and what it may be; `checking` makes an IntegrityError of it.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from re import Pattern
from typing import Any

from huggingface_hub.errors import StrictDataclassError

from wan_core.api.words import shown
from wan_core.errors import IntegrityError

TOLD_MAX = 300  # characters
CONFIG_ADVICE = "If its authors publish it so, it does not run here: `wan models` shows what does."
SIZE_MAX = 2**20
LAYERS_MAX = 1000
"""Bounds far above every published Wan: modules beyond them would take hours to build, if they can be."""


@contextmanager
def checking(what: str) -> Iterator[None]:
    """Raise IntegrityError for the ValueErrors of our own checks."""
    try:
        yield
    except ValueError as error:
        raise IntegrityError(f"{what}: {_one_line(error)}", advice=CONFIG_ADVICE) from error


@contextmanager
def building(what: str) -> Iterator[None]:
    """Raise IntegrityError for whatever a class of diffusers or transformers says to a config that it cannot
    work with. Only around calls of theirs: a bug of ours is not the files' fault.
    """
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise IntegrityError(f"{what}: {_one_line(error)}") from error
    except (AssertionError, ImportError, StrictDataclassError) as error:
        raise IntegrityError(f"{what}: {_one_line(error)}") from error


def read_size(data: Mapping[str, Any], name: str, default: Any, most: int = SIZE_MAX) -> int:
    """A whole number from 1 to `most`."""
    return check_size(name, data.get(name, default), most)


def check_size(name: str, value: Any, most: int = SIZE_MAX) -> int:
    """The value itself. A boolean is no number here."""
    if type(value) is not int or not 1 <= value <= most:
        raise ValueError(f"{name} is {shown(value)}, not a whole number from 1 to {most}")
    return value


def read_sizes(data: Mapping[str, Any], name: str, default: Any, count: int, most: int) -> tuple[int, ...]:
    """A list of `count` whole numbers."""
    values = data.get(name, default)
    if not isinstance(values, list | tuple) or len(values) != count:
        raise ValueError(f"{name} is {shown_list(values)}, not a list of {count} whole numbers")
    return tuple(check_size(f"{name}[{i}]", value, most) for i, value in enumerate(values))


def read_flag(data: Mapping[str, Any], name: str, default: bool) -> bool:
    """True or false, and not a word for it."""
    value = data.get(name, default)
    if not isinstance(value, bool):
        raise ValueError(f"{name} is {shown(value)}, not true or false")
    return value


def read_number(data: Mapping[str, Any], name: str, default: Any, least: float, most: float) -> float:
    """A number from `least` to `most`."""
    return check_number(name, data.get(name, default), least, most)


def read_numbers(data: Mapping[str, Any], name: str, count: int, least: float) -> None:
    """A list of `count` finite numbers, none below `least`."""
    values = data[name]
    if not isinstance(values, list | tuple) or len(values) != count:
        length = f" of {len(values)}" if isinstance(values, list | tuple) else ""
        raise ValueError(f"{name} is {shown(values)}{length}, not a list of {count} numbers")
    for i, value in enumerate(values):
        if isinstance(value, float) and math.isinf(value):
            raise ValueError(f"{name}[{i}] is {shown(value)}, not a finite number")
        check_number(f"{name}[{i}]", value, least, math.inf)


def check_number(name: str, value: Any, least: float, most: float) -> float:
    """The value itself; NaN is no number here."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise ValueError(f"{name} is {shown(value)}, not a number{_between(least, most)}")
    return value


def count_layers(names: Collection[str], block: Pattern[str], what: str) -> int:
    """One more than the highest number of a block in these names.

    Raises IntegrityError beyond `LAYERS_MAX`: no more names than that are ever made up to compare with.
    """
    most = 0
    for name in names:
        found = block.search(name)
        if found is None:
            continue
        if len(found[1]) > len(str(LAYERS_MAX)) or int(found[1]) >= LAYERS_MAX:
            raise IntegrityError(f"{what}: {shown(name)} is of a block beyond the {LAYERS_MAX}th")
        most = max(most, 1 + int(found[1]))
    return most


def shown_list(value: Any) -> str:
    """As JSON, if it is a short list."""
    if isinstance(value, list | tuple) and len(value) <= 8:
        return f"[{', '.join(map(shown, value))}]"
    return shown(value)


def _between(least: float, most: float) -> str:
    if math.isinf(most):
        return "" if math.isinf(least) else f" of {least:g} or more"
    return f" from {least:g} to {most:g}"


def _one_line(error: BaseException) -> str:
    told = " ".join(str(error).split()) or type(error).__name__
    return told if len(told) <= TOLD_MAX else f"{told[:TOLD_MAX]}..."
