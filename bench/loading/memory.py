"""From the page cache to memory: our reading against memcpy, safetensors and mapped files.

    python -m bench.loading.memory [--runs N] [--layers N]

A transformer of random bytes is written, read once so that the page cache holds it, and loaded by each way
in turn, each time in a process of its own. No GPU: memory that is resident already is in the place of a
device's.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType

import numpy as np
import safetensors
import torch
from safetensors.torch import load_file
from torch import Tensor

from wan_core.model.config import TransformerConfig
from wan_core.model.transformer import stays_fp32
from wan_core.weights.carrier import PlainCarrier
from wan_core.weights.configs import read_config, write_config
from wan_core.weights.files import write_json, write_tensors
from wan_core.weights.places import Place, cut_slab
from wan_core.weights.reading import Wanted, read_tensors
from wan_core.weights.ring import PINNED_SLOTS, SLOT_BYTES, THREADS, Ring
from wan_core.weights.schemes import Scheme
from wan_core.weights.shards import WHOLE_STEM, read_headers, read_json, size_of, stored_tensors, weight_files
from wan_core.weights.transformer import load_transformer, to_ours
from wan_core.weights.transformer_names import shapes_of

PASSES = 5  # over the ring in one process, after one that makes its memory resident
PAGE = 4096
Way = Callable[[Path], float]
"""The folder to seconds."""


def config_of(layers: int) -> TransformerConfig:
    """The shapes of Wan 2.1's 1.3B."""
    return TransformerConfig(
        dim=1536, ffn_dim=8960, heads=12, layers=layers, in_channels=16, out_channels=16, text_dim=4096
    )


def write_model(folder: Path, layers: int) -> None:
    """Any bits, as bfloat16, in one file."""
    generator = np.random.default_rng(0)
    config = config_of(layers)
    state = {
        name: torch.from_numpy(generator.integers(2**16, size=shape, dtype=np.uint16)).view(torch.bfloat16)
        for name, shape in shapes_of(config, Scheme.DIFFUSERS).items()
    }
    folder.mkdir()
    write_json(folder / "config.json", write_config(config, Scheme.DIFFUSERS))
    write_tensors(folder, WHOLE_STEM, state)


