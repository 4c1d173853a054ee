"""What watching a load costs: the same load watched and not, in turns, each in a process of its own.

    python -m bench.watching [--mib 1024] [--runs 7] [--json FILE]

Two loads that are as quick as this machine is, so that telling weighs most: safetensors out of the page cache
into memory, and a model from an S3 on loopback into the cache (plain HTTP, checksums on). Watched means all
that a runner does: the meter, memory read from the kernel, reports posted to an HTTP server in another
process. What it costs is the CPU time of the tells, in whatever thread, and of the thread that reports,
against the seconds of the load: other programs hardly change it, as they do the ratio of the seconds, which
is told too. Starting Python, imports and the first report, which comes before anything is loaded, are not in
the figures.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path
from typing import Any

from wan_core.phases import Phase, Tell

LOADS = ("memory", "download")
WATCHED, BARE = "watched", "bare"
TENSOR_BYTES = 4 * 2**20
LIMIT_PERCENT = 1.0  # what watching may cost


class Timed:
    """A tell that adds up the CPU time spent in it."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self.count, self.seconds = 0, 0.0

    def __call__(self, phase: Phase, done: int, total: int) -> None:
        began = time.thread_time()
        self._tell(phase, done, total)
        self.seconds += time.thread_time() - began
        self.count += 1


def work(load: str, kind: str, folder: Path, inbox: str) -> dict[str, float]:
    """One load in this process."""
    from tests.wan_runner.tasks import build_task
    from wan_core.task import Stage
    from wan_runner.interrupt import Interruption
    from wan_runner.report import Reporter
    from wan_runner.result import Record
    from wan_runner.watch import Watch

    reporter = Reporter(inbox, None)
    watch = Watch(record := Record(build_task()), reporter, Interruption())
    record.stage = Stage.LOADING
    tell = Timed(watch.load if kind == WATCHED else lambda phase, done, total: None)
    watch.report(0, 0)
    run = prepare_memory(folder) if load == "memory" else prepare_download(folder)
    began, cpu, reported = time.perf_counter(), time.process_time(), cpu_of("report")
    run(tell)
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu
    reported = cpu_of("report") - reported
    reporter.close()
    return {
        "seconds": seconds,
        "CPU": cpu_seconds,
        "CPU of telling": tell.seconds,
        "CPU of reporting": reported,
        "tells": tell.count,
    }


def cpu_of(name: str) -> float:
    """CPU seconds of the thread of this name."""
    (ident,) = (thread.ident for thread in threading.enumerate() if thread.name == name)
    assert ident is not None
    return time.clock_gettime(time.pthread_getcpuclockid(ident))


def prepare_memory(folder: Path) -> Any:
    """Safetensors into fresh memory of this process, by the one way that every part of a model goes."""
    from wan_core.weights.places import place_on
    from wan_core.weights.reading import Wanted, read_tensors
    from wan_core.weights.shards import read_headers

    headers = read_headers(folder / "model")
    wanted = {name: Wanted(stored.shape, stored.torch_dtype, (name,)) for name, stored in headers.items()}

    def run(tell: Tell) -> None:
        read_tensors(headers, wanted, place_on("cpu"), lambda done, total: tell(Phase.LOADING, done, total))

    return run


def prepare_download(folder: Path) -> Any:
    """The model from S3 into an empty cache, which is removed afterwards."""
    from wan_runner.store import fetch

    def run(tell: Tell) -> None:
        with (
            tempfile.TemporaryDirectory(dir=folder) as cache,
            fetch("s3://weights/model", Path(cache), threading.Event(), tell),
        ):
            pass

    return run


