"""What can go wrong between a client and the API server, as data, and how a request is read to decide it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from random import Random
from urllib.parse import parse_qs

READS = frozenset({"get", "list", "watch"})
WRITES = frozenset({"create", "update", "patch", "delete"})
ALL = READS | WRITES

# Written often and of no weight for what a controller decides.
SIDE_RESOURCES = frozenset({"events", "leases", "tokenreviews", "subjectaccessreviews"})

_REASONS = {
    401: "Unauthorized",
    403: "Forbidden",
    409: "Conflict",
    410: "Expired",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_PATH = re.compile(
    r"/(?:api|apis/(?P<group>[^/]+))/[^/]+(?:/namespaces/(?P<namespace>[^/]+)(?=/))?"
    r"/(?P<resource>[^/]+)(?:/(?P<name>[^/]+)(?:/(?P<subresource>[^/]+))?)?"
)


@dataclass(frozen=True)
class Asked:
    """One request. `resource` is "" for what is no resource, such as /readyz and discovery."""

    verb: str
    resource: str = ""
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    @property
    def weighs(self) -> bool:
        """Whether it is a write that a controller's progress depends on."""
        return self.verb in WRITES and bool(self.resource) and self.resource not in SIDE_RESOURCES


@dataclass(frozen=True)
class Refusal:
    """This fraction of the requests with these verbs (on these resources, if any are named) gets `status`."""

    status: int
    fraction: float = 1.0
    verbs: frozenset[str] = ALL
    resources: frozenset[str] = frozenset()
    retry_after_s: int | None = None

    def meets(self, asked: Asked) -> bool:
        return asked.verb in self.verbs and (not self.resources or asked.resource in self.resources)


@dataclass(frozen=True)
class Faults:
    """Everything that is wrong at one time. Fractions are of requests, and drawn apart from each other."""

    refusals: tuple[Refusal, ...] = ()
    reset: float = 0  # the connection is reset before the request arrives
    lost: float = 0  # the request is carried out, and then the connection is reset
    delay_events_s: float = 0  # every watch event comes so much later
    hold_events: bool = False  # no watch event comes until this is over: a stale view
    blocked: bool = False  # nothing is answered until this is over

    def refusal(self, asked: Asked, chance: Random) -> Refusal | None:
        return next((r for r in self.refusals if r.meets(asked) and chance.random() < r.fraction), None)


def read_request(method: str, path: str, query: str) -> Asked:
    """What a request asks for, in the API server's words."""
    found = _PATH.fullmatch(path)
    if not found:
        return Asked(_VERBS.get(method, "get"))
    parts = {name: value or "" for name, value in found.groupdict().items() if name != "group"}
    if method in _VERBS:
        return Asked(_VERBS[method], **parts)
    if parse_qs(query).get("watch", ["false"])[0] in ("true", "1"):
        return Asked("watch", **parts)
    return Asked("get" if parts["name"] else "list", **parts)


def status_of(code: int, message: str = "injected by the test") -> dict[str, object]:
    """The Status that the API server gives with this code."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": _REASONS[code],
        "code": code,
    }


def error_event(code: int) -> bytes:
    """A line in a watch that ends it."""
    return json.dumps({"type": "ERROR", "object": status_of(code)}).encode() + b"\n"
