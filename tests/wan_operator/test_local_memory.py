"""A runner that the kernel kills for its memory, under a real limit. Needs a cgroup that we may make."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIMIT_BYTES = 400 << 20  # the scripted runner wants 1 GiB
PROBE = """
import json, os, sys
from datetime import UTC, datetime
from pathlib import Path
from tests.wan_operator.test_local import RUNNER, Watcher
from tests.wan_operator.worlds import GPU_NODES, UID, spec_of
from wan_core.api.status import Metadata, VideoGeneration
from wan_operator.local import Places, run_local
Path(sys.argv[1], "cgroup.procs").write_text(str(os.getpid()))
os.environ["SCRIPT"] = json.dumps(["hog", "ok"])
metadata = Metadata(name="corgi", uid=UID, creation_timestamp=datetime.now(UTC))
resource = VideoGeneration(
    api_version="wan.video/v1alpha1", kind="VideoGeneration", metadata=metadata, spec=spec_of()
)
status = run_local(resource, Places(Path("out"), Path()), Watcher(), RUNNER, lambda: GPU_NODES)
print(status.attempts[0].outcome, status.attempts[0].category, status.attempts[0].message)
"""


@pytest.fixture
def limited() -> Iterator[Path]:
    """A memory cgroup (version 1) below our own with a limit; skips where there can be none."""
    lines = Path("/proc/self/cgroup").read_text().splitlines() if Path("/proc/self/cgroup").exists() else []
    own = next((line.split(":", 2)[2] for line in lines if line.split(":")[1] == "memory"), None)
    group = Path(f"/sys/fs/cgroup/memory{own}/wan-test-{os.getpid()}")
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(LIMIT_BYTES))
    except OSError as error:
        pytest.skip(f"no memory cgroup of version 1 can be made here: {error.strerror}")
    yield group
    group.rmdir()


def test_a_runner_killed_for_its_memory_is_host_out_of_memory(limited: Path, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    told = subprocess.run(
        [sys.executable, "-c", PROBE, str(limited)],
        cwd=tmp_path,
        env=environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    words = "Failed HOST_OUT_OF_MEMORY the runner was killed for its memory with exit code 137"
    assert told.stdout.strip() == words
