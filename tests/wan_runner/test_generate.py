"""What the environment of a runner may fix by hand."""

from __future__ import annotations

from typing import Any

import pytest

from wan_core.errors import InvalidInput

pytestmark = pytest.mark.slow  # imports diffusers

WISHES: dict[str, tuple[dict[str, str], dict[str, Any]]] = {
    "nothing": ({}, {}),
    "empty words": ({"WAN_ATTENTION": "", "WAN_COMPILE": ""}, {}),
    "a backend and operations": (
        {"WAN_ATTENTION": "xformers", "WAN_OPS": "triton"},
        {"attention": "xformers", "ops": "triton"},
    ),
    "guidance": ({"WAN_GUIDANCE": "batched"}, {"guidance": "batched"}),
    "switches": (
        {"WAN_COMPILE": "off", "WAN_CUDA_GRAPHS": "off", "WAN_TF32": "on"},
        {"compiled": False, "recorded": False, "tf32": True},
    ),
}


@pytest.mark.parametrize("name", WISHES)
def test_the_environment_says_what_is_fixed(name: str) -> None:
    from wan_core.pipeline.recipe import Wishes
    from wan_runner.generate import read_wishes

    environment, expected = WISHES[name]
    assert read_wishes({"PATH": "/bin", **environment}) == Wishes(**expected)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        pytest.param("WAN_COMPILE", "1", "1 is not on or off$", id="a switch"),
        pytest.param("WAN_TF32", "On", r"On is not on or off; did you mean on\?$", id="in capitals"),
        pytest.param("WAN_OPS", "cuda", "cuda is not torch or triton$", id="operations"),
        pytest.param(
            "WAN_GUIDANCE", "batch", r"batch is not sequential or batched; did you mean batched\?$", id="near"
        ),
        pytest.param("WAN_ATTENTION", "fnord", "fnord is not sdpa or .* or xformers$", id="a backend"),
        pytest.param("WAN_ATTENTION", "\x1b[31m", r"\\x1b\[31m is not", id="what steers a terminal"),
    ],
)
def test_a_word_that_means_nothing_is_told_with_its_variable(name: str, value: str, told: str) -> None:
    from wan_runner.generate import read_wishes

    with pytest.raises(InvalidInput, match=f"^{name}: {told}"):
        read_wishes({name: value})
