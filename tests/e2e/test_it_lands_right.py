"""It lands right: pods go where a good plan fits, and what fits nowhere waits with its reason."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.controlplane.kubelet import NodeSpec
from tests.e2e.bed import Bed, Options
from tests.e2e.films import BIG, Films, script
from tests.e2e.gpus import gpu_node, h200, l4, shared

BED = Options(runner="scripted", namespaces=10)
SHORT = {**BIG, "prompt": script({"seconds": 1})}
Join = Callable[..., None]


@pytest.fixture
def join(bed: Bed) -> Iterator[Join]:
    """Nodes join the cluster for one test."""
    names: list[str] = []

    def add(*nodes: NodeSpec) -> None:
        for node in nodes:
            bed.kubelet.add_node(node)
            names.append(node.name)

    yield add
    for name in names:
        bed.kubelet.remove_node(name)


def test_the_pod_goes_where_the_better_plan_fits(films: Films, join: Join) -> None:
    join(l4(), h200())
    films.apply("where", **SHORT)
    status = films.wait_end("where", "Succeeded")
    attempt = status["attempts"][0]
    assert attempt["node"] == "h200"
    best = status["ladder"][0]
    assert best["verdict"] == "FitsNow"
    assert attempt["plan"] == best["plan"]


def test_six_videos_prefer_the_better_gpus_over_and_over(films: Films, join: Join) -> None:
    join(l4(count=6), h200(count=6))
    for number in range(6):
        films.apply(f"v{number}", **SHORT)
    nodes = [films.wait_end(f"v{number}", "Succeeded")["attempts"][0]["node"] for number in range(6)]
    assert nodes == ["h200"] * 6


def test_when_the_better_gpu_is_busy_the_next_plan_runs_on_the_other(films: Films, join: Join) -> None:
    join(l4(), h200())
    films.apply("first", **{**BIG, "prompt": script({"seconds": 60})})
    films.wait("first", lambda s: s["attempts"][-1:] and s["attempts"][-1].get("node") == "h200")
    films.apply("second", **SHORT)
    assert films.wait_end("second", "Succeeded")["attempts"][0]["node"] == "l4"


def test_shared_gpus_are_left_alone(films: Films, join: Join) -> None:
    join(shared(h200()), l4())
    films.apply("alone", **SHORT)
    status = films.wait_end("alone", "Succeeded")
    assert status["attempts"][0]["node"] == "l4"


def test_only_the_gpus_that_the_user_names_are_taken(films: Films, join: Join) -> None:
    join(l4(), h200())
    films.apply("picky", **SHORT, scheduling={"gpuProducts": ["NVIDIA L4"]})
    assert films.wait_end("picky", "Succeeded")["attempts"][0]["node"] == "l4"


def test_what_fits_nowhere_waits_with_its_numbers_and_runs_when_a_node_joins(
    films: Films, join: Join
) -> None:
    join(gpu_node("small", "NVIDIA-T4", 15360, "7.5"))
    films.apply("patient", **SHORT)
    status = films.wait_reason("patient", "NoPlanFits", timeout_s=20)
    assert status["phase"] == "Pending"
    assert "GiB" in status["message"] or "bf16" in status["message"]
    assert all(rung["verdict"] == "Never" and rung["reason"] for rung in status["ladder"])
    assert not films.jobs()
    join(h200())
    films.wait_end("patient", "Succeeded")


def test_a_node_that_is_cordoned_or_not_ready_is_no_place(films: Films, join: Join, bed: Bed) -> None:
    join(h200())
    bed.control.kubectl("cordon", "h200")
    films.apply("waits", **SHORT)
    films.wait_reason("waits", "NoPlanFits", timeout_s=20)
    bed.control.kubectl("uncordon", "h200")
    films.wait_end("waits", "Succeeded")


def test_a_busy_cluster_queues_in_the_schedulers_own_words(films: Films, join: Join) -> None:
    join(h200())
    films.apply("first", **{**BIG, "prompt": script({"seconds": 8})})
    films.wait_phase("first", "Running", "Starting", "Loading")
    films.apply("second", **SHORT)
    status = films.wait_phase("second", "Queued")
    assert status["reason"] == "Unschedulable"
    assert "Insufficient nvidia.com/gpu" in status["message"]
    films.wait_end("second", "Succeeded")
