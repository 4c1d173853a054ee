"""A kept ladder is the one that would be built."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.wan_operator.worlds import GPU_NODES, NO_NODES, spec_of
from wan_core.plan.inventory import Gpu, Inventory, Node
from wan_core.plan.ladder import build_ladder
from wan_core.plan.request import UNREAD, Request, resolve_request
from wan_operator.ladders import LADDERS_MAX, _build, find_ladder

SMALL = Inventory(
    nodes=(Node(name="b", gpus=(Gpu(product="NVIDIA-L4", memory_gib=22),), host_memory_gib=64),),
    left_out=("cordoned nodes",),
)
FIELDS: list[dict[str, Any]] = [
    {},
    {"frames": 17},
    {"resolution": "480x480"},
    {"steps": 4},
    {"quality": "lossless"},
    {"guidance": {"scale": 1}},
    {"model": "wan-tiny"},
    {"model": "ti2v-5B"},
    {"model": "ti2v-5B", "image": "s3://a-bucket/a.png"},
    {"negativePrompt": "blurry", "seed": 7, "prompt": "a cat"},
]


def request_of(fields: dict[str, Any]) -> Request:
    return resolve_request(spec_of(**fields), "uid")


@given(
    st.lists(st.sampled_from(FIELDS), min_size=1, max_size=2),
    st.sampled_from([GPU_NODES, SMALL, NO_NODES]),
    st.sampled_from([(), ("NVIDIA-L4",)]),
)
@settings(max_examples=30)
def test_a_kept_ladder_equals_a_fresh_one(
    fields: list[dict[str, Any]], inventory: Inventory, products: tuple[str, ...]
) -> None:
    requests = [request_of(f) for f in fields]
    assert find_ladder(requests, inventory, products) == build_ladder(requests, inventory, products)


@pytest.mark.parametrize("field", sorted(UNREAD))
def test_what_no_plan_depends_on_makes_no_other_ladder(field: str) -> None:
    request = request_of({"model": "ti2v-5B", "image": "s3://a-bucket/a.png", "imageFit": "crop", "seed": 7})
    first = find_ladder([request], GPU_NODES)
    assert find_ladder([request.model_copy(update={field: UNREAD[field]})], GPU_NODES) is first


def test_no_more_are_kept_than_a_bounded_number() -> None:
    assert _build.cache_parameters()["maxsize"] == LADDERS_MAX
