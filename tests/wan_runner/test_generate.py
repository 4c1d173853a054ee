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


def test_a_switch_is_on_or_off() -> None:
    from wan_runner.generate import read_wishes

    with pytest.raises(InvalidInput, match="WAN_COMPILE: 1 is not on or off"):
        read_wishes({"WAN_COMPILE": "1"})
