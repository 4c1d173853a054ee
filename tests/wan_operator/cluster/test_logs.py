"""Logs: one line of JSON each, whatever anybody writes."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from wan_core.api.spec import Spec
from wan_operator.cluster.logs import JsonLines, about, quote

TEXTS = st.text(st.characters(codec=None), max_size=300)  # lone surrogates, too
JWT = "eyJhbGciOiJSUzI1NiIsImtpZCI6IngifQ.eyJhdWQiOlsid2FuIl19.c2lnbmF0dXJl_-"


def written(call: Callable[[logging.Logger], None]) -> str:
    """What a logger with our formatter writes to an ASCII stream."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii", write_through=True)
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    logger = logging.Logger("test")
    logger.addHandler(handler)
    call(logger)
    stream.seek(0)
    return stream.read()


def line_of(call: Callable[[logging.Logger], None]) -> dict[str, Any]:
    text = written(call)
    assert text.endswith("\n")
    assert len(text.splitlines()) == 1
    line = json.loads(text)
    assert isinstance(line, dict)
    return line


@settings(deadline=None)
@given(TEXTS, TEXTS, TEXTS)
def test_any_text_gives_exactly_one_line_of_json(message: str, argument: str, name: str) -> None:
    line_of(lambda log: log.info(message))
    line_of(lambda log: log.info(message, argument))
    line = line_of(lambda log: log.info("%s", argument, extra=about("videos", name)))
    assert all(str(value).isprintable() for value in line.values())


@settings(deadline=None)
@given(TEXTS)
def test_an_exception_of_any_text_is_one_field(text: str) -> None:
    def fail(log: logging.Logger) -> None:
        try:
            raise RuntimeError(text)
        except RuntimeError:
            log.exception("it failed")

    line = line_of(fail)
    assert line["message"] == "it failed"
    assert line["error"].startswith("Traceback (most recent call last):\n")
    assert "RuntimeError" in line["error"]


@settings(deadline=None)
@given(TEXTS, st.integers(1, 400))
def test_a_quoted_text_is_printable_and_short(text: str, limit: int) -> None:
    quoted = quote(text, limit)
    assert quoted.isprintable()
    assert len(quoted) <= limit


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("a corgi, surfing", "a corgi, surfing", id="ordinary"),
        pytest.param("一只柯基", "一只柯基", id="Chinese"),
        pytest.param("a\r\nb", r"a\r\nb", id="line breaks"),
        pytest.param("\x1b[31mred", r"\x1b[31mred", id="ANSI"),
        pytest.param("\x00\x7f", r"\x00\x7f", id="control characters"),
        pytest.param("\ud800", r"\ud800", id="a lone surrogate"),
        pytest.param("a\u202eb\u2028c", r"a\u202eb\u2028c", id="direction and line separator"),
        pytest.param("x" * 201, "x" * 199 + "…", id="long"),
    ],
)
def test_user_text_is_escaped_and_cut(text: str, shown: str) -> None:
    assert quote(text) == shown
    assert line_of(lambda log: log.info("prompt %s", text))["message"] == f"prompt {shown}"


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda log: log.info(f"got {JWT}"), id="in a message"),
        pytest.param(lambda log: log.info("got %s", JWT), id="as an argument"),
        pytest.param(lambda log: log.info("headers %s", {"Authorization": f"Bearer {JWT}"}), id="in headers"),
        pytest.param(lambda log: log.info("%(token)s", {"token": JWT}), id="by name"),
        pytest.param(lambda log: log.info("x" * 1990 + " " + JWT), id="where the text is cut"),
        pytest.param(lambda log: log.error("no", exc_info=RuntimeError(JWT)), id="in an exception"),
    ],
)
def test_tokens_are_never_written(call: Callable[[logging.Logger], None]) -> None:
    text = written(call)
    assert "eyJ" not in text
    assert "c2lnbmF0dXJl" not in text


def test_an_opaque_bearer_token_is_left_out() -> None:
    assert quote("Authorization: Bearer abc123 end") == "Authorization: Bearer [left out] end"


def test_a_line_says_when_how_grave_who_and_about_what() -> None:
    line = line_of(lambda log: log.warning("attempt ended", extra=about("videos", "corgi", "u-1", 2)))
    time = line.pop("time")
    assert time.endswith("Z")
    assert "T" in time
    assert line == {
        "level": "WARNING",
        "logger": "test",
        "message": "attempt ended",
        "namespace": "videos",
        "name": "corgi",
        "uid": "u-1",
        "attempt": 2,
    }


def test_a_wrong_log_call_loses_nothing() -> None:
    assert line_of(lambda log: log.info("%d steps", "ten"))["message"] == "%d steps ('ten',)"


def test_a_logged_validation_error_shows_no_prompt() -> None:
    canary = "-".join(["a", "bird"])  # not as it stands in the traceback's source lines
    with pytest.raises(ValidationError) as caught:
        Spec.model_validate({"model": "t2v-1.3B", "prompt": [canary], "frames": canary})
    assert canary not in written(lambda log: log.error("refused", exc_info=caught.value))


SCRIPT = """
import asyncio, logging, sys, warnings
from wan_operator.cluster.logs import configure
configure(sys.argv[1])
logging.getLogger("aiohttp.server").debug("every request")
logging.getLogger("aiohttp.server").error("a request failed")
logging.getLogger("wan_operator").info("ours")
logging.getLogger("wan_operator").debug("detail")
warnings.warn("old")
raise RuntimeError("unforeseen")
"""


@pytest.mark.parametrize(
    ("level", "messages"),
    [
        pytest.param("INFO", ["a request failed", "ours"], id="INFO"),
        pytest.param("DEBUG", ["a request failed", "ours", "detail"], id="DEBUG, ours only"),
    ],
)
def test_the_whole_process_writes_json_even_as_it_dies(level: str, messages: list[str]) -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT, level], capture_output=True, text=True, timeout=60)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert done.returncode == 1
    *said, warning, death = [line for line in lines if line["logger"] != "asyncio"]
    assert [line["message"] for line in said] == messages
    assert "old" in warning["message"]
    assert death["level"] == "CRITICAL"
    assert "RuntimeError: unforeseen" in death["error"]
