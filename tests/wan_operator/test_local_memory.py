"""What follows when a runner meets a real limit on its memory: a plan that needs less of it.

The scripted runner takes memory in proportion to what its plan needs; the limit lies between two plans.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # runners as processes, under a real limit
ROOT = Path(__file__).resolve().parents[2]
LIMIT_BYTES = 700 << 20  # the first plan takes 842 MiB, the second 452 MiB, the rest of a runner under 100
PLAN, SMALLER_PLAN = (
    f"ti2v-5B/cuda/bf16+{rest}" for rest in ("component-offload", "resident+text-encoder-cpu+vae-tiling")
)
PROBE = """
import json, os, sys
from datetime import UTC, datetime
from pathlib import Path
from tests.wan_operator.watcher import RUNNER, Watcher
from tests.wan_operator.worlds import UID, spec_of
from wan_core.api.status import Metadata, VideoGeneration
from wan_core.plan.inventory import Gpu, Inventory, Node
from wan_operator.local import Places, run_local

group, prefix = sys.argv[1], sys.argv[2:]
if group:
    Path(group, "cgroup.procs").write_text(str(os.getpid()))
os.environ["SCRIPT"] = json.dumps(["fill", "fill"])
metadata = Metadata(name="corgi", uid=UID, creation_timestamp=datetime.now(UTC))
resource = VideoGeneration(
    api_version="wan.video/v1alpha1", kind="VideoGeneration", metadata=metadata, spec=spec_of(model="ti2v-5B")
)
card = Gpu(product="NVIDIA GeForce RTX 4090", memory_gib=24)
machine = Inventory(nodes=(Node(name="a", gpus=(card,), host_memory_gib=64),))
places = Places(Path("out"), Path())
status = run_local(resource, places, Watcher(), (*prefix, *RUNNER), lambda: machine)
attempts = [(a.outcome, a.category, a.plan, a.message) for a in status.attempts]
print(json.dumps([status.phase.value, attempts]))
"""


def probe(folder: Path, group: str = "", *prefix: str) -> list[object]:
    """The phase in which a request ends, and its attempts."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    told = subprocess.run(
        [sys.executable, "-c", PROBE, group, *prefix],
        cwd=folder,
        env=environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    found: list[object] = json.loads(told.stdout)
    return found


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


def test_after_the_kernel_killed_a_runner_for_its_memory_a_smaller_plan_makes_the_video(
    limited: Path, tmp_path: Path
) -> None:
    words = "the runner was killed for its memory with exit code 137"
    assert probe(tmp_path, str(limited)) == [
        "Succeeded",
        [
            ["Failed", "HOST_OUT_OF_MEMORY", PLAN, words],
            ["Succeeded", None, SMALLER_PLAN, ""],
        ],
    ]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a limit on memory is enforced on Linux")
def test_after_a_runner_found_no_memory_a_smaller_plan_makes_the_video(tmp_path: Path) -> None:
    limit = ("sh", "-c", f'ulimit -v {LIMIT_BYTES >> 10} && exec "$0" "$@"')
    assert probe(tmp_path, "", *limit) == [
        "Succeeded",
        [
            ["Failed", "HOST_OUT_OF_MEMORY", PLAN, "as scripted: HOST_OUT_OF_MEMORY"],
            ["Succeeded", None, SMALLER_PLAN, ""],
        ],
    ]
