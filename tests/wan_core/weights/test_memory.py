"""What loading holds on the host, by the kernel's own count of pages that no file backs.

No GPU is at hand: its memory is stood in for by a mapped file, whose pages are not in that count, and its
stream by copies at once. What CUDA itself takes on the host is not seen here.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.wan_core.weights.models import SMALL, save_transformer
from wan_core.weights.ring import PINNED_SLOTS, SLOT_BYTES, SLOTS

SLACK = 32 * 2**20  # of the allocator and of torch itself
LARGE = replace(SMALL, dim=1024, heads=8, ffn_dim=8192, layers=6)

ANONYMOUS = """
import re, sys
from functools import partial
from pathlib import Path
import torch
from wan_core.weights.carrier import PlainCarrier
from wan_core.weights.places import Place, cut_slab, place_on
from wan_core.weights.reading import Wanted, read_tensors
from wan_core.weights.ring import PINNED_SLOTS, SLOT_BYTES, Ring
from wan_core.weights.shards import DTYPES, read_headers
from wan_core.weights.transformer import load_transformer

folder = Path(sys.argv[1])

def anonymous():
    return 1024 * int(re.search(r"RssAnon:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

def tick(done, total):
    peaks.append(anonymous())

peaks = []
load_transformer(folder / "small", dtype=torch.float16, device="cpu")
before = anonymous()
"""
ONTO_THE_HOST = """
model = load_transformer(folder / "large", dtype=torch.float16, device="cpu", tick=tick)
tensors = model.state_dict()
"""
ONTO_A_DEVICE = """
files = iter(range(1000))

def take(size):
    return torch.from_file(str(folder / f"slab-{next(files)}"), shared=True, size=size, dtype=torch.uint8)

stored = read_headers(folder / "large")
wanted = {name: Wanted(one.shape, torch.float16, (name,)) for name, one in stored.items()}
place = Place(partial(cut_slab, take), PlainCarrier(), direct=False)
tensors = read_tensors(stored, wanted, place, tick, Ring(PINNED_SLOTS, SLOT_BYTES, pinned=False))
"""
TELL = """
print(max(peaks) - before, sum(tensor.nbytes for tensor in tensors.values()))
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc"),
    pytest.mark.parametrize("shard_bytes", [None, 5 * 10**7], ids=["in one file", "in shards"]),
]


def measure(folder: Path, program: str, shard_bytes: int | None) -> tuple[int, int]:
    """How much a process of its own grew at its peak, and the bytes of what it loaded."""
    save_transformer(folder / "small")
    save_transformer(folder / "large", LARGE, shard_bytes=shard_bytes)
    told = subprocess.run(
        [sys.executable, "-c", ANONYMOUS + program + TELL, str(folder)],
        capture_output=True,
        text=True,
        check=True,
    )
    peak, model = map(int, told.stdout.split())
    assert model > 8 * SLACK
    return peak, model


def test_the_host_holds_the_model_and_the_ring_and_no_copy_of_a_file(
    tmp_path: Path, shard_bytes: int | None
) -> None:
    peak, model = measure(tmp_path, ONTO_THE_HOST, shard_bytes)
    assert peak <= model + SLOTS * SLOT_BYTES + SLACK


def test_of_what_goes_onto_a_device_the_host_holds_the_ring_alone(
    tmp_path: Path, shard_bytes: int | None
) -> None:
    peak, _ = measure(tmp_path, ONTO_A_DEVICE, shard_bytes)
    assert peak <= PINNED_SLOTS * SLOT_BYTES + SLACK
