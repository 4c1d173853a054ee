"""Requests and inventories as hypothesis draws them."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.wan_core.plan.worlds import request_of
from wan_core.catalog.models import MODELS
from wan_core.plan.inventory import Gpu, Inventory, Node
from wan_core.plan.request import Request

RUNNABLE = [card for card in MODELS.values() if not card.cannot_run]
GIB = st.floats(0.5, 200, allow_nan=False)


@st.composite
def requests(draw: st.DrawFn, ids: tuple[str, ...] = tuple(c.id for c in RUNNABLE)) -> Request:
    card = MODELS[draw(st.sampled_from(ids))]
    sides = card.defaults.width, card.defaults.height
    width, height = draw(st.sampled_from([sides, sides[::-1], (card.stride * 4, card.stride * 2)]))
    frames = 1 + 4 * draw(st.integers(0, (card.frame_rule.most - 1) // 4))
    quality = draw(st.sampled_from(["lossless", "near"]))
    return request_of(card.id, resolution=f"{width}x{height}", frames=frames, quality=quality)


@st.composite
def gpus(draw: st.DrawFn) -> Gpu:
    total = draw(GIB)
    free = draw(st.none() | st.floats(0, 1))
    product = draw(st.sampled_from(["new-card", "NVIDIA-H200", "NVIDIA-L4", "NVIDIA-GeForce-RTX-4090"]))
    return Gpu(product=product, memory_gib=total, free_gib=None if free is None else free * total)


@st.composite
def nodes(draw: st.DrawFn) -> Node:
    cards = tuple(draw(st.lists(gpus(), max_size=2)))
    return Node(name=draw(st.sampled_from("abc")), gpus=cards, host_memory_gib=draw(GIB))


inventories = st.builds(lambda found: Inventory(nodes=tuple(found)), st.lists(nodes(), max_size=3))


def empty_of(inventory: Inventory) -> Inventory:
    """With nothing running on it."""

    def empty(node: Node) -> Node:
        free = tuple(gpu.model_copy(update={"free_gib": None}) for gpu in node.gpus)
        return node.model_copy(update={"gpus": free, "host_free_gib": None})

    return Inventory(nodes=tuple(map(empty, inventory.nodes)))
