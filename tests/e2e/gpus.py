"""GPU nodes as GPU Feature Discovery labels them; memory in MiB as the catalogue of cards has it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tests.controlplane.kubelet import NodeSpec

GPU = "nvidia.com/gpu"
Join = Callable[..., None]  # what the fixture of that name gives: these nodes join the cluster


def gpu_node(name: str, product: str, memory_mib: int, capability: str = "9.0", **more: object) -> NodeSpec:
    """A node with GPUs of one product. `count`, `memory` (host) and `labels` may be given."""
    major, minor = capability.split(".")
    count = str(more.get("count", 1))
    given = more.get("labels", {})
    assert isinstance(given, Mapping)
    labels = {
        f"{GPU}.memory": str(memory_mib),
        f"{GPU}.product": product,
        f"{GPU}.count": count,
        f"{GPU}.compute.major": major,
        f"{GPU}.compute.minor": minor,
        f"{GPU}.sharing-strategy": "none",
        f"{GPU}.replicas": "1",
        **given,
    }
    return NodeSpec(name, labels, memory=str(more.get("memory", "512Gi")), resources={GPU: count})


def h200(name: str = "h200", **more: object) -> NodeSpec:
    return gpu_node(name, "NVIDIA-H200", 143771, "9.0", **more)


def l4(name: str = "l4", **more: object) -> NodeSpec:
    return gpu_node(name, "NVIDIA-L4", 23034, "8.9", **more)


def l40s(name: str = "l40s", **more: object) -> NodeSpec:
    return gpu_node(name, "NVIDIA-L40S", 46068, "8.9", **more)


def shared(node: NodeSpec, replicas: int = 4) -> NodeSpec:
    """The same node with its cards time-sliced: the memory label still tells the whole card's."""
    labels = {
        **node.labels,
        f"{GPU}.product": f"{node.labels[f'{GPU}.product']}-SHARED",
        f"{GPU}.sharing-strategy": "time-slicing",
        f"{GPU}.replicas": str(replicas),
    }
    return NodeSpec(node.name, labels, node.cpu, node.memory, node.pods, {GPU: str(replicas)})
