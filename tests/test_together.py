"""Tests side by side: those of a module share a process, for a module may have a cluster of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MODULE = """
import os, pytest

@pytest.mark.parametrize("number", range(4))
def test_it(number):
    with open(os.environ["SEEN"], "a") as file:
        file.write(f"{__name__} {os.environ['PYTEST_XDIST_WORKER']}\\n")
"""
MODULES = ("test_a", "test_b", "test_c", "image/test_d", "image/test_e")


@pytest.mark.slow
def test_a_module_s_tests_run_in_one_process_and_so_do_all_that_build_images(tmp_path: Path) -> None:
    (flags,) = re.findall(r"^PYTEST := .* -n \S+ (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    (tmp_path / "tests" / "image").mkdir(parents=True)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path / "tests")
    for name in MODULES:
        (tmp_path / "tests" / f"{name}.py").write_text(MODULE)
    command = [sys.executable, "-m", "pytest", "-n", "2", *flags.split(), "-p", "no:cacheprovider"]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=environment | {"SEEN": str(tmp_path / "seen")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    seen = (tmp_path / "seen").read_text().splitlines()
    assert len(seen) == 4 * len(MODULES)
    places = {tuple(line.split()) for line in seen}
    assert len(places) == len(MODULES), "the tests of a module were apart"
    assert len({worker for _, worker in places}) == 2
    assert len({worker for module, worker in places if module in ("test_d", "test_e")}) == 1
