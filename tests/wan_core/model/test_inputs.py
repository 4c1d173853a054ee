"""Inputs that do not fit are refused with the two numbers that disagree."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from tests.wan_core.model.variants import SMALL, build_ours, draw_inputs
from wan_core.model.inputs import check_dtype, check_inputs, check_text, measure_grid
from wan_core.model.rope import build_rope


def prepared(**changes: Any) -> tuple[Any, ...]:
    """What fits SMALL, but for the changes: latents, timestep, text, rope."""
    inputs = draw_inputs(SMALL)
    given = {
        "latents": inputs.latents,
        "timestep": inputs.timestep,
        "text": torch.zeros(2, 2, 2, 20, 2, 12),
        "rope": inputs.rope,
    }
    return tuple({**given, **changes}.values())


CASES: dict[str, tuple[dict[str, Any], str]] = {
    "channels of another model": (
        {"latents": torch.zeros(2, 16, 4, 6, 8)},
        r"latents are \[2, 16, 4, 6, 8\], not \[B, 4, T, H, W\]",
    ),
    "no batch": ({"latents": torch.zeros(4, 4, 6, 8)}, r"latents are \[4, 4, 6, 8\], not \[B, 4, T, H, W\]"),
    "half a patch": (
        {"latents": torch.zeros(2, 4, 4, 6, 9)},
        r"\[2, 4, 4, 6, 9\]: W 9 is no whole number of patches of 2",
    ),
    "no frame": ({"latents": torch.zeros(2, 4, 0, 6, 8)}, r"T 0 is no whole number of patches of 1"),
    "a timestep for another batch": (
        {"timestep": torch.zeros(3, 1)},
        r"timesteps are \[3, 1\], not \[2, 1\] or \[2, 4\]",
    ),
    "a timestep for each token": (
        {"timestep": torch.zeros(2, 48)},
        r"timesteps are \[2, 48\], not \[2, 1\] or \[2, 4\]",
    ),
    "a timestep without a group": ({"timestep": torch.zeros(2)}, r"timesteps are \[2\], not \[2, 1\]"),
    "text of another batch": (
        {"text": torch.zeros(2, 2, 1, 20, 2, 12)},
        r"prepared text is \[2, 2, 1, 20, 2, 12\], not \[2, 2, 2, S, 2, 12\]",
    ),
    "text that is not prepared": (
        {"text": torch.zeros(2, 20, 8)},
        r"prepared text is \[2, 20, 8\], not \[2, 2, 2, S, 2, 12\]",
    ),
    "positions of another shape": (
        {"rope": build_rope((4, 3, 5), 12)},
        r"rotary tables are \[60, 6\], not \[48, 6\]: tokens are 4x3x4",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_does_not_fit_is_named_with_both_numbers(name: str) -> None:
    changes, message = CASES[name]
    with pytest.raises(ValueError, match=message):
        check_inputs(SMALL, *prepared(**changes))


@pytest.mark.parametrize("groups", [1, 4], ids=["one timestep", "one for each frame"])
def test_what_fits_passes_and_runs(groups: int) -> None:
    inputs = prepared(timestep=torch.zeros(2, groups))
    check_inputs(SMALL, *inputs)
    assert build_ours(SMALL)(*inputs).shape == (2, 4, 4, 6, 8)


def test_text_of_another_width_is_named_with_both_numbers() -> None:
    check_text(SMALL, torch.zeros(1, 512, 8))
    with pytest.raises(ValueError, match=r"text states are \[1, 512, 4096\], not \[B, S, 8\]"):
        check_text(SMALL, torch.zeros(1, 512, 4096))


def test_another_dtype_is_named_with_both() -> None:
    check_dtype(torch.bfloat16, latents=torch.zeros(1, dtype=torch.bfloat16))
    with pytest.raises(ValueError, match=r"latents are torch.float32, the model torch.bfloat16"):
        check_dtype(torch.bfloat16, latents=torch.zeros(1))


def test_the_grid_counts_patches() -> None:
    assert measure_grid(replace(SMALL, patch=(2, 2, 1)), torch.zeros(1, 4, 4, 6, 8)) == (2, 3, 8)
