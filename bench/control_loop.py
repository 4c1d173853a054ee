"""How fast the operator is: bursts, a steady stream, a restart, and whole lives, on the process cluster.

Real etcd, API server, controllers, scheduler and operator (the chart's Deployment with the chart's rights);
attempts are simulated by the test bed's kubelet, which does what a kubelet writes and runs nothing. All of it
shares this machine, so a figure is that of the whole, not of the operator alone.

A burst ends with a restart of the operator.

    python -m bench.control_loop [burst] [steady] [through] [--resources N] [--minutes M]
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import psutil
from prometheus_client.parser import text_string_to_metric_families

from tests.controlplane.client import Api, ApiError
from tests.controlplane.commands import Options as Settings
from tests.controlplane.kubelet import NodeSpec, Simulation
from tests.e2e.bed import SYSTEM, Bed, Options, start_bed
from tests.e2e.gpus import h200

METADATA_ONLY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
SPEC = {"model": "ti2v-5B", "prompt": "A corgi surfing at sunset"}
CREATORS = 8  # threads that create resources
LONG_S, SHORT_S = 3600.0, 0.5  # how long a simulated attempt takes
NODES, GPUS = 125, 8
LIMIT_S = 1200
STILL_S = 10


class Metadata(Api):
    """A client that is sent metadata only: the bench shall cost little."""

    def _headers(self, content_type: str) -> dict[str, str]:
        return {**super()._headers(content_type), "Accept": METADATA_ONLY}


@dataclass
class JobWatch:
    """When the first Job of each resource was seen, by the resource's uid; and how many Jobs each got."""

    bed: Bed
    namespace: str
    seen: dict[str, float] = field(default_factory=dict)
    jobs: dict[str, set[str]] = field(default_factory=dict)

    def follow(self) -> None:
        api = Metadata(self.bed.control.url, self.bed.control.ca, self.bed.api.token, timeout_s=300)
        path = f"/apis/batch/v1/namespaces/{self.namespace}/jobs"
        version = ""
        while True:
            try:
                for event in api.watch(path, version, timeout_s=300):
                    metadata = event["object"]["metadata"]
                    version = metadata["resourceVersion"]
                    if event["type"] == "ADDED":
                        uid = metadata["labels"]["wan.video/uid"]
                        self.seen.setdefault(uid, time.monotonic())
                        self.jobs.setdefault(uid, set()).add(metadata["uid"])
            except (ApiError, OSError):
                version = ""


@dataclass
class Operator:
    """The operator's process: its memory and what its metrics say."""

    bed: Bed

    @property
    def process(self) -> psutil.Process:
        (pod,) = self.bed.operator_pods()
        pids = self.bed.kubelet.processes(f"{SYSTEM}/{pod['metadata']['name']}")
        return psutil.Process(max(pids, key=lambda pid: psutil.Process(pid).memory_info().rss))

    def peak_mib(self) -> float:
        """VmHWM: the largest resident size so far."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        (line,) = (line for line in lines if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024

    def cpu_s(self) -> float:
        times = self.process.cpu_times()
        return float(times.user + times.system)

    def sample(self, name: str) -> Mapping[tuple[str, ...], float]:
        """The values of one metric, by its label values."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.bed.health_port}/metrics", timeout=30) as answer:
            text = answer.read().decode()
        return {
            tuple(sample.labels.values()): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name
        }

    def phases(self) -> dict[str, int]:
        """How many resources are in each phase."""
        found: dict[str, int] = {}
        for (phase, _), count in self.sample("wan_operator_resources").items():
            found[phase] = found.get(phase, 0) + int(count)
        return found

    def queue_depth(self) -> int:
        return int(self.sample("wan_operator_queue_depth")[()])


def create(bed: Bed, namespace: str, names: Sequence[str], pace_s: float = 0) -> dict[str, float]:
    """Create a resource a name, `pace_s` apart or as fast as it goes; the time of each by its uid."""
    path = f"/apis/wan.video/v1alpha1/namespaces/{namespace}/videogenerations"
    began = time.monotonic()

    def one(indexed: tuple[int, str]) -> tuple[str, float]:
        index, name = indexed
        time.sleep(max(0.0, began + index * pace_s - time.monotonic()))
        document = {
            "apiVersion": "wan.video/v1alpha1",
            "kind": "VideoGeneration",
            "metadata": {"name": name},
            "spec": SPEC,
        }
        sent = time.monotonic()
        return bed.api.create(path, document)["metadata"]["uid"], sent

    with ThreadPoolExecutor(CREATORS) as pool:
        return dict(pool.map(one, enumerate(names)))


def watch_jobs(bed: Bed, namespace: str) -> JobWatch:
    watch = JobWatch(bed, namespace)
    threading.Thread(target=watch.follow, daemon=True).start()
    return watch


def burst(folder: Path, count: int) -> dict[str, object]:
    """`count` resources at once, until each has a Job and a status that says so."""
    with start_bed(folder, options(LONG_S)) as bed:
        operator, namespace = Operator(bed), bed.take_namespace()
        watch = watch_jobs(bed, namespace)
        began = time.monotonic()
        created = create(bed, namespace, [f"v{i}" for i in range(count)])
        created_s = time.monotonic() - began
        wait_for(lambda: len(watch.seen) >= count)
        jobs_s = time.monotonic() - began
        wait_for(lambda: told(operator) >= count)
        told_s = time.monotonic() - began
        figures = {
            "resources": count,
            "created_s": round(created_s, 1),
            "all_jobs_s": round(jobs_s, 1),
            "all_jobs_and_statuses_s": round(told_s, 1),
            "operator_peak_mib": round(operator.peak_mib()),
            "operator_cpu_s": round(operator.cpu_s(), 1),
            **spread([watch.seen[uid] - sent for uid, sent in created.items()]),
            **lost_or_doubled(watch, created),
        }
        return figures | {"restart": measure_restart(bed, operator, watch, created)}


