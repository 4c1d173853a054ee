"""From S3 to a file: our engine against raw sockets, boto3, awscrt and obstore; and a model that is here.

    python -m bench.loading.fetch [--gib 2] [--long-gib 6] [--rounds 5] [--only SCENARIO ...] [--json FILE]

The server (bench/loading/server.py) is on the same machine and takes part of its cores: raw sockets into the
same file system, in the same rounds, tell what it can give. Every contestant runs in a process of its own, in
an order that turns by one each round; ours checks every byte against a manifest's checksums meanwhile. Files
go to /dev/shm where there is room, which is told. obstore takes part where it is installed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from awscrt import checksums

from bench.loading import hit
from bench.loading.contestants import CONTESTANTS, MIB, OURS, RAW, Job, is_here, to_text
from bench.loading.fetch_report import Findings, Sample, render
from bench.loading.server import CAP
from tests.wan_runner.store.certificates import make_authority

CHUNK_BYTES = 64 * MIB
SOURCE_BYTES = 16 * CHUNK_BYTES
HIT_FILES = 20
FREE_RAW = tuple(f"{RAW}, {connections}" for connections in (1, 4, 16))
OTHERS = tuple(name for name in CONTESTANTS if not name.startswith((RAW, OURS)))


@dataclass(frozen=True)
class Scenario:
    """`port` as the server calls it; `is_long`: an object so large that finding the connections matters
    little."""

    name: str
    port: str
    contestants: tuple[str, ...]
    is_long: bool = False

    @property
    def scheme(self) -> str:
        return "https" if self.port.startswith("tls") else "http"


SCENARIOS = (
    Scenario("http", "http", (*FREE_RAW, f"{RAW}, 4, blocks reserved first", OURS, *OTHERS)),
    Scenario("tls", "tls", (*FREE_RAW, OURS, *OTHERS)),
    Scenario("http-capped", "http capped", (f"{RAW}, 16", OURS, *OTHERS)),
    Scenario("tls-capped", "tls capped", (f"{RAW}, 16", OURS, *OTHERS)),
    Scenario("http-long", "http", (f"{RAW}, 4", OURS), is_long=True),
    Scenario("http-capped-long", "http capped", (f"{RAW}, 16", f"{RAW}, 64", OURS), is_long=True),
)


NAMES = tuple(scenario.name for scenario in SCENARIOS)
HITS = "hits"


@dataclass(frozen=True)
class Served:
    """A server that runs: its process, its ports, what clients trust, and the checksums of its bytes."""

    process: int
    ports: Mapping[str, int]
    authority: Path
    chunks: tuple[int, ...]

    def job(self, scenario: Scenario, size: int, sink: Path) -> Job:
        """`size` and the server's source are whole chunks."""
        endpoint = f"{scenario.scheme}://127.0.0.1:{self.ports[scenario.port]}"
        chunks = tuple(self.chunks[n % len(self.chunks)] for n in range(size // CHUNK_BYTES))
        return Job(endpoint, str(self.authority), size, str(sink), chunks)

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.process}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def choose_room(need_bytes: int) -> Path:
    """Memory, if there is as much and a quarter more; else a folder on disk."""
    memory = Path("/dev/shm")
    is_roomy = memory.is_dir() and shutil.disk_usage(memory).free > need_bytes * 5 // 4
    return memory if is_roomy else Path(tempfile.gettempdir())


@contextmanager
def serving(folder: Path, source_bytes: int, cap: float) -> Iterator[Served]:
    """The server in a process of its own, with a source of random bytes and a model for `hit`."""
    source = folder / "source"
    chunks = write_source(source, source_bytes)
    authority = make_authority(folder, "authority")
    pair = authority.sign(folder, "127.0.0.1", "localhost")
    hit.publish(folder / "objects", HIT_FILES)
    command = [sys.executable, "-m", "bench.loading.server", str(folder / "objects"), str(source)]
    command += ["--cap", str(cap), "--tls", *map(str, pair)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            ports = json.loads(server.stdout.readline())
            yield Served(server.pid, ports, authority.file, chunks)
        finally:
            server.communicate("")


def write_source(path: Path, size: int) -> tuple[int, ...]:
    """Random bytes; the CRC64NVME of each chunk of them."""
    chunks = []
    with path.open("wb") as file:
        for _ in range(size // CHUNK_BYTES):
            data = os.urandom(CHUNK_BYTES)
            chunks.append(checksums.crc64nvme(data))
            file.write(data)
    return tuple(chunks)


def environment(served: Served, endpoint: str) -> dict[str, str]:
    """What a client finds set, and nothing of what is set here."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "WAN_"))}
    return kept | {
        "AWS_ENDPOINT_URL_S3": endpoint,
        "AWS_CA_BUNDLE": str(served.authority),
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": "bench",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "NO_PROXY": "127.0.0.1",
    }


def run_contestant(name: str, job: Job, served: Served) -> Sample:
    """One run, whose file is removed afterwards."""
    command = [sys.executable, "-m", "bench.loading.contestants", name, to_text(job)]
    before = served.cpu_seconds()
    try:
        done = subprocess.run(
            command,
            env=environment(served, job.endpoint),
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        Path(job.sink).unlink(missing_ok=True)
    if done.returncode:
        raise RuntimeError(f"{name} failed with {done.returncode}:\n{done.stderr[-2000:]}")
    took = json.loads(done.stdout)
    return Sample(size=job.size, server_cpu_s=served.cpu_seconds() - before, **took)


def measure_hits(served: Served, folder: Path, rounds: int) -> list[list[dict[str, float]]]:
    """Each round in a process of its own, over a cache that has every blob."""
    endpoint = f"http://127.0.0.1:{served.ports['http']}"
    command = [sys.executable, "-m", "bench.loading.hit", str(folder / "cache")]
    found = []
    for _ in range(rounds + 1):  # the first fills the cache
        done = subprocess.run(
            command, env=environment(served, endpoint), stdout=subprocess.PIPE, text=True, check=True
        )
        found.append(json.loads(done.stdout))
    return found[1:]


def measure(
    scenarios: Sequence[Scenario],
    sizes: Mapping[bool, int],
    rounds: int,
    hit_rounds: int,
    source_bytes: int,
    cap: float,
) -> Findings:
    """Every contestant of every scenario once a round; `sizes` by whether a scenario is long."""
    largest = max((sizes[scenario.is_long] for scenario in scenarios), default=0)
    room = choose_room(largest + source_bytes)
    samples: dict[str, dict[str, list[Sample]]] = {scenario.name: {} for scenario in scenarios}
    absent = tuple(name for name in CONTESTANTS if not is_here(name))
    told = circumstances(room)
    with (
        tempfile.TemporaryDirectory(prefix="wan-bench-", dir=room) as folder,
        serving(Path(folder), source_bytes, cap) as served,
    ):
        for turn in range(rounds):
            for scenario in scenarios:
                for name in turned([each for each in scenario.contestants if each not in absent], turn):
                    job = served.job(scenario, sizes[scenario.is_long], Path(folder) / "sink")
                    sample = run_contestant(name, job, served)
                    samples[scenario.name].setdefault(name, []).append(sample)
        hits = measure_hits(served, Path(folder), hit_rounds) if hit_rounds else []
    return Findings(f"{told}, at the end {os.getloadavg()[0]:.1f}", absent, cap, samples, hits)


def turned(names: Sequence[str], turn: int) -> list[str]:
    at = turn % len(names)
    return [*names[at:], *names[:at]]


def circumstances(room: Path) -> str:
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    told = [
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        f"{os.cpu_count()} x {models[0] if models else platform.machine()}",
        f"Linux {platform.release()}",
        f"Python {platform.python_version()}",
        *(f"{name} {version_of(name)}" for name in ("boto3", "awscrt", "obstore")),
        f"files in {room}",
        f"load at the beginning {os.getloadavg()[0]:.1f}",
    ]
    return ", ".join(told)


def version_of(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gib", type=float, default=2)
    parser.add_argument("--long-gib", type=float, default=6)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cap-mib", type=float, default=CAP / MIB, help="a second, of a capped connection")
    parser.add_argument("--only", nargs="*", choices=[HITS, *NAMES])
    parser.add_argument("--json", type=Path, metavar="FILE")
    given = parser.parse_args()
    only = given.only or [HITS, *NAMES]
    scenarios = [each for each in SCENARIOS if each.name in only]
    sizes = {False: to_chunks(given.gib), True: to_chunks(given.long_gib)}
    hit_rounds = given.rounds if HITS in only else 0
    found = measure(scenarios, sizes, given.rounds, hit_rounds, SOURCE_BYTES, given.cap_mib * MIB)
    if given.json:
        given.json.write_text(json.dumps(asdict(found), indent=1) + "\n")
    print(render(found))


def to_chunks(gib: float) -> int:
    """Bytes: whole chunks, at least one."""
    return max(1, round(gib * 1024 * MIB / CHUNK_BYTES)) * CHUNK_BYTES


if __name__ == "__main__":
    main()
