"""The shape of the house: what no folder may hold, and what no light module may load."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import wan_core
import wan_runner

ROOT = Path(__file__).resolve().parent.parent
HEAVY_ROOMS = {"pipeline", "weights", "model", "kernels", "devices"}
LIGHT = [
    *(f"wan_core.{m.name}" for m in pkgutil.iter_modules(wan_core.__path__) if m.name not in HEAVY_ROOMS),
    "wan_operator",
]
PROBE = """
import importlib, pkgutil, sys
for name in sys.argv[1:]:
    module = importlib.import_module(name)
    for found in pkgutil.walk_packages(getattr(module, "__path__", ()), name + "."):
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


def test_the_law_that_only_the_store_imports_boto3_names_every_other_module() -> None:
    law = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (named,) = (contract["source_modules"] for contract in law if "only the store" in contract["name"])
    runner = {f"wan_runner.{module.name}" for module in pkgutil.iter_modules(wan_runner.__path__)}
    assert set(named) == {"wan_core", "wan_operator", *runner} - {"wan_runner.store"}
