"""Whatever the API server holds can be read: as a request, or as typed problems. Never an exception."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wan_core.api.cases import BROKEN, VALID
from wan_core.api.status import Phase, Status
from wan_operator.cluster.videos import is_settled, read_video

GOOD = {"model": "wan-tiny", "prompt": "a red circle"}
METADATA = {
    "name": "corgi",
    "namespace": "films",
    "uid": "u",
    "resourceVersion": "7",
    "generation": 2,
    "creationTimestamp": "2026-01-01T00:00:00Z",
}


def document(spec: Any = None, status: Any = None, **metadata: Any) -> dict[str, Any]:
    parts = {"metadata": METADATA | metadata, "spec": GOOD if spec is None else spec}
    return parts | ({"status": status} if status is not None else {})


def test_a_good_one_is_read_whole() -> None:
    video = read_video(document(status={"phase": "Pending"}))

    assert video.spec is not None
    assert video.spec.model == "wan-tiny"
    assert (video.key, video.version, video.problems) == (("films", "corgi"), "7", ())
    assert (video.status.phase, video.written, video.deleting) == (Phase.PENDING, True, False)


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        pytest.param({"model": "wan-tiny", "prompt": "\ud800"}, "spec.prompt", id="half a surrogate pair"),
        pytest.param({"model": "a/../b", "prompt": "x"}, "spec.model", id="dots in the model"),
        pytest.param({"prompt": "x"}, "spec.model", id="no model"),
        pytest.param({**GOOD, "frames": "81"}, "spec.frames", id="a number as text"),
        pytest.param({**GOOD, "later": 1}, "spec.later", id="a field of a later version"),
        pytest.param({**GOOD, "fallback": {"models": ["a", "b..c"]}}, "spec.fallback.models[1]", id="deep"),
        pytest.param("text", "spec", id="no mapping"),
        pytest.param([], "spec", id="a list"),
    ],
)
def test_what_cannot_be_read_is_a_problem_with_its_path(spec: Any, path: str) -> None:
    video = read_video(document(spec))

    assert video.spec is None
    assert [p.split(":")[0] for p in video.problems] == [path]


@pytest.mark.parametrize(("spec", "messages"), BROKEN.values(), ids=BROKEN)
def test_a_broken_rule_is_told_whether_or_not_the_api_server_knows_it(
    spec: dict[str, Any], messages: tuple[str, ...]
) -> None:
    video = read_video(document(spec))

    assert video.spec is None
    assert set(messages) <= set(video.problems)


@pytest.mark.parametrize("spec", VALID.values(), ids=VALID)
def test_what_breaks_no_rule_is_read(spec: dict[str, Any]) -> None:
    assert read_video(document(spec)).spec is not None


@pytest.mark.parametrize("status", [{"phase": "Dancing"}, {"attempts": 3}, "text", []], ids=str)
def test_a_status_that_somebody_edited_counts_as_not_written(status: Any) -> None:
    video = read_video(document(status=status))

    assert (video.status, video.written) == (Status(), False)


Json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(spec=Json | st.fixed_dictionaries({"model": Json, "prompt": Json}), status=Json)
def test_junk_is_never_an_exception(spec: Any, status: Any) -> None:
    video = read_video({"metadata": METADATA, "spec": spec, "status": status})

    assert (video.spec is None) == bool(video.problems)


@pytest.mark.parametrize(
    ("status", "more", "settled"),
    [
        pytest.param({"phase": "Succeeded", "observedGeneration": 2}, {}, True, id="finished"),
        pytest.param({"phase": "Running", "observedGeneration": 2}, {}, False, id="running"),
        pytest.param({"phase": "Failed", "observedGeneration": 1}, {}, False, id="edited since"),
        pytest.param(
            {"phase": "Failed", "observedGeneration": 2},
            {"deletionTimestamp": "x"},
            False,
            id="being deleted",
        ),
        pytest.param("junk", {}, False, id="an edited status"),
        pytest.param(None, {}, False, id="no status"),
    ],
)
def test_a_finished_resource_needs_no_look(status: Any, more: dict[str, Any], settled: bool) -> None:
    assert is_settled(document(status=status, **more)) is settled


def test_a_finished_resource_with_retention_does() -> None:
    spec = {**GOOD, "retention": {"succeeded": "1h"}}

    assert not is_settled(document(spec, status={"phase": "Succeeded", "observedGeneration": 2}))