def timed(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def passes(call: Callable[[], object]) -> float:
    """Seconds of one of several, in memory that is resident by then."""
    call()
    return statistics.median(timed(call) for _ in range(PASSES))


def resident(nbytes: int) -> Tensor:
    return torch.ones(nbytes, dtype=torch.uint8)


def copy_into_ring(folder: Path, threads: int) -> float:
    """As many bytes as the model has, from resident memory into the slots."""
    source = resident(size_of(folder)).numpy()
    slots = [resident(SLOT_BYTES).numpy() for _ in range(PINNED_SLOTS)]

    def copy(number: int) -> None:
        part = source[number * SLOT_BYTES : (number + 1) * SLOT_BYTES]
        slots[number % PINNED_SLOTS][: len(part)] = part

    def all_of_it() -> None:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(copy, range(-(-len(source) // SLOT_BYTES))))

    return passes(all_of_it)


class Nowhere(PlainCarrier):
    """Copies that cost nothing."""

    def carry(self, source: Tensor, target: Tensor) -> None:
        pass


def read_through_ring(folder: Path, carrier: PlainCarrier, take: Callable[[int], Tensor]) -> float:
    """Our reading as for a device, whose memory `take` gives."""
    ring = Ring(PINNED_SLOTS, SLOT_BYTES, pinned=False)
    stored = read_headers(folder)
    wanted = {name: Wanted(one.shape, one.torch_dtype, (name,)) for name, one in stored.items()}
    place = Place(partial(cut_slab, take), carrier, direct=False)
    return passes(lambda: read_tensors(stored, wanted, place, ring=ring))


def read_into_ring(folder: Path) -> float:
    return read_through_ring(
        folder, Nowhere(), lambda size: torch.empty(size, dtype=torch.uint8, device="meta")
    )


def read_onto_device(folder: Path) -> float:
    slab = resident(2 * size_of(folder))  # the same memory at every pass
    return read_through_ring(folder, PlainCarrier(), lambda size: slab[:size])


def map_onto_device(folder: Path) -> float:
    """Mapped files, copied tensor by tensor into memory that is resident."""
    slab = resident(size_of(folder))

    def copy() -> None:
        at = 0
        for _, tensor in stored_tensors(folder):
            slab[at : at + tensor.nbytes].copy_(tensor.reshape(-1).view(torch.uint8))
            at += tensor.nbytes

    return passes(copy)


def touched(tensors: Mapping[str, Tensor]) -> None:
    """Read a byte of each page: a mapped tensor is not in memory before."""
    for tensor in tensors.values():
        tensor.reshape(-1).view(torch.uint8)[::PAGE].sum()


def load_ours(folder: Path, dtype: torch.dtype) -> float:
    return timed(lambda: touched(load_transformer(folder, dtype=dtype, device="cpu").state_dict()))


def load_mapped(folder: Path, dtype: torch.dtype) -> float:
    """As it was before: views of mapped files; what is cast or joined is copied, the rest stays a view."""

    def load() -> None:
        config = read_config(read_json(folder / "config.json"), "config.json")
        state = to_ours(dict(stored_tensors(folder)), config, Scheme.DIFFUSERS)
        touched({k: t.to(torch.float32 if stays_fp32(k) else dtype) for k, t in state.items()})

    return timed(load)


def load_safetensors(folder: Path, *, copied: bool) -> float:
    """Views of the mapped file; or copies of them, in memory of this process as ours are."""
    (file,) = weight_files(folder)

    def load() -> None:
        touched({name: t.clone() if copied else t for name, t in load_file(file).items()})

    return timed(load)


WAYS: Mapping[str, Mapping[str, Way]] = MappingProxyType(
    {
        "into a resident ring": {
            "memcpy, 1 thread": partial(copy_into_ring, threads=1),
            f"memcpy, {THREADS} threads": partial(copy_into_ring, threads=THREADS),
            "ours": read_into_ring,
        },
        "into resident memory in the place of a device": {
            "ours, through the ring": read_onto_device,
            "mapped, then copied": map_onto_device,
        },
        "a transformer on the host, bfloat16 as stored": {
            "ours": partial(load_ours, dtype=torch.bfloat16),
            "mapped (before)": partial(load_mapped, dtype=torch.bfloat16),
            "safetensors load_file, which maps": partial(load_safetensors, copied=False),
            "safetensors load_file, then copied": partial(load_safetensors, copied=True),
        },
        "a transformer on the host, cast to float32": {
            "ours": partial(load_ours, dtype=torch.float32),
            "mapped (before)": partial(load_mapped, dtype=torch.float32),
        },
    }
)
"""By what they are compared in."""


def conduct(runs: int, layers: int) -> None:
    """Every way `runs` times, the order turned by one each time; prints circumstances and a table."""
    names = [(group, name) for group, members in WAYS.items() for name in members]
    with TemporaryDirectory() as folder:
        write_model(Path(folder) / "small", 1)
        write_model(Path(folder) / "large", layers)
        size = size_of(Path(folder) / "large")
        print(circumstances(size, runs), flush=True)
        taken: dict[tuple[str, str], list[float]] = {name: [] for name in names}
        for turn in range(runs):
            for group, name in [*names[turn % len(names) :], *names[: turn % len(names)]]:
                taken[group, name].append(run_one(Path(folder), group, name))
    print(f"load at the end {os.getloadavg()[0]:.1f}\n\n| | way | GB/s, median | lowest to highest |")
    print("| --- | --- | --- | --- |")
    for (group, name), seconds in taken.items():
        rates = sorted(size / 1e9 / one for one in seconds)
        median = statistics.median(rates)
        print(f"| {group} | {name} | {median:.2f} | {rates[0]:.2f} to {rates[-1]:.2f} |")


def run_one(folder: Path, group: str, name: str) -> float:
    """Seconds, in a process of its own."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["wan_core.weights.transformer"])
    with ProcessPoolExecutor(1, context) as process:
        return process.submit(run, folder, group, name).result()


def run(folder: Path, group: str, name: str) -> float:
    """Seconds of one way, which has loaded a small model before."""
    WAYS[group][name](folder / "small")
    warm(folder / "large")
    return WAYS[group][name](folder / "large")


def warm(folder: Path) -> None:
    """Have the page cache hold every file."""
    buffer = bytearray(SLOT_BYTES)
    for file in weight_files(folder):
        with file.open("rb", buffering=0) as opened:
            while opened.readinto(buffer):
                pass


def circumstances(size: int, runs: int) -> str:
    models = [line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line[:10] == "model name"]
    told = [
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        f"{os.cpu_count()} x {models[0] if models else platform.machine()}",
        f"Linux {platform.release()}",
        f"load {os.getloadavg()[0]:.1f}",
        f"Python {platform.python_version()}",
        f"torch {torch.__version__} ({torch.get_num_threads()} threads)",
        f"safetensors {safetensors.__version__}",
        f"{size / 1e9:.2f} GB in one file",
        f"{THREADS} threads that read, {PINNED_SLOTS} slots of {SLOT_BYTES >> 20} MiB",
        f"medians of {runs}",
    ]
    return ", ".join(told)


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []


def main(argv: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="bench.loading.memory", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--layers", type=int, default=12, help="0.09 GB each")
    given = parser.parse_args(argv)
    conduct(given.runs, given.layers)


if __name__ == "__main__":
    main(sys.argv[1:])
