"""What travels to a machine that has torch and Triton and nothing else: this bench, wan_core, and wheels.

Wheels are of the versions in constraints.txt, for the Python and platform of that machine. They come before
whatever is installed there, so that diffusers finds the versions it was tested with here. Not covered: torch
and Triton themselves, and platforms other than Linux with glibc 2.28 or newer.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from wan_core.errors import InvalidInput

LIMIT_MIB = 64
TREES = ("bench/transformer", "wan_core")
FILES = ("bench/__init__.py",)
WHEELS = "wheels"
CARRIED = (
    "diffusers",
    "certifi",
    "h11",
    "httpcore2",
    "httpx2",
    "huggingface-hub",
    "idna",
    "numpy",
    "nvidia-ml-py",
    "packaging",
    "pillow",
    "pyyaml",
    "requests",
    "safetensors",
    "tqdm",
    "truststore",
    "urllib3",
)
"""diffusers' transformer, all that importing it imports (a test looks), and NVML's bindings."""


def pack(root: Path, folder: Path, python: str, machine: str, commit: str) -> int:
    """Fill an empty folder; the bytes it holds. Raises InvalidInput if it is not empty or grows too large."""
    if folder.exists() and any(folder.iterdir()):
        raise InvalidInput(f"{folder} is not empty")
    for tree in TREES:
        shutil.copytree(root / tree, folder / tree, ignore=shutil.ignore_patterns("__pycache__"))
    for file in FILES:
        shutil.copy(root / file, folder / file)
    (folder / "COMMIT").write_text(commit + "\n")
    download(root / "constraints.txt", folder / WHEELS, python, machine)
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    if size > LIMIT_MIB * 2**20:
        raise InvalidInput(f"{folder} holds {size / 2**20:.1f} MiB, more than {LIMIT_MIB}")
    return size


def download(constraints: Path, folder: Path, python: str, machine: str) -> None:
    """A wheel of each of `CARRIED`."""
    tags = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_17", "manylinux2014")
    platforms = [part for tag in tags for part in ("--platform", f"{tag}_{machine}")]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    target = ["--implementation", "cp", "--python-version", python, *platforms]
    subprocess.run([*command, *target, "-c", constraints, "-d", folder, *CARRIED], check=True)


def unpacked(root: Path) -> tempfile.TemporaryDirectory[str] | None:
    """The pack's wheels as a folder to import from, for as long as it is held; None in a full tree."""
    if not (root / WHEELS).is_dir():
        return None
    folder = tempfile.TemporaryDirectory(prefix="bench-transformer-")
    for wheel in (root / WHEELS).glob("*.whl"):
        with zipfile.ZipFile(wheel) as opened:
            opened.extractall(folder.name)
    return folder


def environment(root: Path, site: str | None) -> dict[str, str]:
    """For workers: this tree and the unpacked wheels come first."""
    first = [str(root), *([site] if site else [])]
    given = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": os.pathsep.join([*first, *([given] if given else [])])}
