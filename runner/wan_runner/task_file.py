"""The Task as the runner reads it: once, from a file that somebody may have broken."""

from __future__ import annotations

import json

from pydantic import ValidationError

from wan_core.errors import InvalidInput
from wan_core.task import Result, Task


def read_task(raw: bytes) -> Task:
    """The Task in `raw`; InvalidInput with every problem, each `task.path: what`."""
    try:
        task = Task.model_validate_json(raw)
    except ValidationError as error:
        problems = [
            f"task.{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_url=False)
        ]
        raise InvalidInput(problems[:10]) from error
    if missing := sorted({r.plan.model for r in task.rungs} - set(task.requests)):
        raise InvalidInput(f"task.requests: no request for {', '.join(missing)}")
    return task


def result_of_broken(raw: bytes, problem: InvalidInput) -> Result | None:
    """A Result for a Task that cannot be read, if it at least tells whose it is. No digest to echo."""
    try:
        data = json.loads(raw)
        uid, attempt = data["uid"], data["attempt"]
        return Result(
            uid=uid,
            attempt=attempt,
            task_digest="",
            category=problem.category,
            message=problem.message,
            advice=problem.advice,
        )
    except (ValueError, KeyError, TypeError):  # a pydantic ValidationError is a ValueError
        return None