def write_model(folder: Path, mib: int) -> None:
    """Random bfloat16 of so many MiB, in tensors of 4 MiB, as a transformer's folder."""
    import torch
    from safetensors.torch import save_file

    generator = torch.Generator().manual_seed(0)
    count = mib * 2**20 // TENSOR_BYTES
    tensors = {
        f"blocks.{n}": torch.randint(
            -(2**15), 2**15, (TENSOR_BYTES // 2,), generator=generator, dtype=torch.int16
        ).view(torch.bfloat16)
        for n in range(count)
    }
    folder.mkdir(parents=True)
    save_file(tensors, folder / "diffusion_pytorch_model.safetensors")


@contextmanager
def serving(folder: Path) -> Iterator[dict[str, str]]:
    """An S3 with the model, and an inbox for reports, in a process of their own: their addresses."""
    command = [sys.executable, "-m", "bench.watching", "--serve", str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield json.loads(server.stdout.readline())
        finally:
            server.communicate("")


def serve(folder: Path) -> None:
    """Until standard input is closed."""
    from tests.wan_runner.store.fault_server import running
    from wan_runner.store.digests import digest_of
    from wan_runner.store.manifest import MANIFEST_NAME, File, Manifest

    class Inbox(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    inbox = ThreadingHTTPServer(("127.0.0.1", 0), Inbox)
    threading.Thread(target=inbox.serve_forever, daemon=True).start()
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }
    with running() as s3:
        listed = []
        for name, data in files.items():
            s3.put("weights", f"model/{name}", data)
            listed.append(File.of(name, digest_of(data)))
        manifest = Manifest(model="model", source="bench", license="none", files=tuple(listed))
        s3.put("weights", f"model/{MANIFEST_NAME}", manifest.canonical())
        print(json.dumps({"s3": s3.endpoint, "inbox": f"http://127.0.0.1:{inbox.server_port}/"}), flush=True)
        sys.stdin.read()


def measure(mib: int, runs: int) -> dict[str, Any]:
    """Every load, watched and bare in turns, the order turned round at each."""
    found: dict[str, dict[str, list[dict[str, float]]]] = {load: {WATCHED: [], BARE: []} for load in LOADS}
    with ExitStack() as stack:
        room = Path("/dev/shm") if Path("/dev/shm").is_dir() else None
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wan-bench-", dir=room)))
        write_model(folder / "model", mib)
        write_settings(folder / "model")
        places = stack.enter_context(serving(folder / "model"))
        environment = os.environ | {
            "AWS_ENDPOINT_URL_S3": places["s3"],
            "AWS_ACCESS_KEY_ID": "bench",
            "AWS_SECRET_ACCESS_KEY": "bench",
            "AWS_EC2_METADATA_DISABLED": "true",
            "OMP_NUM_THREADS": "1",
        }
        for number in range(runs):
            for load in LOADS:
                for kind in (WATCHED, BARE) if number % 2 else (BARE, WATCHED):
                    found[load][kind].append(start(load, kind, folder, places["inbox"], environment))
    return {
        "mib": mib,
        "runs": runs,
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
        "torch": version("torch"),
        "load average": os.getloadavg(),
        **{load: summarise(found[load]) for load in LOADS},
    }


def start(load: str, kind: str, folder: Path, inbox: str, environment: Mapping[str, str]) -> dict[str, float]:
    command = [sys.executable, "-m", "bench.watching", "--work", load, kind, str(folder), inbox]
    done = subprocess.run(command, env=dict(environment), stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout))


def write_settings(folder: Path) -> None:
    """What a model's folder must have besides for the store to take it."""
    (folder / "config.json").write_text('{"_class_name": "WanTransformer3DModel"}')
    (folder / "model_index.json").write_text('{"_class_name": "WanPipeline"}')


def summarise(found: Mapping[str, Sequence[Mapping[str, float]]]) -> dict[str, Any]:
    """Medians; ratios of medians; and the lowest and highest of the seconds."""
    middle = {
        kind: {name: statistics.median(run[name] for run in runs) for name in runs[0]}
        for kind, runs in found.items()
    }
    watched, bare = middle[WATCHED], middle[BARE]
    spread = {
        kind: [min(r["seconds"] for r in runs), max(r["seconds"] for r in runs)]
        for kind, runs in found.items()
    }
    costs = [(r["CPU of telling"] + r["CPU of reporting"], r["seconds"], r["CPU"]) for r in found[WATCHED]]
    of_seconds = 100 * statistics.median(cost / seconds for cost, seconds, _ in costs)
    of_cpu = 100 * statistics.median(cost / cpu for cost, _, cpu in costs)
    return {
        "median": middle,
        "seconds, lowest and highest": spread,
        "seconds, watched to bare": watched["seconds"] / bare["seconds"],
        "watching, percent of the load's seconds": of_seconds,
        "watching, percent of the load's CPU": of_cpu,
        "met": of_seconds <= LIMIT_PERCENT,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--work", nargs=4, help=argparse.SUPPRESS)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.serve:
        serve(chosen.serve)
    elif chosen.work:
        load, kind, folder, inbox = chosen.work
        print(json.dumps(work(load, kind, Path(folder), inbox)))
    else:
        text = json.dumps(measure(chosen.mib, chosen.runs), indent=2)
        print(text)
        if chosen.json:
            chosen.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
