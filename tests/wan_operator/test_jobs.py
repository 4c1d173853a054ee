"""Names and places of attempts."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from tests.wan_operator.worlds import rungs_of, world_of
from wan_core.api.status import Metadata
from wan_core.plan.asked import build_requests
from wan_core.plan.choose import Exclusion
from wan_operator.jobs import build_task, job_name, output_prefix

LABEL = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?"
metadata = st.builds(
    Metadata,
    name=st.from_regex(rf"{LABEL}(\.{LABEL})*", fullmatch=True).filter(lambda name: len(name) <= 253),
    namespace=st.just("videos"),
    uid=st.uuids().map(str),
)


@given(metadata=metadata, number=st.integers(1, 10**6))
def test_a_job_name_is_a_dns_label(metadata: Metadata, number: int) -> None:
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", job_name(metadata, number))


@given(one=metadata, other=metadata, numbers=st.tuples(st.integers(1, 999), st.integers(1, 999)))
def test_attempts_of_different_resources_or_numbers_have_different_names(
    one: Metadata, other: Metadata, numbers: tuple[int, int]
) -> None:
    first, second = job_name(one, numbers[0]), job_name(other, numbers[1])
    assert (first == second) == (numbers[0] == numbers[1] and one.uid == other.uid and one.name == other.name)


def test_a_recreated_resource_writes_elsewhere() -> None:
    places = {output_prefix(Metadata(name="corgi", uid=uid), "s3://v/", n) for uid in "ab" for n in (1, 2)}
    assert places == {f"s3://v/default/{uid}/{n}/" for uid in "ab" for n in (1, 2)}


def test_a_task_carries_the_requests_and_exclusions_of_its_rungs_only() -> None:
    world = world_of(model="t2v-A14B", fallback={"models": ["t2v-1.3B"]})
    assert world.spec is not None
    requests = build_requests(world.spec, world.metadata.uid)
    rungs = [rung for rung in rungs_of(world) if rung.plan.model == "t2v-1.3B"]
    excluded = Exclusion(plan=rungs[0].plan.label)
    task = build_task(world, requests, rungs, [Exclusion(plan="a"), excluded], 3)
    assert set(task.requests) == {"t2v-1.3B"}
    assert (task.attempt, task.excluded) == (3, (excluded,))
    assert task.weights == "s3://weights"
    assert task.gpu_products == ()


def test_a_task_carries_the_gpu_products_that_its_author_allows() -> None:
    world = world_of(scheduling={"gpuProducts": ["NVIDIA-H200"]})
    assert world.spec is not None
    requests = build_requests(world.spec, world.metadata.uid)
    rungs = rungs_of(world_of())
    assert build_task(world, requests, rungs, (), 1).gpu_products == ("NVIDIA-H200",)
