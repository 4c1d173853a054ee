"""Kubernetes quantities: `512Mi`, `1.5`, `100m`, `2e3`. Pure.

`kubernetes.utils.quantity` reads them too, but loads the whole generated client, and takes NaN for a number.
"""

from __future__ import annotations

import re
from decimal import Decimal
from math import ceil

FORM = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))([eE][+-]?[0-9]{1,3}|[KMGTPE]i|[numkMGTPE])?")
BINARY = {f"{prefix}i": Decimal(1024**power) for power, prefix in enumerate("KMGTPE", start=1)}
DECIMAL = {prefix: Decimal(1000) ** power for power, prefix in enumerate(["n", "u", "m", "", "k"], start=-3)}
SCALES = BINARY | DECIMAL | {p: Decimal(1000**power) for power, p in enumerate("MGTPE", start=2)}
LARGEST = 2**63 - 1  # as the API server caps them


def read_quantity(value: object, scale: int = 1) -> int | None:
    """`value` times `scale`, rounded up; None for what is no quantity. 1000 reads CPUs as millicores."""
    match = FORM.fullmatch(str(value))
    if match is None:
        return None
    number, suffix = match.groups(default="")
    factor = SCALES[suffix] if suffix in SCALES else Decimal("1" + suffix)
    exact = Decimal(number) * factor * scale
    return max(-LARGEST, min(LARGEST, ceil(min(exact, Decimal(LARGEST)))))
