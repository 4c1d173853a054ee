"""It lands right: pods go where a good plan fits, and what fits nowhere waits with its reason."""

from __future__ import annotations

from tests.e2e.bed import Bed, Options, wait_until
from tests.e2e.films import BIG, Films, script
from tests.e2e.gpus import Join, gpu_node, h200, l4, l40s, shared

BED = Options(runner="scripted", namespaces=14)
EITHER = {**BIG, "frames": 49}  # in full on an H200; on an L4 by a plan that moves components to the host
SHORT = {**EITHER, "prompt": script({"seconds": 1})}
LONG = {**EITHER, "prompt": script({"seconds": 300})}
SERVER = "4Ti"  # of host memory: room for six offloading runners


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
    """One and the same attempt may run on either: without preferences they would be spread."""
    join(l4(count=6, memory=SERVER), l40s(count=6, memory=SERVER))
    many = {"model": "t2v-A14B", "prompt": script({"seconds": 3})}
    for number in range(6):
        films.apply(f"v{number}", **many)
    terms = films.wait_running_pod()["spec"]["affinity"]["nodeAffinity"]
    assert len(terms["preferredDuringSchedulingIgnoredDuringExecution"]) > 1
    nodes = [films.wait_end(f"v{number}", "Succeeded")["attempts"][0]["node"] for number in range(6)]
    assert nodes == ["l40s"] * 6


def test_when_the_better_gpu_is_busy_the_next_plan_runs_on_the_other(films: Films, join: Join) -> None:
    join(l4(), h200())
    films.apply("first", **LONG)
    films.wait("first", lambda s: s["attempts"][-1:] and s["attempts"][-1].get("node") == "h200")
    films.apply("second", **SHORT)
    status = films.wait_end("second", "Succeeded")
    assert status["attempts"][-1]["node"] == "l4"
    assert films.status("first")["phase"] == "Running"


def test_what_is_queued_for_a_busy_gpu_takes_another_that_joins(films: Films, join: Join) -> None:
    join(h200())
    films.apply("first", **LONG)
    films.wait_running_pod()
    films.apply("second", **SHORT)
    films.wait_reason("second", "Unschedulable")
    join(l4())
    status = films.wait_end("second", "Succeeded")
    assert status["attempts"][-1]["node"] == "l4"
    assert [a["outcome"] for a in status["attempts"]] == ["Cancelled", "Succeeded"]
    assert "component-offload" in status["attempts"][0]["message"]
    assert films.status("first")["phase"] == "Running"


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
    join(gpu_node("old", "Tesla-T4", 15360, "7.5"), gpu_node("small", "NVIDIA-RTX-4000", 20475, "8.9"))
    films.apply("patient", **SHORT)
    status = films.wait(
        "patient", lambda s: s["reason"] == "NoPlanFits" and "RTX-4000" in s["message"], what="why it waits"
    )
    assert status["phase"] == "Pending"
    assert "the largest GPU is NVIDIA-RTX-4000 with 20.0 GiB" in status["message"]
    assert "would fit with" in status["message"]
    assert all(rung["verdict"] == "Never" and rung["reason"] for rung in status["ladder"])
    assert not films.jobs()
    films.apply("explained", **SHORT, suspend=True)
    films.wait("explained", lambda s: s["phase"] == "Suspended" and s["ladder"][0]["verdict"] == "Never")
    join(h200())
    films.wait("explained", lambda s: s["ladder"][0]["verdict"] == "FitsNow", what="a ladder of today")
    assert films.wait_end("patient", "Succeeded")["attempts"][0]["node"] == "h200"


def test_a_node_that_is_cordoned_or_not_ready_is_no_place(films: Films, join: Join, bed: Bed) -> None:
    join(h200("cordoned"), h200("unready"))
    bed.control.kubectl("cordon", "cordoned")
    bed.kubelet.set_ready("unready", False)
    wait_until(lambda: is_cordoned(bed, "cordoned") and not is_ready(bed, "unready"), 60)
    films.apply("waits", **SHORT)
    status = films.wait(
        "waits",
        lambda s: "cordoned nodes" in s["message"] and "nodes that are not ready" in s["message"],
        what="both reasons",
    )
    assert (status["phase"], status["reason"]) == ("Pending", "NoPlanFits")
    bed.control.kubectl("uncordon", "cordoned")
    assert films.wait_end("waits", "Succeeded")["attempts"][0]["node"] == "cordoned"
    bed.control.kubectl("cordon", "cordoned")
    wait_until(lambda: is_cordoned(bed, "cordoned"), 60)
    films.apply("again", **SHORT)
    films.wait_reason("again", "NoPlanFits")
    bed.kubelet.set_ready("unready", True)
    assert films.wait_end("again", "Succeeded")["attempts"][0]["node"] == "unready"


def test_a_busy_cluster_queues_in_the_schedulers_own_words(films: Films, join: Join) -> None:
    join(h200())
    films.apply("first", **LONG)
    films.wait_running_pod()
    films.apply("second", **SHORT)
    status = films.wait_reason("second", "Unschedulable")
    assert status["phase"] == "Queued"
    films.wait("second", lambda s: "Insufficient nvidia.com/gpu" in s["message"], what="what is missing")
    wait_until(lambda: films.status("second")["message"] == scheduler_says(films), 60, lambda: "its words")
    films.delete("first")
    films.wait_end("second", "Succeeded")


def is_cordoned(bed: Bed, node: str) -> bool:
    return bool(bed.node(node)["spec"].get("unschedulable"))


def is_ready(bed: Bed, node: str) -> bool:
    conditions = bed.node(node)["status"]["conditions"]
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def scheduler_says(films: Films) -> str:
    """What the scheduler writes into the one pod that waits."""
    pending = [p for p in films.pods() if p["status"]["phase"] == "Pending"]
    told = [c for p in pending for c in p["status"].get("conditions", ()) if c["type"] == "PodScheduled"]
    return str(told[0].get("message")) if len(told) == 1 else f"{len(told)} pods wait"
