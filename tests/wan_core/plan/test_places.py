"""What fits is found from the few places that no other one beats."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wan_core.plan.worlds import inventory_of, node_of
from wan_core.plan.inventory import Gpu, Inventory, Node
from wan_core.plan.memory import MemoryEstimate
from wan_core.plan.places import Place, allow, find_places, fits_empty, fits_now, suited, survey
from wan_core.plan.techniques import Plan

L4, T4, ARC = "NVIDIA-L4", "Tesla-T4", "Intel Arc B580"
GIB = st.sampled_from([1.0, 2.0, 4.0, 8.0])
SHARE = st.none() | st.sampled_from([0.0, 0.25, 0.5, 1.0])

gpus = st.builds(
    lambda product, size, share: Gpu(product=product, memory_gib=size, free_gib=share and share * size),
    st.sampled_from([L4, T4, "new"]),
    GIB,
    SHARE,
)
nodes = st.builds(
    lambda name, cards, host, share, only: Node(
        name=name,
        gpus=tuple(cards),
        host_memory_gib=host,
        host_free_gib=share and share * host,
        gpu_only=only,
    ),
    st.sampled_from("abcd"),
    st.lists(gpus, max_size=3),
    GIB,
    SHARE,
    st.booleans(),
)
inventories = st.lists(nodes, max_size=8).map(lambda found: Inventory(nodes=tuple(found)))
needs = st.builds(
    lambda device, host: MemoryEstimate.model_construct(
        text_gib=device, denoise_gib=device, decode_gib=device, host_gib=host
    ),
    st.floats(0, 8),
    st.floats(0, 8),
)


def every_place(inventory: Inventory) -> list[Place]:
    """Each device by itself: nothing is left out."""
    alone = [
        node.model_copy(update={"gpus": (gpu,), "gpu_only": True})
        for node in inventory.nodes
        for gpu in node.gpus
    ]
    bare = [node.model_copy(update={"gpus": ()}) for node in inventory.nodes]
    return [place for node in (*alone, *bare) for place in find_places(Inventory(nodes=(node,)))]


@given(inventories, needs)
def test_what_fits_somewhere_fits_an_unbeaten_place_of_that_kind(
    inventory: Inventory, need: MemoryEstimate
) -> None:
    for fits in (fits_now, fits_empty):
        whole = {(p.kind, p.product, p.capability) for p in every_place(inventory) if fits(need, p)}
        assert whole == {(p.kind, p.product, p.capability) for p in find_places(inventory) if fits(need, p)}


@given(inventories)
def test_of_a_kind_no_place_beats_another(inventory: Inventory) -> None:
    places = find_places(inventory)
    assert len(set(places)) == len(places)
    for one in places:
        for other in places:
            kind = [(p.kind, p.product, p.total_gib if p.kind != "cpu" else 0) for p in (one, other)]
            room = [(p.host_total_gib, p.free_gib, p.host_free_gib) for p in (one, other)]
            beaten = kind[0] == kind[1] and all(a >= b for a, b in zip(*room, strict=True))
            assert one is other or not beaten


def test_a_thousand_equal_nodes_are_one_place() -> None:
    nodes = tuple(node_of(L4, L4, name=f"node-{i:03}") for i in range(1000))
    places = find_places(Inventory(nodes=nodes))
    assert [(p.kind, p.node) for p in places] == [("cuda", "node-000"), ("cpu", "node-000")]


@pytest.mark.parametrize(
    ("asked", "left"),
    [
        pytest.param([], {L4, T4, "cpu"}, id="nothing"),
        pytest.param(["nvidia l4"], {L4}, id="as the driver spells it"),
        pytest.param(["NVIDIA-L4-SHARED", T4], {L4, T4}, id="as a label of shared GPUs has it"),
        pytest.param(["NVIDIA-L40"], set(), id="another product"),
    ],
)
def test_what_a_request_allows_is_left(asked: list[str], left: set[str]) -> None:
    ground = survey(inventory_of(L4, T4), asked)
    assert {p.product for p in ground.places} == left
    assert set(ground.places) | set(ground.barred) == set(find_places(inventory_of(L4, T4)))
    assert allow(find_places(inventory_of(L4, T4)), asked) == ground.places


@pytest.mark.parametrize(
    ("device", "precision", "products"),
    [
        ("cuda", "bf16", {L4, "new"}),
        ("cuda", "fp32", {T4}),
        ("cpu", "bf16", {"cpu"}),
    ],
)
def test_a_plan_is_for_the_places_with_what_it_needs(device: str, precision: str, products: set[str]) -> None:
    plan = Plan.model_validate({"model": "wan-tiny", "device": device, "techniques": [precision, "resident"]})
    places = find_places(inventory_of(L4, T4, "new", ARC))
    assert {p.product for p in suited(plan, places)} == products
