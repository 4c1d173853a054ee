"""A base image to build on: the Dockerfile's own, else one of Debian packages, which needs no registry."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from tests.image.engine import Engine, NoEngine

DEFAULT_BASE = "python:3.12-slim"  # ARG BASE_IMAGE of the Dockerfile
PACKAGES = "python3-minimal,python3-venv,python3-dev,ca-certificates"  # what the Dockerfile asks of a base
RELEASE = Path("/etc/os-release")


def find_base(engine: Engine) -> str:
    """WAN_IMAGE_BASE, or the Dockerfile's default, or this machine's Debian. Raises NoEngine."""
    if named := os.environ.get("WAN_IMAGE_BASE"):
        return named
    there = engine.succeeds("image", "inspect", DEFAULT_BASE)
    if there or engine.succeeds("pull", DEFAULT_BASE, timeout_s=120.0):
        return DEFAULT_BASE
    return build_debian(engine)


def build_debian(engine: Engine) -> str:
    """Debian with Python by debootstrap, kept by the engine for the rest of the month."""
    suite = read_suite()
    if suite is None or shutil.which("debootstrap") is None or os.geteuid() != 0:
        raise NoEngine(f"{DEFAULT_BASE} cannot be pulled; to make a base needs Debian, root and debootstrap")
    image = f"localhost/wan-test-base:{suite}-{datetime.now(UTC):%Y-%m}"
    if not engine.succeeds("image", "inspect", image):
        with tempfile.TemporaryDirectory(prefix="wan-base-") as folder:
            root = Path(folder) / "root"
            fill(root, suite)
            with subprocess.Popen(["tar", "-C", str(root), "-c", "."], stdout=subprocess.PIPE) as tar:
                subprocess.run(
                    [engine.program, "import", "-", image], stdin=tar.stdout, check=True, timeout=300
                )
    return image


def read_suite() -> str | None:
    """The code name of the Debian that this machine runs; None if it is another system."""
    lines = RELEASE.read_text().splitlines() if RELEASE.exists() else []
    fields = dict(line.split("=", 1) for line in lines if "=" in line)
    return fields.get("VERSION_CODENAME") if fields.get("ID") == "debian" else None


def fill(root: Path, suite: str) -> None:
    """A minimal Debian into `root`. Raises NoEngine."""
    command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", suite, str(root)]
    done = subprocess.run([*command, *find_mirror(suite)], capture_output=True, text=True, timeout=600)
    if done.returncode != 0:
        raise NoEngine(f"debootstrap failed: {(done.stdout + done.stderr).strip()[-300:]}")


def find_mirror(suite: str) -> list[str]:
    """The mirror that apt of this machine uses; none: debootstrap's own."""
    form = ["--format", "$(REPO_URI)", "Created-By: Packages", f"Codename: {suite}"]
    asked = subprocess.run(["apt-get", "indextargets", *form], capture_output=True, text=True, timeout=60)
    return asked.stdout.split()[:1]