def measure_restart(
    bed: Bed, operator: Operator, watch: JobWatch, created: Mapping[str, float]
) -> dict[str, object]:
    """Once nothing is written any more, SIGKILL the operator; until the next one has looked at every resource
    and has nothing left to do.
    """
    rest = time.monotonic()
    wait_for(lambda: at_rest(operator))
    rest_s = time.monotonic() - rest
    operator.process.kill()
    began = time.monotonic()
    time.sleep(1)
    count = len(created)
    wait_for(lambda: reconciled(operator) >= count and operator.queue_depth() == 0)
    return {
        "at_rest_after_s": round(rest_s, 1),
        "all_reconciled_s": round(time.monotonic() - began, 1),
        "operator_peak_mib": round(operator.peak_mib()),
        **lost_or_doubled(watch, created),
    }


def steady(folder: Path, minutes: float, rate: float = 20) -> dict[str, object]:
    """`rate` resources a second for so long: from the request's sending to the Job's sight."""
    with start_bed(folder, options(LONG_S)) as bed:
        operator, namespace = Operator(bed), bed.take_namespace()
        watch = watch_jobs(bed, namespace)
        count = int(rate * minutes * 60)
        created = create(bed, namespace, [f"v{i}" for i in range(count)], 1 / rate)
        wait_for(lambda: len(watch.seen) >= count)
        return {
            "resources": count,
            "rate": rate,
            **spread([watch.seen[uid] - sent for uid, sent in created.items()]),
            "operator_peak_mib": round(operator.peak_mib()),
            **lost_or_doubled(watch, created),
        }


def through(folder: Path, count: int) -> dict[str, object]:
    """`count` resources at once through to Succeeded, on as many GPUs as the cluster has."""
    with start_bed(folder, options(SHORT_S)) as bed:
        operator, namespace = Operator(bed), bed.take_namespace()
        watch = watch_jobs(bed, namespace)
        began = time.monotonic()
        created = create(bed, namespace, [f"v{i}" for i in range(count)])
        wait_for(lambda: operator.phases().get("Succeeded", 0) >= count)
        seconds = time.monotonic() - began
        return {
            "resources": count,
            "all_succeeded_s": round(seconds, 1),
            "per_s": round(count / seconds, 1),
            "operator_peak_mib": round(operator.peak_mib()),
            "operator_cpu_s": round(operator.cpu_s(), 1),
            **lost_or_doubled(watch, created),
        }


def options(duration_s: float) -> Options:
    nodes: list[NodeSpec] = [NodeSpec("system")]
    nodes += [h200(f"gpu-{i}", count=GPUS, memory="2Ti") for i in range(NODES)]
    values = {"cache": {"type": "emptyDir"}}  # else each node runs a pod that makes the cache's folder
    return Options(
        nodes,
        "scripted",
        values,
        namespaces=1,
        simulation=Simulation(duration_s),
        control_plane=Settings(audit=False),
    )


def told(operator: Operator) -> int:
    """Resources whose status says that an attempt was made."""
    phases = operator.phases()
    return sum(phases.values()) - phases.get("Pending", 0)


def at_rest(operator: Operator) -> bool:
    """Whether it writes no status for `STILL_S`."""

    def written() -> float:
        calls = operator.sample("wan_operator_reconcile_seconds_count")
        return sum(count for labels, count in calls.items() if "written" in labels)

    before = written()
    time.sleep(STILL_S)
    return written() == before


def reconciled(operator: Operator) -> int:
    """How many reconciles this operator has done."""
    try:
        return int(sum(operator.sample("wan_operator_reconcile_seconds_count").values()))
    except OSError:
        return 0  # it is not up yet


def wait_for(ask: Callable[[], bool]) -> None:
    """Asks twice a second: each scrape costs the operator time. Raises TimeoutError after `LIMIT_S`."""
    deadline = time.monotonic() + LIMIT_S
    while not ask():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {LIMIT_S} s")
        time.sleep(0.5)


def spread(seconds: Sequence[float]) -> dict[str, float]:
    """Median and 99th percentile of the time from a resource's creation to its Job."""
    cuts = statistics.quantiles(seconds, n=100)
    return {"to_job_p50_s": round(cuts[49], 3), "to_job_p99_s": round(cuts[98], 3)}


def lost_or_doubled(watch: JobWatch, created: Mapping[str, float]) -> dict[str, int]:
    """Resources without a Job, and those with more than one."""
    return {
        "lost": sum(uid not in watch.jobs for uid in created),
        "doubled": sum(len(jobs) > 1 for jobs in watch.jobs.values()),
    }


def main() -> None:
    """Run the named parts and print one JSON line each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=["burst", "steady", "through", []], default=[])
    parser.add_argument("--resources", type=int, default=10_000)
    parser.add_argument("--minutes", type=float, default=5)
    given = parser.parse_args()
    runs: dict[str, Callable[[Path], dict[str, object]]] = {
        "burst": lambda folder: burst(folder, given.resources),
        "steady": lambda folder: steady(folder, given.minutes),
        "through": lambda folder: through(folder, min(given.resources, 2000)),
    }
    machine = {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "cores": psutil.cpu_count(),
        "cpu": platform.machine(),
    }
    for part in given.parts or runs:
        with tempfile.TemporaryDirectory(prefix="control-loop-") as folder:
            print(json.dumps({"part": part, **machine, **runs[part](Path(folder))}), flush=True)


if __name__ == "__main__":
    main()
