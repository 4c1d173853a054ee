"""Requests, cards and inventories that the planner's tests share."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from wan_core.api.spec import Spec
from wan_core.catalog.gpus import GPUS
from wan_core.catalog.models import MODELS
from wan_core.plan.inventory import Gpu, Inventory, Node
from wan_core.plan.request import Request, fill_request

UID = "0b1d7a52-5f0a-4d4e-9a57-0c2f8c1f7a11"

# Small enough to count by hand: two experts, an odd patch, a plain VAE.
SMALL = replace(
    MODELS["wan-tiny"],
    id="small",
    transformer=replace(
        MODELS["wan-tiny"].transformer, dim=8, ffn_dim=16, heads=2, layers=3, text_dim=4, freq_dim=6
    ),
    vae=replace(MODELS["wan-tiny"].vae, base_dim=4, decoder_base_dim=4, parameters=1000),
    text_encoder=replace(MODELS["wan-tiny"].text_encoder, parameters=500),
)

MEMORY = {
    "NVIDIA-GeForce-RTX-4090": 24564 / 1024,
    "NVIDIA-H100-80GB-HBM3": 81559 / 1024,
    "NVIDIA-H200": 143771 / 1024,
    "NVIDIA-L4": 23034 / 1024,
    "Tesla-T4": 15360 / 1024,
}
assert {round(gib * 1024) for gib in MEMORY.values()} <= {card.memory_mib for card in GPUS}


def spec_of(model: str, **fields: Any) -> Spec:
    image = {"image": "s3://inputs/a.png"} if model in MODELS and MODELS[model].needs_image else {}
    return Spec(**{"model": model, "prompt": "a red circle moving right", **image, **fields})


def request_of(model: str, **fields: Any) -> Request:
    return fill_request(MODELS[model], spec_of(model, **fields), UID)


def node_of(
    *products: str, host_gib: float = 256, name: str = "node-1", free_gib: float | None = None
) -> Node:
    gpus = tuple(Gpu(product=p, memory_gib=MEMORY.get(p, 8.0), free_gib=free_gib) for p in products)
    return Node(name=name, gpus=gpus, host_memory_gib=host_gib)


def inventory_of(*products: str, host_gib: float = 256, free_gib: float | None = None) -> Inventory:
    return Inventory(nodes=(node_of(*products, host_gib=host_gib, free_gib=free_gib),))
