"""A spec as the requests that it stands for; what the catalogue says against the models that it names."""

from __future__ import annotations

from typing import Any

import pytest

from tests.wan_core.plan.worlds import UID, spec_of
from wan_core.errors import InvalidInput
from wan_core.plan.asked import build_requests, model_notes, model_problems, why_unrunnable


def problems_of(model: str, **fields: Any) -> tuple[str, ...]:
    with pytest.raises(InvalidInput) as caught:
        build_requests(spec_of(model, **fields), UID)
    return caught.value.problems


@pytest.mark.parametrize(
    ("fallback", "models"),
    [
        pytest.param([], ["t2v-1.3B"], id="none"),
        pytest.param(["ti2v-5B", "t2v-A14B"], ["t2v-1.3B", "ti2v-5B", "t2v-A14B"], id="two, as they stand"),
        pytest.param(["t2v-1.3B"] * 8, ["t2v-1.3B"], id="itself eight times"),
        pytest.param(
            ["ti2v-5B", "TI2V-5B", "wan_implementation:ti2v-5B"],
            ["t2v-1.3B", "ti2v-5B"],
            id="one by several names",
        ),
    ],
)
def test_each_model_is_requested_once_in_the_order_named(fallback: list[str], models: list[str]) -> None:
    requests = build_requests(spec_of("t2v-1.3B", resolution="832x480", fallback={"models": fallback}), UID)
    assert [request.model for request in requests] == models


def test_what_only_a_fallback_model_refuses_says_whose_problem_it_is() -> None:
    assert problems_of("t2v-A14B", resolution="1280x720", fallback={"models": ["t2v-1.3B", "ti2v-5B"]}) == (
        "spec.resolution: 1280x720 is not a multiple of 32 for ti2v-5B; nearest: 1280x704 "
        "(for spec.fallback.models[1])",
    )


def test_what_both_refuse_is_told_of_both() -> None:
    paths = [
        problem.split(":")[0]
        for problem in problems_of("t2v-A14B", frames=82, fallback={"models": ["ti2v-5B"]})
    ]
    assert paths == ["spec.frames", "spec.frames"]


def test_a_prompt_is_told_once_beside_all_else() -> None:
    told = problems_of("t2v-A14B", prompt="\x07", frames=82, fallback={"models": ["t2v-1.3B"]})
    paths = [problem.split(":")[0] for problem in told]
    assert paths.count("spec.prompt") == 1
    assert "spec.frames" in paths


@pytest.mark.parametrize(
    ("model", "why"),
    [
        pytest.param("t2v-A14B", (), id="one that can"),
        pytest.param("nonsense", (), id="one that is told of elsewhere"),
        pytest.param(
            "s2v-14B",
            ("spec.model: s2v-14B cannot run yet: it needs speech, and a request cannot carry audio yet",),
            id="one that cannot yet",
        ),
        pytest.param(
            "svd",
            (
                "spec.model: svd cannot run: it is a U-Net, and the runner has Wan's transformer alone; "
                "nearest: ti2v-5B, i2v-A14B",
            ),
            id="one of another architecture",
        ),
    ],
)
def test_a_known_model_that_cannot_run_has_one_problem(model: str, why: tuple[str, ...]) -> None:
    assert why_unrunnable(spec_of(model)) == why


def test_an_id_that_is_read_as_another_is_noted_once() -> None:
    spec = spec_of("wan_implementation:t2v-A14B", fallback={"models": ["TI2V-5B", "TI2V-5B", "t2v-1.3B"]})
    assert model_notes(spec) == (
        '"wan_implementation:t2v-A14B" is read as t2v-A14B',
        '"TI2V-5B" is read as ti2v-5B',
    )


@pytest.mark.parametrize(
    ("spec", "paths"),
    [
        pytest.param({}, [], id="no model"),
        pytest.param({"model": "t2v-A14B"}, [], id="a known one"),
        pytest.param(
            {"model": "t2v-1b", "fallback": {"models": ["ti2v-5B", "nonsense"]}},
            ["spec.model", "spec.fallback.models[1]"],
            id="each unknown one by its place",
        ),
    ],
)
def test_ids_that_no_model_has_are_told_by_their_places(spec: dict[str, Any], paths: list[str]) -> None:
    assert [problem.split(":")[0] for problem in model_problems(spec)] == paths
