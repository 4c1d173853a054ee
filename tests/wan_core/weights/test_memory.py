"""What loading holds on the host, by the kernel's own count of pages that no file backs."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.wan_core.weights.models import SMALL, save_transformer

SLACK = 32 * 2**20  # of the allocator and of torch itself
LARGE = replace(SMALL, dim=1024, heads=8, ffn_dim=8192, layers=6)

LOAD = """
import re, sys
from pathlib import Path
import torch
from wan_core.weights.transformer import load_transformer

def anonymous():
    return 1024 * int(re.search(r"RssAnon:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

def tick(done, total):
    peaks.append(anonymous())

peaks = []
load_transformer(Path(sys.argv[1]) / "small", dtype=torch.float16, device="cpu")
before = anonymous()
model = load_transformer(Path(sys.argv[1]) / "large", dtype=torch.float16, device="cpu", tick=tick)
print(max(peaks) - before, sum(tensor.nbytes for tensor in model.state_dict().values()))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize("shard_bytes", [None, 5 * 10**7], ids=["in one file", "in shards"])
def test_the_host_holds_the_model_and_no_copy_of_a_file(tmp_path: Path, shard_bytes: int | None) -> None:
    save_transformer(tmp_path / "small")
    save_transformer(tmp_path / "large", LARGE, shard_bytes=shard_bytes)
    told = subprocess.run(
        [sys.executable, "-c", LOAD, str(tmp_path)], capture_output=True, text=True, check=True
    )
    peak, model = map(int, told.stdout.split())
    assert model > 8 * SLACK
    assert peak <= model + SLACK
