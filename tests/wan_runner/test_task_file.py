from __future__ import annotations

import json
from typing import Any

import pytest

from tests.wan_runner.tasks import build_task
from wan_core.errors import InvalidInput
from wan_runner.task_file import read_task, result_of_broken


def changed(**fields: Any) -> bytes:
    return json.dumps({**build_task().to_dict(), **fields}).encode()


def test_a_task_is_read_back_as_it_was_written() -> None:
    task = build_task(report_url="http://operator/progress")
    raw = json.dumps(task.to_dict()).encode()
    assert read_task(raw) == task
    assert read_task(raw).digest() == task.digest()


BROKEN = {
    "empty": (b"", "task"),
    "not JSON": (b"{", "task"),
    "a list": (b"[]", "task"),
    "another version": (changed(version=2), "task.version"),
    "no rungs": (changed(rungs=[]), "task.rungs"),
    "a field nobody knows": (changed(image="evil"), "task.image"),
    "a request is missing": (changed(requests={}), "task.requests: no request for wan-tiny"),
    "not UTF-8": (b'{"uid": "\xff"}', "task"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_task_is_invalid_input(name: str) -> None:
    raw, problem = BROKEN[name]
    with pytest.raises(InvalidInput) as caught:
        read_task(raw)
    assert caught.value.problems[0].startswith(problem)


@pytest.mark.parametrize("name", ["another version", "no rungs", "a field nobody knows"])
def test_a_broken_task_that_tells_whose_it_is_gets_a_result(name: str) -> None:
    result = result_of_broken(BROKEN[name][0], InvalidInput("task.rungs: none"))
    assert result is not None
    assert (result.uid, result.attempt, result.category) == ("u-1", 1, "INVALID_INPUT")


@pytest.mark.parametrize("raw", [b"", b"[]", b'{"uid": 5}', b'{"uid": "u", "attempt": 0}'])
def test_a_task_of_nobody_gets_none(raw: bytes) -> None:
    assert result_of_broken(raw, InvalidInput("broken")) is None
