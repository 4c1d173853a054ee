"""Whether a plan fits, where, and with which numbers."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.wan_core.plan.draws import empty_of, inventories, requests
from tests.wan_core.plan.worlds import inventory_of, node_of, request_of
from wan_core.api.status import Verdict
from wan_core.catalog.models import MODELS
from wan_core.plan.candidates import Candidate, list_candidates
from wan_core.plan.criteria import DEFAULT_CRITERIA, Criteria
from wan_core.plan.inventory import Gpu, Inventory, Node
from wan_core.plan.ladder import build_ladder
from wan_core.plan.memory import MemoryEstimate
from wan_core.plan.places import Place, find_places, survey
from wan_core.plan.request import Request
from wan_core.plan.verdicts import Judged, free_up, judge, judge_again, make_rung, match, thin

L4, H100, T4 = "NVIDIA-L4", "NVIDIA-H100-80GB-HBM3", "Tesla-T4"
ORDER = (Verdict.FITS_NOW, Verdict.FITS_LATER, Verdict.NEVER)


def candidates_of(model: str) -> tuple[Candidate, ...]:
    return list_candidates(MODELS[model], request_of(model))


def candidate_of(model: str, techniques: str) -> Candidate:
    return next(c for c in candidates_of(model) if "+".join(c.plan.techniques) == techniques)


def judged(
    candidate: Candidate,
    inventory: Inventory,
    products: tuple[str, ...] = (),
    criteria: Criteria = DEFAULT_CRITERIA,
) -> Judged:
    ground = survey(inventory, products)
    return judge(match(candidate, ground.places, criteria), ground, criteria)


def free_of(inventory: Inventory, gpu: float, host: float) -> Inventory:
    """With this share of every device free."""
    nodes = [
        node.model_copy(
            update={
                "gpus": tuple(g.model_copy(update={"free_gib": gpu * g.memory_gib}) for g in node.gpus),
                "host_free_gib": host * node.host_memory_gib,
            }
        )
        for node in inventory.nodes
    ]
    return Inventory(nodes=tuple(nodes))


SHARES = st.floats(0, 1)


@settings(max_examples=50, deadline=None)
@given(inventories, st.tuples(SHARES, SHARES), st.tuples(SHARES, SHARES))
def test_the_more_is_free_the_better_the_verdict_and_never_stays_never(
    inventory: Inventory, one: tuple[float, float], other: tuple[float, float]
) -> None:
    less, more = (tuple(f(pair) for pair in zip(one, other, strict=True)) for f in (min, max))
    for candidate in candidates_of("t2v-1.3B"):
        busy, free = (judged(candidate, free_of(inventory, *share)) for share in (less, more))
        assert ORDER.index(free.verdict) <= ORDER.index(busy.verdict)
        assert (free.verdict is Verdict.NEVER) == (busy.verdict is Verdict.NEVER)
        assert free.best == busy.best


@settings(max_examples=30, deadline=None)
@given(requests(), inventories)
def test_judged_again_on_what_is_free_a_plan_has_the_verdict_that_it_would_have_had(
    request: Request, inventory: Inventory
) -> None:
    places = find_places(inventory)
    now = {rung.plan.label: rung.verdict for rung in build_ladder([request], inventory).rungs}
    empty = build_ladder([request], empty_of(inventory)).rungs
    again = {rung.plan.label: judge_again(rung, places).verdict for rung in empty}
    both = now.keys() & again.keys()
    assert {label: again[label] for label in both} == {label: now[label] for label in both}
    assert both


RESIDENT = candidate_of("t2v-A14B", "bf16+resident")
STREAMING = candidate_of("t2v-A14B", "bf16+block-streaming")
FP32 = next(c for c in candidates_of("t2v-1.3B") if c.plan.uses("fp32"))
PHASE = RESIDENT.memory.peak_phase
PEAK, HOST = f"{RESIDENT.memory.peak_gib:.1f}", f"{STREAMING.memory.host_gib:.1f}"


@pytest.mark.parametrize(
    ("candidate", "inventory", "products", "reason"),
    [
        pytest.param(
            RESIDENT,
            inventory_of(L4, H100),
            (),
            f"needs {PEAK} GiB ({PHASE}), the largest GPU is {H100} with 79.6 GiB",
            id="too small a GPU",
        ),
        pytest.param(
            STREAMING,
            inventory_of(L4, host_gib=32),
            (),
            f"needs {HOST} GiB of host memory, the largest node with a fitting GPU, node-1, has 32.0 GiB",
            id="too small a host",
        ),
        pytest.param(
            RESIDENT, inventory_of(), (), f"needs {PEAK} GiB ({PHASE}), there is no GPU here", id="none"
        ),
        pytest.param(
            RESIDENT,
            inventory_of(H100),
            (L4,),
            f"needs {PEAK} GiB ({PHASE}), spec.scheduling.gpuProducts allows none of the GPUs here ({H100})",
            id="none that is allowed",
        ),
        pytest.param(
            RESIDENT,
            inventory_of(T4),
            (),
            "needs compute capability 8.0 for bf16, Tesla-T4 has 7.5",
            id="too old a GPU",
        ),
        pytest.param(
            FP32,
            inventory_of(H100),
            (),
            f"is for compute capability 7.5 or less (later ones have bf16), {H100} has 9.0",
            id="too recent a GPU",
        ),
        pytest.param(
            RESIDENT,
            inventory_of("Intel Arc B580"),
            (),
            f"needs {PEAK} GiB of an NVIDIA or AMD GPU (cuda), Intel Arc B580 is one for xpu",
            id="another kind of GPU",
        ),
    ],
)
def test_never_names_the_limit_and_both_numbers(
    candidate: Candidate, inventory: Inventory, products: tuple[str, ...], reason: str
) -> None:
    found = judged(candidate, inventory, products)
    assert (found.verdict, found.reason) == (Verdict.NEVER, reason)
    assert (found.products, found.cures, found.fits) == ((), (), False)


def test_the_place_named_is_the_fastest_that_is_free_and_the_order_is_by_the_fastest_of_all() -> None:
    busy, free = node_of(H100, name="a", free_gib=0.0), node_of(L4, name="b", free_gib=22.0)
    found = judged(STREAMING, Inventory(nodes=(busy, free)))
    both = judged(STREAMING, Inventory(nodes=(node_of(H100, name="a"), free)))
    assert found.place is not None
    assert both.place is not None
    assert (found.place.product, both.place.product) == (L4, H100)
    assert found.best == both.best == both.course
    assert found.products == both.products == (H100, L4)


def test_of_plans_nearly_as_small_only_what_alone_fits_somewhere_stays() -> None:
    """This one saves 1 % of host memory: worth a rung only where that is what there is too little of."""
    better = STREAMING
    memory = better.memory.model_copy(update={"host_gib": 0.99 * better.memory.host_gib})
    other = replace(better, memory=memory, reference_s=2 * better.reference_s)
    between = (memory.host_gib + better.memory.host_gib) / 2

    def kept(*hosts: float) -> int:
        nodes = tuple(node_of(L4, host_gib=host, name=f"n{host}") for host in hosts)
        places = find_places(Inventory(nodes=nodes))
        return len(thin([match(c, places, DEFAULT_CRITERIA) for c in (better, other)]))

    assert (kept(512), kept(between)) == (1, 2)


def place(free: float, host_free: float) -> Place:
    return Place("cuda", "node-1", L4, 22, free, 64, host_free, (8, 9))


NEED = MemoryEstimate(text_gib=1, denoise_gib=8, decode_gib=4, host_gib=16)


@pytest.mark.parametrize(
    ("there", "texts", "also"),
    [
        pytest.param(place(2, 64), ["8.0 GiB free on NVIDIA-L4, 6.0 more than now"], (), id="the GPU"),
        pytest.param(
            place(22, 4), ["16.0 GiB of host memory free on node-1, 12.0 more than now"], (), id="the host"
        ),
        pytest.param(
            place(2, 4),
            [
                "8.0 GiB free on NVIDIA-L4, 6.0 more than now, and "
                "16.0 GiB of host memory free on node-1, 12.0 more than now"
            ],
            (("host", 16.0),),
            id="both are one change",
        ),
        pytest.param(place(22, 64), [], (), id="nothing"),
    ],
)
def test_what_has_to_become_free_is_told_with_how_much_more(
    there: Place, texts: list[str], also: tuple[object, ...]
) -> None:
    cures = free_up(NEED, there)
    assert [cure.text for cure in cures] == texts
    assert [cure.also for cure in cures] == [also] * len(cures)


def test_a_plan_that_fits_later_says_what_has_to_become_free() -> None:
    rung = make_rung(judged(STREAMING, inventory_of(L4, free_gib=1)))
    assert rung.verdict is Verdict.FITS_LATER
    assert [cure.kind for cure in rung.cures] == ["memory"]
    assert rung.product == L4
    assert rung.device_gib == pytest.approx(22.5, abs=0.1)


def test_a_plan_on_the_cpu_names_no_product() -> None:
    cpu = next(c for c in candidates_of("wan-tiny") if c.plan.device == "cpu")
    rung = make_rung(judged(cpu, inventory_of(host_gib=16)))
    assert (rung.verdict, rung.products, rung.device_gib) == (Verdict.FITS_NOW, (), None)


def test_an_unknown_gpu_is_judged_without_a_time() -> None:
    node = Node(name="n", gpus=(Gpu(product="new", memory_gib=141),), host_memory_gib=99)
    rung = make_rung(judged(RESIDENT, Inventory(nodes=(node,))))
    assert (rung.verdict, rung.time, rung.cost) == (Verdict.FITS_NOW, None, None)
