"""Logs as JSON lines on stderr: one record, one line, in ASCII, whatever the text.

Text that comes from outside is escaped and cut, and tokens are left out.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

ARGUMENT_MAX = 200  # characters of a string given to a log call: a user may have written it
MESSAGE_MAX = 2000  # characters of a whole message
TRACEBACK_MAX = 100  # lines, the last ones: they say what was raised
SECRET = re.compile(r"\beyJ[\w.-]{16,}|(?i:(?<=bearer ))\S+")  # JSON Web Tokens, and whatever else is borne
SECRET_MAX = 16384  # characters: one that begins within what is shown is recognised whole
TAMED = ("aiohttp", "asyncio")  # their details are nobody's news: from INFO on, even where ours are shown

log = logging.getLogger(__name__)


def configure(level: str) -> None:
    """Send the records of every logger to stderr as JSON lines; what kills the process is logged too."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in TAMED:
        logging.getLogger(name).setLevel(max(logging.INFO, root.level))
    if root.level >= logging.INFO:
        logging.getLogger("kopf").setLevel(logging.WARNING)  # it has a line for each event
    logging.captureWarnings(True)
    sys.excepthook = _log_death


def about(namespace: str, name: str, uid: str | None = None, attempt: int | None = None) -> dict[str, Any]:
    """`extra` of a log call about a resource: log.info("...", extra=about(namespace, name, uid, 2))."""
    facts = {"namespace": namespace, "name": name, "uid": uid, "attempt": attempt}
    return {"about": {key: value for key, value in facts.items() if value is not None}}


def quote(text: str, limit: int = ARGUMENT_MAX) -> str:
    """Text made harmless for a log line, an Event or a terminal: no token, no control character (line breaks,
    ANSI, lone surrogates and marks of direction are shown as escapes), at most `limit` characters.
    """
    start = SECRET.sub("[left out]", text[: limit + SECRET_MAX])
    shown = "".join(c if c.isprintable() else _escape(c) for c in start[: limit + 1])
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


class JsonLines(logging.Formatter):
    """A JSON object a record: time, level, logger, message, about which resource; a traceback as `error`."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "level": record.levelname,
            "logger": record.name,
            "message": quote(_message(record), MESSAGE_MAX),
        }
        line |= {key: _plain(value) for key, value in getattr(record, "about", {}).items()}
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = _lines("".join(traceback.format_exception(*record.exc_info)))
        if record.stack_info:
            line["stack"] = _lines(record.stack_info)
        return json.dumps(line, ensure_ascii=True)


def _message(record: logging.LogRecord) -> str:
    args = record.args
    if isinstance(args, Mapping):
        args = {key: _plain(value) for key, value in args.items()}
    elif args:
        args = tuple(_plain(value) for value in args)
    try:
        return str(record.msg) % args if args else str(record.msg)
    except (TypeError, ValueError, KeyError):  # the call is wrong; what it wanted to say is not lost
        return f"{record.msg} {args}"


def _plain(value: Any) -> Any:
    return quote(value) if isinstance(value, str) else value


def _lines(text: str) -> str:
    return "\n".join(quote(line, MESSAGE_MAX) for line in text.splitlines()[-TRACEBACK_MAX:])


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()


def _log_death(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    log.critical("the operator dies of an error that nobody foresaw", exc_info=(kind, error, trace))
