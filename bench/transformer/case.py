"""What can be asked of a worker, by name. Nothing here imports torch."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

OURS_TORCH = "ours, torch"
OURS_TRITON = "ours, triton"
DEFAULT = "diffusers"
BEST = "diffusers, best"
OUR_OWN = (OURS_TORCH, OURS_TRITON)


@dataclass(frozen=True)
class Case:
    """`what` is a table's name. `small`: on narrow models and little noise, to see that it runs."""

    what: str
    workload: str = ""
    contestant: str = ""
    device: str = "cuda"
    compiler: str = "inductor"
    small: bool = False
    seconds: float = 600.0

    @property
    def title(self) -> str:
        return ": ".join(part for part in (self.what, self.workload, self.contestant) if part)

    def as_line(self) -> str:
        return json.dumps(asdict(self)) + "\n"
