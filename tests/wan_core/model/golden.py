"""Make the stored outputs: diffusers' transformer in float32 with the drawn weights and inputs of `variants`.

`python -m tests.wan_core.model.golden > tests/wan_core/model/golden.json` makes them again. Of each variant's
output there are its norm and seven of its values, evenly spread.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor

from tests.wan_core.model.variants import VARIANTS, build_theirs, inputs_of, run_theirs

STORED = Path(__file__).with_suffix(".json")
VALUES = 7


def summarize(output: Tensor) -> dict[str, float | list[float]]:
    """The few numbers that are stored of an output."""
    flat = output.double().flatten()
    positions = torch.linspace(0, flat.numel() - 1, VALUES).long()
    return {"norm": round(float(flat.norm()), 4), "values": [round(float(v), 6) for v in flat[positions]]}


def make_golden() -> dict[str, dict[str, float | list[float]]]:
    with torch.no_grad():
        return {
            name: summarize(run_theirs(build_theirs(config), inputs_of(name)))
            for name, config in VARIANTS.items()
        }


if __name__ == "__main__":
    rows = (f"  {json.dumps(name)}: {json.dumps(row)}" for name, row in make_golden().items())
    print("{", ",\n".join(rows), "}", sep="\n")
