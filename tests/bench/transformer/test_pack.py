"""What travels suffices: a Python that has torch, Triton and their needs, and nothing else."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from bench.transformer.pack import WHEELS, pack
from wan_core.errors import InvalidInput

ROOT = Path(__file__).resolve().parents[3]


def test_a_folder_that_holds_something_is_not_filled(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    with pytest.raises(InvalidInput, match="not empty"):
        pack(ROOT, tmp_path, "3.12", "x86_64", "abc")


@pytest.mark.slow  # needs the package index
@pytest.mark.timeout(900)
def test_a_pack_runs_where_only_torch_and_triton_are(tmp_path: Path) -> None:
    folder, site, found = tmp_path / "pack", tmp_path / "site", tmp_path / "found.json"
    version = ".".join(map(str, sys.version_info[:2]))
    assert pack(ROOT, folder, version, os.uname().machine, "abc") <= 64 * 2**20
    assert any((folder / WHEELS).glob("diffusers-*.whl"))
    link_torch(site)
    venv.create(tmp_path / "bare", with_pip=False)
    python = tmp_path / "bare/bin/python"
    command = [python, "-m", "bench.transformer", "gpu", "--json", found, "--only", "480x81: diffusers"]
    small = ["--device", "cpu", "--small", "--compiler", "aot_eager"]
    subprocess.run([*command, *small], cwd=folder, env={**os.environ, "PYTHONPATH": str(site)}, check=True)
    document = json.loads(found.read_text())
    assert document["run"]["commit"] == "abc"
    assert document["failed"] == []
    assert {row["table"] for row in document["rows"]} == {"circumstances", "speed", "kinds"}


def link_torch(site: Path) -> None:
    """torch and everything that it needs, as links to where it is installed here."""
    site.mkdir()
    for name in needed("torch", set()):
        distribution = importlib.metadata.distribution(name)
        for top in {file.parts[0] for file in distribution.files or () if file.parts[0] != ".."}:
            if not (site / top).exists():
                (site / top).symlink_to(distribution.locate_file(top))


def needed(name: str, found: set[str], extras: frozenset[str] = frozenset()) -> set[str]:
    """A distribution and all that it requires here."""
    found.add(name)
    for requirement in map(Requirement, importlib.metadata.requires(name) or ()):
        asked = requirement.marker is None or any(
            requirement.marker.evaluate({"extra": extra}) for extra in ("", *extras)
        )
        if asked and requirement.name not in found:
            needed(requirement.name, found, frozenset(requirement.extras))
    return found
