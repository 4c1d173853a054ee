"""The shape of the house: what no folder may hold, and what no light module may load."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LIGHT = [
    "wan_core",
    *(f"wan_core.{name}" for name in ("errors", "task", "cli")),
    *(f"wan_core.{room}" for room in ("api", "catalog", "plan")),
    "wan_operator",
]
PROBE = """
import importlib, pkgutil, sys
for name in sys.argv[1:]:
    module = importlib.import_module(name)
    if name != "wan_core":
        for found in pkgutil.walk_packages(getattr(module, "__path__", ()), name + "."):
            if not found.name.endswith("__main__"):
                importlib.import_module(found.name)
print(sorted(m for m in ("torch", "numpy", "boto3", "diffusers", "transformers", "moto") if m in sys.modules))
"""


@pytest.mark.parametrize("folder", ["operator", "runner"])
def test_a_folder_that_shadows_a_name_is_no_package(folder: str) -> None:
    assert sorted(p.name for p in (ROOT / folder).glob("*.py")) == []


def test_the_light_half_and_the_operator_load_nothing_heavy() -> None:
    probe = subprocess.run(
        [sys.executable, "-c", PROBE, *LIGHT], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert probe.stdout.strip() == "[]"
