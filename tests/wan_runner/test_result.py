from __future__ import annotations

import json
import threading
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wan_runner.tasks import build_task
from wan_core.api.status import OutputStatus
from wan_core.errors import HostOutOfMemory, InternalError, Interrupted, InvalidInput
from wan_core.phases import BYTES, LoadProgress, Phase
from wan_core.task import RESULT_MAX_BYTES, Result, Stage
from wan_runner import result
from wan_runner.result import Ending, Record, write_result

OUTPUT = OutputStatus(uri="s3://videos/x/video.mp4", width=64, height=64, frames=5, fps=8)


@pytest.fixture
def record(monkeypatch: pytest.MonkeyPatch) -> Record:
    """A record whose clock moves on by a second each time it is looked at."""
    ticks = count()
    monkeypatch.setattr(result.time, "monotonic", lambda: float(next(ticks)))
    return Record(build_task())


def test_a_result_of_success_has_the_output_and_no_category(record: Record) -> None:
    record.known |= {"plan": "p", "model_digest": "abc", "bytes_loaded": 5}
    end = record.result(OUTPUT)
    assert (end.category, end.output, end.plan, end.bytes_loaded) == (None, OUTPUT, "p", 5)
    assert end.task_digest == build_task().digest()


def test_a_result_of_failure_has_the_advice(record: Record) -> None:
    end = record.result(HostOutOfMemory("too little"))
    assert (end.category, end.message) == ("HOST_OUT_OF_MEMORY", "too little")
    assert end.advice.startswith("Give the runner more memory")
    assert end.output is None


def test_stages_are_timed_also_when_they_fail(record: Record) -> None:
    with record.enter(Stage.FETCHING):
        pass
    with pytest.raises(Interrupted), record.enter(Stage.LOADING):
        raise Interrupted("told to stop")
    assert record.result(OUTPUT).seconds == {"Fetching": 1.0, "Loading": 1.0}


def test_the_time_left_follows_from_the_last_steps(record: Record) -> None:
    record.stage = Stage.DENOISING
    assert record.progress(0, 20).eta_seconds is None
    for _ in range(5):
        record.step_done()
    assert (record.progress(4, 20).seconds_per_step, record.progress(4, 20).eta_seconds) == (1.0, 16.0)
    record.stage = Stage.DECODING
    assert record.progress(1, 5).eta_seconds is None


def test_while_it_loads_the_time_left_is_that_of_the_phase(record: Record) -> None:
    at = LoadProgress(Phase.DOWNLOAD, 5, 10, BYTES, 40.0, rate=2.0, eta_s=2.5)
    report = record.progress(at.done, at.total, at)
    assert (report.done, report.total, report.eta_seconds) == (5, 10, 2.5)
    assert report.load is not None
    assert (report.load.phase, report.load.percent) == (Phase.DOWNLOAD, 40.0)
    slow = LoadProgress(Phase.DOWNLOAD, 5, 10**15, BYTES, 40.0, rate=1e-9, eta_s=1e24)
    assert record.progress(5, 10, slow).eta_seconds == 1e7


def test_few_and_short_warnings_are_told(record: Record) -> None:
    record.known["warnings"] = ("w" * 2000, "b", "c", "d", "e")
    for told in (record.progress(0, 0), record.result(OUTPUT)):
        assert told.warnings == ("w" * 256, "b", "c", "and 2 more warnings")


@pytest.mark.parametrize(("steps", "mean"), [(0, None), (1, 1.0), (4, 1.0)])
def test_the_mean_of_all_steps(record: Record, steps: int, mean: float | None) -> None:
    for _ in range(steps + 1):
        record.step_done()
    assert record.mean_seconds_per_step == mean


@given(st.text(max_size=6000), st.lists(st.text(max_size=900), max_size=12))
def test_a_result_is_never_larger_than_a_termination_message(message: str, refused: list[str]) -> None:
    record = Record(build_task())
    record.known["refused"] = tuple(refused)
    text = record.result(InvalidInput(message)).to_message()
    assert len(text.encode()) <= RESULT_MAX_BYTES
    assert Result.model_validate_json(text).category == "INVALID_INPUT"


def test_the_result_appears_whole(record: Record, tmp_path: Path) -> None:
    write_result(record.result(OUTPUT), tmp_path / "result.json")
    assert json.loads((tmp_path / "result.json").read_text())["output"]["frames"] == 5
    assert [p.name for p in tmp_path.iterdir()] == ["result.json"]


def test_a_path_that_is_no_file_is_written_plainly(record: Record, tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "log")
    texts: list[str] = []
    reader = threading.Thread(target=lambda: texts.append((tmp_path / "log").read_text()))
    reader.start()
    write_result(record.result(OUTPUT), tmp_path / "log")
    reader.join(60)
    assert json.loads(texts[0])["uid"] == "u-1"


def test_a_place_that_cannot_be_written_is_said(record: Record, tmp_path: Path) -> None:
    with pytest.raises(InternalError, match="could not be written"):
        write_result(record.result(OUTPUT), tmp_path / "none" / "result.json")


def test_only_the_first_end_counts(record: Record, tmp_path: Path) -> None:
    ending = Ending(tmp_path / "result.json")
    assert ending.settle(record.result(Interrupted("told to stop")))
    assert not ending.settle(record.result(OUTPUT))
    assert json.loads((tmp_path / "result.json").read_text())["category"] == "INTERRUPTED"
