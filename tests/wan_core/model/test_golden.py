"""Outputs stored in the tree: they tell a change of ours from a change of diffusers or torch."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from tests.wan_core.model.golden import STORED, make_golden, summarize
from tests.wan_core.model.variants import VARIANTS, build_ours, inputs_of, run_ours

GOLDEN = json.loads(STORED.read_text())


def differs(found: Any, stored: Any) -> bool:
    """Beyond what float32 sums in another order may differ; values are about 1."""
    return found["norm"] != pytest.approx(stored["norm"], rel=1e-5) or found["values"] != pytest.approx(
        stored["values"], abs=2e-5
    )


def test_every_variant_has_an_output_stored() -> None:
    assert list(GOLDEN) == list(VARIANTS)


@torch.no_grad()
@pytest.mark.parametrize("name", VARIANTS)
def test_the_output_is_the_stored_one(name: str) -> None:
    found = summarize(run_ours(build_ours(VARIANTS[name]), inputs_of(name)))
    assert not differs(found, GOLDEN[name]), found


@pytest.mark.slow  # imports diffusers
def test_the_stored_outputs_are_those_of_diffusers() -> None:
    made = make_golden()
    assert [name for name in VARIANTS if differs(made[name], GOLDEN[name])] == []
