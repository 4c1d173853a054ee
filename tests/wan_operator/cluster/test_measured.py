"""What finished videos tell reaches the next plans: counted once, bounded, and not while an attempt runs."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from typing import Any

import pytest

from tests.wan_operator.cluster.stage import PODS, RUNNING, VIDEOS, Stage, on_stage, pod_of
from wan_core.plan.calibration import NO_CALIBRATION, Measurement
from wan_operator.cluster import measured
from wan_operator.cluster.measured import KEYS_MAX, REFRESH_S, Measured, samples_of

PLAN = "ti2v-5B/cuda/bf16+resident"
Document = dict[str, Any]


def finished(number: int = 1, *, plan: str = PLAN, spec: Document | None = None, **facts: Any) -> Document:
    """A resource whose only attempt made its video, `number` minutes after noon."""
    attempt = {
        "number": 1,
        "outcome": "Succeeded",
        "plan": plan,
        "gpu": "NVIDIA L4",
        "finished": f"2026-01-01T12:{number % 60:02d}:00Z",
        "peakVramGib": 18.0,
        "secondsPerStep": 20.0,
    } | facts
    output = {"uri": "s3://videos/a", "width": 1280, "height": 704, "frames": 121, "fps": 24}
    return {
        "metadata": {"uid": f"uid-{number}"},
        "spec": {"model": "ti2v-5B", "prompt": "a cat"} | (spec or {}),
        "status": {"phase": "Succeeded", "attempts": [attempt], "output": output},
    }


class Clock:
    """Time that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_finished_video_tells_what_its_attempt_took() -> None:
    (sample,) = samples_of(finished())
    assert sample.finished == datetime.fromisoformat("2026-01-01T12:01:00Z")
    assert sample.attempt == "uid-1/1"
    assert sample.measurement == Measurement(
        product="NVIDIA L4",
        plan=PLAN,
        width=1280,
        height=704,
        frames=121,
        guided=True,
        peak_gib=18.0,
        seconds_per_step=20.0,
        source="results in status",
    )


@pytest.mark.parametrize(
    ("given", "guided"),
    [
        pytest.param({}, True, id="by default"),
        pytest.param({"guidance": {"scale": 1}}, False, id="not"),
        pytest.param({"guidance": {"scale": 1.5}}, True, id="a scale"),
    ],
)
def test_whether_a_step_took_two_passes_is_read_from_the_spec(given: Document, guided: bool) -> None:
    (sample,) = samples_of(finished(spec=given))
    assert sample.measurement.guided is guided


def test_every_cpu_is_one_product() -> None:
    document = finished(plan="wan-tiny/cpu/bf16+resident", gpu="CPU (16 cores)")
    assert samples_of(document)[0].measurement.product == "cpu"


@pytest.mark.parametrize(
    "document",
    [
        pytest.param({"metadata": {}}, id="no status"),
        pytest.param({"status": "Succeeded"}, id="a status of another kind"),
        pytest.param({"status": {"phase": "Succeeded"}}, id="no attempts"),
        pytest.param(finished(outcome="Failed"), id="an attempt that failed"),
        pytest.param(finished(gpu=None), id="no GPU"),
        pytest.param(finished(plan="a plan"), id="no plan of ours"),
        pytest.param(finished(plan="of-nobody/cuda/bf16+resident"), id="a model that nobody knows"),
        pytest.param(finished(finished="noon"), id="no time"),
        pytest.param(finished(finished="0001-01-01T00:00:00+14:00"), id="before all time"),
        pytest.param(finished(peakVramGib=-1), id="less than nothing"),
        pytest.param(finished(peakVramGib="much"), id="no number"),
        pytest.param({**finished(), "spec": []}, id="no spec"),
        pytest.param({**finished(), "spec": {"guidance": {"scale": "a lot"}}}, id="no scale"),
    ],
)
def test_what_makes_no_sense_tells_nothing(document: Document) -> None:
    assert samples_of(document) == ()


def test_a_table_counts_for_a_while() -> None:
    clock = Clock()
    known = Measured(clock=clock)
    known.note(finished(1))
    first = known.table()
    assert len(first.measurements) == 1
    known.note(finished(2, gpu="NVIDIA H200"))
    assert known.table() is first
    clock.now = REFRESH_S
    assert len(known.table().measurements) == 2


def test_a_video_like_those_before_changes_no_table() -> None:
    clock = Clock()
    known = Measured(clock=clock)
    for number in range(9):
        known.note(finished(number))
    first = known.table()
    clock.now = REFRESH_S
    known.note(finished(10, secondsPerStep=20.2))
    assert known.table() is first


def test_while_an_attempt_lives_it_is_planned_by_the_table_of_before() -> None:
    clock = Clock()
    known = Measured(clock=clock)
    before = known.table_for("uid", lives=False)
    known.note(finished())
    clock.now = REFRESH_S
    assert known.table_for("uid", lives=True) is before
    assert before == NO_CALIBRATION
    assert known.table_for("other", lives=False) != before
    assert known.table_for("uid", lives=False) != before
    known.forget("uid")
    assert known.table_for("uid", lives=True) == known.table()


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measured, "KEYS_MAX", 3)
    known = Measured()
    for number in range(6):
        known.note(finished(number, gpu=f"GPU {number}"))
    assert [row.product for row in known.table().measurements] == ["GPU 3", "GPU 4", "GPU 5"]


def test_a_full_table_is_small() -> None:
    row = samples_of(finished())[0]
    assert KEYS_MAX * 9 * len(json.dumps(row.measurement.to_dict())) < 8 * 2**20
    assert sys.getsizeof(row) < 200


def test_what_the_administrator_measured_is_in_the_table() -> None:
    given = Measurement(product="NVIDIA-L4", plan=PLAN, width=64, height=64, frames=5, peak_gib=1.0)
    assert Measured((given,)).table().measurements == (given,)


def done() -> Document:
    """Another video like the one on stage, that took longer than the planner thinks."""
    document = finished(plan="wan-tiny/cpu/bf16+resident", gpu="CPU (2 cores)", secondsPerStep=0.1)
    document["spec"]["model"] = "wan-tiny"
    document["status"]["output"] |= {"width": 64, "height": 64, "frames": 17}
    document["status"]["attempts"][0] |= {"job": "done-1", "peakVramGib": 1.0}
    document["metadata"] = {"name": "done", "namespace": "films", "uid": "uid-of-done"}
    return document


def test_a_video_that_ends_corrects_the_plans_of_the_next() -> None:
    async def act(it: Stage) -> None:
        it.server.put(VIDEOS, done())
        await it.settle()
        (row,) = (r for r in it.status["ladder"] if r["verdict"] != "Never")
        assert any(note.startswith("seconds a step x") for note in row["notes"])

    on_stage(act)


def test_another_video_that_ends_writes_nothing_into_the_status_of_one_that_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(measured, "REFRESH_S", 0.0)

    async def act(it: Stage) -> None:
        await it.settle()
        it.server.put(PODS, pod_of(it.job(), phase="Running", containerStatuses=[RUNNING]))
        await it.settle()
        it.server.put(VIDEOS, done())
        await it.see()
        assert it.parts.reconciler.measured.table().measurements
        it.take_calls()
        looked = await it.look()
        assert not looked.written
        assert it.take_calls() == []

    on_stage(act)
