"""Whether the operator stays up and comes to rest, by what it counts and writes itself; or is away."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.e2e.bed import SYSTEM, Bed, wait_until
from tests.e2e.films import Films

NO_RESYNC = {"api": {"resyncSeconds": 3600}}  # values: else a resync's reconciles may be taken for a loop
STILL_S = 4.0  # longer than a short back-off, shorter than the first long one


def read_metrics(bed: Bed) -> str:
    """What Prometheus would scrape."""
    with urllib.request.urlopen(f"http://127.0.0.1:{bed.health_port}/metrics", timeout=60) as answer:
        return str(answer.read().decode())


def log_lines(bed: Bed) -> list[dict[str, Any]]:
    """What the operator has logged; a line that is being written is left out."""
    return [json.loads(line) for line in bed.operator_log().rpartition("\n")[0].splitlines()]


def count_of(bed: Bed, metric: str) -> float:
    """The sum of a metric over all its labels."""
    lines = [
        line for line in read_metrics(bed).splitlines() if line.startswith((f"{metric}{{", f"{metric} "))
    ]
    return sum(float(line.rsplit(maxsplit=1)[1]) for line in lines)


def reconciles(bed: Bed) -> float:
    return count_of(bed, "wan_operator_reconcile_seconds_count")


def versions(films: Films) -> dict[str, str]:
    """The resourceVersion of each VideoGeneration of the namespace."""
    found = films.bed.api.list(films.path)
    return {item["metadata"]["name"]: item["metadata"]["resourceVersion"] for item in found}


def assert_at_rest(films: Films, timeout_s: float = 180) -> None:
    """Nothing is reconciled and nothing is written for a while: whatever was done about them is done."""
    assert_still(films, lambda: (versions(films), reconciles(films.bed)), timeout_s)


def assert_still(films: Films, state: Callable[[], object], timeout_s: float) -> None:
    """What `state` tells comes to stay as it is for a while."""

    def still() -> bool:
        before = state()
        time.sleep(STILL_S)
        return state() == before

    wait_until(still, timeout_s, lambda: f"it goes on: {films.bed.operator_log()[-2500:]}")


def restarts(bed: Bed) -> dict[str, int]:
    """How often the operator's container was started again, by pod."""
    return {
        pod["metadata"]["name"]: sum(s["restartCount"] for s in pod["status"].get("containerStatuses", []))
        for pod in bed.operator_pods()
    }


@contextmanager
def the_same_operator(bed: Bed) -> Iterator[None]:
    """It neither dies nor meets a bug of ours meanwhile."""
    before = restarts(bed)
    yield
    assert restarts(bed) == before, bed.operator_log()[-3000:]
    assert "a bug: please report it" not in bed.operator_log()


@contextmanager
def operator_away(bed: Bed) -> Iterator[None]:
    """Inside there is no operator."""
    scale = ("scale", "deployment/wan-operator", "-n", SYSTEM)
    bed.control.kubectl(*scale, "--replicas=0")
    try:
        wait_until(lambda: not bed.operator_pods(), 120, lambda: "the operator does not end")
        yield
    finally:
        bed.control.kubectl(*scale, "--replicas=1")
        bed.wait_for_operator()
