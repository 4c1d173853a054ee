"""The extended resource that stands for one GPU, and what follows from its name. Pure.

Runners ask for one resource, the administrator's choice; GPUs that a node offers as another are left out and
said so. Slices of the MIG strategy `mixed` are such resources, each with labels of its own name; those of
AMD's node labeller tell no memory as a number, so that the catalogue has to know the product.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

NVIDIA = "nvidia.com/gpu"
AMD = "amd.com/gpu"
# Device plugins of NVIDIA (renamed where shared; MIG mixed), AMD (whole and cut), Intel and Habana.
GPU_RESOURCE = re.compile(
    r"nvidia\.com/(?:gpu(?:\.shared)?|mig-.+)|amd\.com/.+|gpu\.intel\.com/(?:i915|xe)|habana\.ai/gaudi.*"
)
MIG = re.compile(r"nvidia\.com/mig-(?P<profile>[^/]+)")
# Fields of `NodeLabels` that GPU Feature Discovery writes for each resource, and the ends of their names.
OWN_LABELS: Mapping[str, str] = {
    "memoryMib": "memory",
    "product": "product",
    "count": "count",
    "sharingStrategy": "sharing-strategy",
    "replicas": "replicas",
}
NO_LABELS = dict.fromkeys((*OWN_LABELS, "computeMajor", "computeMinor"), "")


def name_labels(resource: str) -> Mapping[str, str]:
    """The node labels that tell of a resource, by field of `NodeLabels`; none where they are its defaults."""
    if MIG.fullmatch(resource):
        return {field: f"{resource}.{end}" for field, end in OWN_LABELS.items()}
    if resource.startswith("amd.com/"):
        return NO_LABELS | {"product": f"{AMD}.product-name"}
    return {}


def taint_key(resource: str) -> str:
    """The taint that keeps others off nodes with these GPUs: for slices it is that of whole cards."""
    for whole in (NVIDIA, AMD):
        if resource.startswith(whole.split("/")[0] + "/"):
            return whole
    return resource


def list_others(offered: Iterable[str], resource: str) -> list[str]:
    """The GPUs among the resources that a node offers, but for those that runners ask for."""
    return sorted(name for name in offered if name != resource and GPU_RESOURCE.fullmatch(name))
