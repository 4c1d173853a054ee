"""`wan run` as a process, with everything real, and what it leaves."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

MANIFEST = """\
apiVersion: wan.video/v1alpha1
kind: VideoGeneration
metadata: {name: clip}
spec:
  prompt: a red circle moving right
  seed: 1
"""


@contextmanager
def running(
    folder: Path, cache: Path, *options: str, prepare: Callable[[], None] | None = None, **fields: object
) -> Iterator[subprocess.Popen[str]]:
    """`wan run` on the manifest with these fields, its output as text; `prepare` runs before it."""
    lines = [f"  {name}: {value}\n" for name, value in ({"model": "wan-tiny"} | fields).items()]
    (folder / "clip.yaml").write_text(MANIFEST + "".join(lines))
    command = [sys.executable, "-c", "from wan_core.cli import main; main()", "run", "clip.yaml"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    with subprocess.Popen(
        [*command, "--cache", str(cache), *options],
        cwd=folder,
        env=environment | {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=prepare,
    ) as process:
        yield process


def wait_for(process: subprocess.Popen[str], word: str) -> None:
    """Read its output up to the line that has the word."""
    assert process.stdout is not None
    seen: list[str] = []
    for line in process.stdout:
        seen.append(line)
        if word in line:
            return
    pytest.fail(f"no {word} in: {''.join(seen)}")


def rest_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    text = process.stdout.read()
    process.wait()
    return text


def status_of(folder: Path) -> dict[str, object]:
    document = yaml.safe_load((folder / "out/clip.status.yaml").read_text())
    return dict(document["status"])
