"""A VideoGeneration as the API server has it -> what can be read of it. Whatever it holds, no exception.

The API server lets through what our models refuse. A spec that cannot be read is told as problems; a status
that somebody edited counts as not written yet, and the Jobs tell which attempts there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from wan_core.api.parse import PROBLEMS_MAX
from wan_core.api.problems import problem_of
from wan_core.api.rules import problems_of
from wan_core.api.spec import Spec
from wan_core.api.status import Metadata, Status, VideoGeneration

FINISHED = frozenset({"Succeeded", "Failed", "Cancelled"})


@dataclass(frozen=True)
class Video:
    """One resource. `written` is whether `status` is what stands on the API server, word for word."""

    metadata: Metadata
    version: str
    spec: Spec | None
    problems: tuple[str, ...]
    status: Status
    written: bool
    deleting: bool

    @property
    def key(self) -> tuple[str, str]:
        return self.metadata.namespace, self.metadata.name


def read_video(document: Mapping[str, Any]) -> Video:
    """What can be read of it. The API server vouches for the metadata: else a ValidationError."""
    metadata = document["metadata"]
    spec, problems = read_spec(document.get("spec"))
    status, written = read_status(document.get("status"))
    return Video(
        metadata=Metadata.model_validate(metadata, by_alias=True, by_name=False),
        version=str(metadata["resourceVersion"]),
        spec=spec,
        problems=problems,
        status=status,
        written=written,
        deleting="deletionTimestamp" in metadata,
    )


def read_spec(data: object) -> tuple[Spec | None, tuple[str, ...]]:
    """The spec, or None and what is wrong with it: an API server may lack the CRD's rules, or its schema."""
    try:
        spec = Spec.model_validate(data, by_alias=True, by_name=False)
    except ValidationError as error:
        found = error.errors(include_url=False)[:PROBLEMS_MAX]
        # The paths are those of the whole resource.
        return None, tuple(problem_of({**e, "loc": ("spec", *e["loc"])}, VideoGeneration) for e in found)
    problems = problems_of(spec.to_dict())
    return (None, problems) if problems else (spec, ())


def read_status(data: object) -> tuple[Status, bool]:
    """The status and True, or an empty one and False where there is none that we wrote."""
    if not data:
        return Status(), False
    try:
        return Status.model_validate(data, by_alias=True, by_name=False), True
    except ValidationError:
        return Status(), False


def is_settled(document: Mapping[str, Any]) -> bool:
    """Whether it is finished, says so, and will stay as it is: nothing needs to be read of it."""
    status, spec = document.get("status"), document.get("spec")
    return (
        isinstance(status, dict)
        and isinstance(spec, dict)
        and status.get("phase") in FINISHED
        and status.get("observedGeneration") == document["metadata"].get("generation")
        and not spec.get("retention")
        and "deletionTimestamp" not in document["metadata"]
    )
