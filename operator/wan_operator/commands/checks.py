"""Checks that need more than the light half: packages offer them by entry points of the group `GROUP`."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from typing import Any

from wan_core.errors import InvalidInput

GROUP = "wan.checks"


@cache
def find_check(name: str) -> Callable[..., Any] | None:
    """The check of that name; None where the package that has it is not installed."""
    for point in metadata.entry_points(group=GROUP, name=name):
        if find_spec(point.module.partition(".")[0]) is not None:
            found: Callable[..., Any] = point.load()
            return found
    return None


def need_check(name: str, what: str) -> Callable[..., Any]:
    """Likewise. Raises InvalidInput that says what it is needed for."""
    check = find_check(name)
    if check is None:
        raise InvalidInput(f"{what} needs the runner's package: pip install 'wan-operator[local]'")
    return check
