"""What travels between operator and runner fits where it must."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wan_core.errors import Category
from wan_core.phases import BYTES, LoadProgress, Phase
from wan_core.task import RESULT_MAX_BYTES, LoadReport, PreparedUse, Progress, Result, Stage, WeightsUse

WORD = "w" * 253
LARGEST = 2**53 - 1


def full(message: str, advice: str, refused: list[str], warnings: list[str]) -> Result:
    """A failure that tells everything it can."""
    return Result(
        uid="u" * 36,
        attempt=9999,
        task_digest="d" * 64,
        category=Category.INSUFFICIENT_DISK_SPACE,
        message=message,
        advice=advice,
        plan=WORD,
        device=WORD,
        refused=tuple(refused),
        warnings=tuple(warnings),
        engine="wan_core",
        model_digest="d" * 64,
        bytes_loaded=LARGEST,
        weights=WeightsUse(**dict.fromkeys(WeightsUse.model_fields, LARGEST) | {"seconds_waited": 1e9}),
        prepared=PreparedUse(hits=LARGEST, misses=LARGEST, seconds_saved=1e9),
        peak_device_gib=123.456,
        seconds_per_step=1234.5678,
        seconds=dict.fromkeys(Stage, 123456.789),
        phases=dict.fromkeys(Phase, 123456.789),
    )


texts = st.lists(st.text(max_size=900), max_size=12)


@given(st.text(max_size=6000), st.text(max_size=3000), texts, texts)
def test_a_result_is_never_larger_than_a_termination_message(
    message: str, advice: str, refused: list[str], warnings: list[str]
) -> None:
    text = full(message, advice, refused, warnings).to_message()
    assert len(text.encode()) <= RESULT_MAX_BYTES
    assert Result.model_validate_json(text).weights == full("", "", [], []).weights


@pytest.mark.parametrize("letter", ["a", "\u00e9", "\U0001f600", "\\", "\x00"])
def test_what_is_too_long_keeps_its_start(letter: str) -> None:
    result = Result.model_validate_json(full(letter * 6000, letter * 3000, [], []).to_message())
    assert len(result.message) >= 128
    assert len(result.advice) >= 42
    assert set(result.message) == {letter}


def test_refusals_go_first_then_warnings() -> None:
    kept = Result.model_validate_json(full("m" * 200, "a", ["r" * 2000], ["w" * 200] * 4).to_message())
    assert (len(kept.message), kept.refused, len(kept.warnings)) == (200, (), 4)
    bare = Result.model_validate_json(full("m" * 200, "a", ["r" * 2000], ["w" * 900] * 4).to_message())
    assert (len(bare.message), bare.refused, bare.warnings) == (200, (), ())


def test_a_look_at_a_load_travels() -> None:
    at = LoadProgress(Phase.DOWNLOAD, 5, 10, BYTES, 41.23456, 3.14159, 1.5, 7, None, 9)
    load = LoadReport.of(at)
    report = Progress(
        uid="u", attempt=1, stage=Stage.FETCHING, load=load, time=datetime.fromtimestamp(0, tz=UTC)
    )
    back = Progress.model_validate_json(report.model_dump_json(by_alias=True)).load
    assert back == LoadReport(
        phase=Phase.DOWNLOAD, done=5, total=10, percent=41.23, rate=3.14, rss_bytes=7, device_bytes=9
    )
