"""docs/guides/weights.md says what happens: its commands on the models that ship, and their output."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.wan_runner.test_weights_command import wan
from wan_core.cli import find_commands
from wan_runner.store.publish import assemble_tiny, publish_model

GUIDE = (Path(__file__).parents[2] / "docs" / "guides" / "weights.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
NEED_OTHERS = ("Tiny-Diffusers", "A14B", "s3://weights/m")  # models that are not here
USED = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d")


def read_examples() -> list[tuple[str, str]]:
    """The commands on the models that ship, each with the output that the guide shows."""
    steps = [step for block in BLOCKS for step in block.split("$ wan weights ")[1:]]
    pairs = [step.split("\n", 1) for step in steps]
    return [(asked, shown) for asked, shown in pairs if not any(other in asked for other in NEED_OTHERS)]


def test_the_commands_say_what_the_guide_shows(
    s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for name in ("WAN_CACHE_HIGH_PERCENT", "WAN_CACHE_LOW_PERCENT"):  # however full this machine's disk is
        monkeypatch.setenv(name, "100")
    other = "s3://weights/wan-tiny-i2v"
    publish_model(assemble_tiny("wan-tiny-i2v", other), "wan-tiny-i2v", other)
    examples = read_examples()
    assert len(examples) == 11
    for (asked, shown), done in zip(examples, wan(tmp_path, *[a for a, _ in examples]), strict=True):
        said = USED.sub("<when>", done.out.replace(str(tmp_path), "/home/you/.cache"))
        assert said == USED.sub("<when>", shown.removeprefix("...\n")), (asked, done.err)


def test_every_command_stands_in_it() -> None:
    for name in find_commands():
        if name.startswith("weights."):
            assert name.removeprefix("weights.").split(".")[0] in GUIDE, name
    assert set(re.findall(r"wan weights ([a-z]+)", GUIDE)) <= {
        n.split(".")[1] for n in find_commands() if "." in n
    }
