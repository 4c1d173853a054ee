"""docs/guides/install.md as a newcomer follows it: every command of it that needs no registry, in order."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import pytest

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "guides" / "install.md"
FIRST = "## Publish a model"  # what comes before it builds and pushes images

# Lines that need what is not here, and what stands in for them. env.sh of the playground exports the rest.
INSTEAD = {
    r"^export AWS_.*": "",
    r"^hf download .*": "",
    r"^wan weights publish Wan2.2-TI2V-5B-Diffusers .*": "",
    r"^cp examples/cluster/values.yaml values.yaml": 'cp "$PLAYGROUND/values.yaml" values.yaml',
    r"^(.* get vgen -w)": r"{ timeout 600 \1 || true; } | grep -m1 -E 'Loading|Running|Succeeded'",
}


def read_commands(guide: str) -> str:
    """The shell blocks, with INSTEAD applied; blocks of another language are not for the shell."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", guide[guide.index(FIRST) :], re.MULTILINE | re.DOTALL)
    script = "".join(text for language, text in blocks if not language)
    for pattern, replacement in INSTEAD.items():
        script, count = re.subn(pattern, replacement, script, flags=re.MULTILINE)
        assert count, f"the guide has no line like {pattern}"
    return script


@pytest.fixture
def playground(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "playground"
    command = [sys.executable, "-m", "tests.controlplane.playground", str(folder)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        assert "is up" in process.stdout.readline()
        yield folder
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(180) == 0


@pytest.mark.timeout(1500)
def test_every_command_of_the_guide_works(playground: Path, tmp_path: Path) -> None:
    folder = tmp_path / "wan-operator"
    folder.mkdir()
    for name in ("charts", "examples"):
        (folder / name).symlink_to(ROOT / name)
    head = f"set -eux\nPLAYGROUND={playground}\nsource {playground}/env.sh\n"
    script = head + read_commands(GUIDE.read_text())
    done = subprocess.run(["bash", "-c", script], cwd=folder, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    with av.open(str(folder / "tiny.mp4")) as video:
        assert len(list(video.decode(video=0))) == 17
    assert "Never\tti2v-5B/" in done.stdout
    assert "plan wan-tiny/cpu/bf16+resident on" in done.stdout
