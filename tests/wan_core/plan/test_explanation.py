"""What is said of one request: the ladder, the conclusion, the warnings, what comes next."""

from __future__ import annotations

import pytest

from tests.wan_core.plan.worlds import inventory_of, node_of, spec_of
from wan_core.api.spec import Spec
from wan_core.catalog.models import MODELS
from wan_core.errors import InvalidInput
from wan_core.plan.asked import build_requests
from wan_core.plan.cautions import find_warnings
from wan_core.plan.criteria import Criteria
from wan_core.plan.explanation import Explanation, explain, explain_ladder
from wan_core.plan.fallbacks import fallbacks
from wan_core.plan.inventory import Inventory
from wan_core.plan.ladder import build_ladder, nothing_fits

H100, L4, T4 = "NVIDIA-H100-80GB-HBM3", "NVIDIA-L4", "Tesla-T4"
FALLBACK = {"models": ["t2v-1.3B"]}


def test_the_ladder_is_the_one_that_the_operator_builds() -> None:
    spec = spec_of("t2v-A14B", quality="near", fallback=FALLBACK, scheduling={"gpu_products": [L4]})
    inventory, criteria = inventory_of(L4, H100), Criteria("cost", prices={L4: 0.7})
    found, requests = explain(spec, inventory, criteria=criteria), build_requests(spec, "")
    assert found.requests == requests
    assert found.ladder == build_ladder(requests, inventory, [L4], MODELS, criteria)
    assert found.fallbacks == fallbacks(found.ladder)


def test_the_conclusion_is_the_best_plan_and_why_or_why_none_can_run() -> None:
    spec = spec_of("ti2v-5B")
    taken, none = (explain(spec, inventory_of(product, host_gib=24)) for product in (H100, T4))
    assert taken.conclusion.startswith(f"{taken.ladder.runnable[0].plan.label}: ")
    assert none.conclusion == nothing_fits(none.ladder)
    assert none.fallbacks == ()


def test_warnings_are_those_of_the_model_that_would_run() -> None:
    """161 frames are too many for either; only what is said of the one that fits is told."""
    spec = spec_of("t2v-A14B", frames=161, resolution="832x480", fallback=FALLBACK)
    inventory = Inventory(nodes=(node_of(L4, host_gib=40),))
    found = explain(spec, inventory)
    best = found.ladder.runnable[0]
    assert best.plan.model == "t2v-1.3B"
    assert found.warnings == find_warnings(MODELS["t2v-1.3B"], spec, found.requests[1], best)
    assert any("t2v-1.3B" in warning for warning in found.warnings)
    assert not any("t2v-A14B" in warning for warning in found.warnings)


def test_where_nothing_runs_the_warnings_are_those_of_the_request_as_it_was_made() -> None:
    spec = spec_of("t2v-A14B", frames=161, fallback=FALLBACK)
    found = explain(spec, Inventory())
    assert found.warnings == find_warnings(MODELS["t2v-A14B"], spec, found.requests[0], None)


def test_a_ladder_that_is_there_is_explained_as_one_that_is_built() -> None:
    spec = spec_of("t2v-1.3B")
    found = explain(spec, inventory_of(L4))
    assert explain_ladder(spec, found.requests, found.ladder) == found
    assert Explanation.model_validate_json(found.model_dump_json(by_alias=True)) == found


def test_every_problem_of_the_spec_is_told() -> None:
    with pytest.raises(InvalidInput) as caught:
        explain(Spec(model="t2v-A14B", prompt=" ", frames=82), inventory_of(H100))
    assert [problem.split(":")[0] for problem in caught.value.problems] == ["spec.prompt", "spec.frames"]
