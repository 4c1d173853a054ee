"""How long explaining one request takes, by how many nodes there are: medians, no ladder kept between runs.

What is timed: from nodes as the API server lists them, parsed, to an inventory; from that to a ladder; and a
ladder from an inventory that nobody reduced. Not timed: listing, and what calls it.

    python -m bench.planning.ladder [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from wan_core.api.spec import Spec
from wan_core.catalog.gpus import GPUS
from wan_core.catalog.models import MODELS
from wan_core.plan.inventory import Gpu, Inventory, Node
from wan_core.plan.ladder import build_ladder
from wan_core.plan.request import Request, fill_request
from wan_core.plan.rungs import Ladder
from wan_operator.cluster.nodes import build_inventory, read_node
from wan_operator.cluster.pods import PodFacts
from wan_operator.cluster.settings import ClusterSettings

COUNTS = (100, 1_000, 10_000)
KINDS = 20
GPUS_A_NODE = 8
REPEATS = 9
CARDS = [card for card in GPUS if card.vendor == "NVIDIA" and card.compute_capability is not None][:KINDS]
HOSTS_GIB = (64, 128, 256, 512)
GIB = 2**30
SETTINGS = {
    "namespaces": ["wan-video"],
    "weights": "s3://weights",
    "output": "s3://videos",
    "runner": {"image": "runner:1"},
    "report": {"url": "http://operator/v1/progress"},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="where to write the figures too")
    given = parser.parse_args()
    rows = [row for count in COUNTS for row in measure(count)]
    for row in rows:
        times = f"{row['wall_ms']:8.1f} ms, {row['cpu_ms']:8.1f} of CPU"
        print(f"{row['nodes']:>6} nodes  {row['what']:<44} {times}")
    if given.json is not None:
        given.json.write_text(json.dumps({"python": platform.python_version(), "rows": rows}, indent=1))


def measure(count: int) -> list[dict[str, Any]]:
    """One row for each thing timed."""
    settings = ClusterSettings.model_validate(SETTINGS)
    documents = [node_document(index) for index in range(count)]
    facts = [fact for d in documents if (fact := read_node(d, settings.inventory)) is not None]
    pods = [pod_facts(index) for index in range(count)]
    inventory = build_inventory(facts, pods, settings)
    whole = whole_inventory(count)
    timed: dict[str, Callable[[], object]] = {
        "nodes read from documents": lambda: [read_node(d, settings.inventory) for d in documents],
        "inventory from nodes and their pods": lambda: build_inventory(facts, pods, settings),
        "ladder from that inventory": lambda: build(inventory, "t2v-A14B"),
        "both": lambda: build(build_inventory(facts, pods, settings), "t2v-A14B"),
        "ladder, inventory not reduced": lambda: build(whole, "t2v-A14B"),
        "the same, and two fallback models": lambda: build(whole, *MODEL_IDS),
        "three models on GPUs that are not there": lambda: build(whole, *MODEL_IDS, products=("T4",)),
    }
    return [{"nodes": count, "what": what, **measure_call(call)} for what, call in timed.items()]


def measure_call(call: Callable[[], object]) -> dict[str, float]:
    """Medians in milliseconds, of the wall's clock and the process's; the first run does not count."""
    call()
    wall, cpu = [], []
    for _ in range(REPEATS):
        began, used = time.perf_counter(), time.process_time()
        call()
        wall.append(time.perf_counter() - began)
        cpu.append(time.process_time() - used)
    return {"wall_ms": 1000 * statistics.median(wall), "cpu_ms": 1000 * statistics.median(cpu)}


MODEL_IDS = ("t2v-A14B", "ti2v-5B", "t2v-1.3B")


def build(inventory: Inventory, *models: str, products: tuple[str, ...] = ()) -> Ladder:
    return build_ladder([request_of(model) for model in models], inventory, products)


def request_of(model: str) -> Request:
    return fill_request(MODELS[model], Spec(model=model, prompt="a corgi", quality="near"), "uid")


def whole_inventory(count: int) -> Inventory:
    """Every GPU of every node told apart, and each with another amount free."""
    return Inventory(nodes=tuple(_node(index) for index in range(count)))


def _node(index: int) -> Node:
    card, host = CARDS[index % KINDS], HOSTS_GIB[index % KINDS % len(HOSTS_GIB)]
    gpus = tuple(
        Gpu(
            product=f"NVIDIA-{card.name.replace(' ', '-')}",
            memory_gib=card.memory_gib,
            free_gib=card.memory_gib * ((index * 7 + slot * 3) % 11) / 10 % card.memory_gib,
            compute_capability=card.compute_capability,
        )
        for slot in range(GPUS_A_NODE)
    )
    free = host * (index * 5 % 97) / 97
    return Node(name=f"node-{index:05}", gpus=gpus, host_memory_gib=host, host_free_gib=free)


def node_document(index: int) -> dict[str, Any]:
    """A node as the API server tells it, as far as anybody here reads it."""
    card, host = CARDS[index % KINDS], HOSTS_GIB[index % KINDS % len(HOSTS_GIB)]
    major, minor = card.compute_capability or (0, 0)
    labels = {
        "kubernetes.io/hostname": f"node-{index:05}",
        "nvidia.com/gpu.product": f"NVIDIA-{card.name.replace(' ', '-')}",
        "nvidia.com/gpu.memory": str(card.memory_mib),
        "nvidia.com/gpu.count": str(GPUS_A_NODE),
        "nvidia.com/gpu.replicas": "1",
        "nvidia.com/gpu.sharing-strategy": "none",
        "nvidia.com/gpu.compute.major": str(major),
        "nvidia.com/gpu.compute.minor": str(minor),
    }
    allocatable = {"cpu": "96", "memory": f"{host * GIB}", "nvidia.com/gpu": str(GPUS_A_NODE)}
    return {
        "metadata": {"name": f"node-{index:05}", "labels": labels},
        "spec": {},
        "status": {"allocatable": allocatable, "conditions": [{"type": "Ready", "status": "True"}]},
    }


def pod_facts(index: int) -> PodFacts:
    """A pod that takes some of its node's GPUs and memory."""
    card_host = HOSTS_GIB[index % KINDS % len(HOSTS_GIB)]
    return PodFacts(
        namespace="other",
        name=f"pod-{index}",
        uid=f"uid-{index}",
        node=f"node-{index:05}",
        gpus=index % (GPUS_A_NODE + 1),
        memory=card_host * GIB * (index % 13) // 16,
        cpu=1000,
    )


if __name__ == "__main__":
    main()
