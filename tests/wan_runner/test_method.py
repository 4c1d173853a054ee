"""How a video is to be made: what the environment of a runner may fix by hand, read before anything else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.wan_runner.tasks import build_task
from tests.wan_runner.test_attempt import watch
from wan_core.errors import InvalidInput
from wan_runner.attempt import make_video
from wan_runner.method import VARIABLES, read_method

WISHES: dict[str, tuple[dict[str, str], dict[str, Any]]] = {
    "nothing": ({}, {}),
    "empty words": ({"WAN_ATTENTION": "", "WAN_COMPILE": ""}, {}),
    "a backend and operations": (
        {"WAN_ATTENTION": "xformers", "WAN_OPS": "triton"},
        {"attention": "xformers", "ops": "triton"},
    ),
    "switches": (
        {"WAN_COMPILE": "off", "WAN_CUDA_GRAPHS": "off", "WAN_TF32": "on"},
        {"compiled": False, "recorded": False, "tf32": True},
    ),
}


@pytest.mark.slow  # imports torch
@pytest.mark.parametrize("name", WISHES)
def test_the_environment_says_what_is_fixed(name: str) -> None:
    from wan_core.pipeline.recipe import Wishes
    from wan_runner.method import read_wishes

    environment, expected = WISHES[name]
    assert read_wishes({"PATH": "/bin", **environment}) == Wishes(**expected)


@pytest.mark.slow  # imports torch
@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        pytest.param("WAN_COMPILE", "1", "1 is not on or off$", id="a switch"),
        pytest.param("WAN_TF32", "On", r"On is not on or off; did you mean on\?$", id="in capitals"),
        pytest.param("WAN_OPS", "cuda", "cuda is not torch or triton$", id="operations"),
        pytest.param(
            "WAN_OPS", "tritan", r"tritan is not torch or triton; did you mean triton\?$", id="near"
        ),
        pytest.param("WAN_ATTENTION", "fnord", "fnord is not sdpa or .* or xformers$", id="a backend"),
        pytest.param("WAN_ATTENTION", "\x1b[31m", r"\\x1b\[31m is not", id="what steers a terminal"),
    ],
)
def test_a_word_that_means_nothing_is_told_with_its_variable(name: str, value: str, told: str) -> None:
    from wan_runner.method import read_wishes

    with pytest.raises(InvalidInput, match=f"^{name}: {told}"):
        read_wishes({name: value})


@pytest.mark.slow
def test_a_word_that_means_nothing_is_told_before_a_weight_is_fetched(
    s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAN_OPS", "cuda")
    task = build_task()
    with pytest.raises(InvalidInput, match=r"^WAN_OPS: cuda is not torch or triton") as told:
        make_video(task, tmp_path / "cache", watch(task))
    assert "unset it" in told.value.advice
    assert not (tmp_path / "cache").exists()


def test_what_would_have_no_effect_is_refused(tmp_path: Path) -> None:
    environment = {"WAN_OPS": "triton", "WAN_TF32": "on", "WAN_COMPILE": ""}
    with pytest.raises(InvalidInput) as told:
        read_method(environment, tmp_path, use_reference=True)
    assert [problem.split(":")[0] for problem in told.value.problems] == ["WAN_OPS", "WAN_TF32"]
    assert told.value.advice == "Unset WAN_OPS, WAN_TF32, or leave --reference out."
    assert read_method({"WAN_COMPILE": ""}, tmp_path, use_reference=True).use_reference


def test_how_much_may_be_kept_is_read_at_the_start_too(tmp_path: Path) -> None:
    assert read_method({"WAN_PREPARED_MAX_BYTES": "1Gi"}, tmp_path, False).prepared_max_bytes == 2**30
    with pytest.raises(InvalidInput, match=r"^WAN_PREPARED_MAX_BYTES: 'much'"):
        read_method({"WAN_PREPARED_MAX_BYTES": "much"}, tmp_path, use_reference=False)


def test_where_nothing_is_fixed_torch_is_not_loaded() -> None:
    code = (
        "import sys; from pathlib import Path; from wan_runner.method import read_method\n"
        "assert read_method({}, Path('/c'), False).wishes is None\n"
        "assert read_method({}, Path('/c'), True).wishes is None\n"
        "assert not {'torch', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_every_variable_is_a_wish() -> None:
    from wan_runner.method import read_wishes

    words = dict(zip(VARIABLES, ("torch", "sdpa", "on", "on", "on"), strict=True))
    nothing = read_wishes({})
    wishes = [read_wishes({name: word}) for name, word in words.items()]
    assert all(wish != nothing for wish in wishes)
