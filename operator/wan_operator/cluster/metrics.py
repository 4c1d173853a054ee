"""What the operator counts, for Prometheus. Every label has a bounded set of values.

No names, uids or namespaces: a label for each resource would grow without end, and who is served where is
kube-state-metrics' to tell. A word that is not known beforehand is counted as `other`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from importlib.metadata import version

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from wan_core.api.status import Status
from wan_core.errors import TABLE, Category
from wan_core.phases import Phase as LoadPhase
from wan_core.task import Result, Stage
from wan_operator.history import trusted_result
from wan_operator.reasons import Reason
from wan_operator.world import Observed

OTHER, NONE = "other", "none"
RESULTS = ("written", "unchanged", "conflict", "error")
VERBS = ("get", "list", "watch", "create", "apply", "patch", "update", "delete")
RESOURCES = (
    "videogenerations", "videogenerations/status", "jobs", "pods", "nodes", "events", "tokenreviews",
    "discovery", "openapi",
)  # fmt: skip
EVENT_KINDS = ("ADDED", "MODIFIED", "DELETED")
STATUS_CODES = ("404", "409", "410", "429")  # told apart, as they are part of an ordinary day
OUTCOMES = ("Succeeded", "Failed", "Interrupted", "Cancelled")
CATEGORIES = tuple(category.value for category in Category)
STAGES = tuple(stage.value for stage in Stage)
LOAD_PHASES = tuple(phase.value for phase in LoadPhase)
REASONS = frozenset(
    {
        *STAGES,
        *(row.reason for row in TABLE.values()),
        *(reason.value for reason in Reason),
        # In the platform's words.
        *("Waiting", "Unschedulable", "SchedulingGated", "ContainerCreating", "PodInitializing"),
        *("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable"),
        *("CreateContainerConfigError", "CreateContainerError", "RunContainerError", "FailedMount"),
        "PodRefused",
    }
)
RECONCILE_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0)
STAGE_BUCKETS = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0)
LOAD_BUCKETS = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0)

Labels = tuple[str, str]  # phase and reason

disable_created_metrics()  # type: ignore[no-untyped-call]  # else each counter is there twice


class Metrics:
    """All metrics of one operator, in a registry of its own."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        ProcessCollector(registry=self.registry)
        count, spread, level = self._counter, self._histogram, self._gauge
        self._queue = level("queue_depth", "Resources that wait to be reconciled.")
        self._reconcile = spread("reconcile_seconds", "Reconciles by result.", RECONCILE_BUCKETS, "result")
        self._calls = count("api_requests", "Calls of the API server.", "verb", "resource", "code")
        self._watched = count("watch_events", "Events of watches.", "resource", "type")
        self._resources = level("resources", "VideoGenerations there are.", "phase", "reason")
        self._attempts = count("attempts", "Attempts that ended.", "outcome", "category")
        self._stages = spread("stage_seconds", "Seconds in each stage of an attempt.", STAGE_BUCKETS, "stage")
        self._phases = spread(
            "load_phase_seconds", "Seconds in each phase of loading.", LOAD_BUCKETS, "phase"
        )
        self._weights = WeightsMetrics(count)
        self._reports = count("progress_reports", "Progress reports by what became of them.", "result")
        self._events = count("events", "Events about resources by what became of them.", "result")
        level("build_info", "Always 1.", "version").labels(version("wan-operator")).set(1)
        self._tracked: dict[str, Labels] = {}  # by uid
        self._labels: dict[Labels, Labels] = {}  # one tuple for the thousands that have the same

    def watch_queue(self, depth: Callable[[], int]) -> None:
        """Read the queue's depth at each scrape."""
        self._queue.set_function(depth)

    def reconciled(self, result: str, seconds: float) -> None:
        """One reconcile: `result` is `written`, `unchanged`, `conflict` or `error`."""
        self._reconcile.labels(_known(result, RESULTS)).observe(seconds)

    def called_api(self, verb: str, resource: str, status: int | None) -> None:
        """One call of the API server, None where no answer came; of a subresource: `jobs/status`."""
        self._calls.labels(_known(verb, VERBS), _known(resource, RESOURCES), _code(status)).inc()

    def saw_event(self, resource: str, kind: str | None) -> None:
        """One watch event: ADDED, MODIFIED, DELETED; None for one of the first list."""
        kind = "LISTED" if kind is None else _known(kind, EVENT_KINDS)
        self._watched.labels(_known(resource, RESOURCES), kind).inc()

    def track(self, uid: str, status: Status) -> None:
        """The status of a resource, whenever it is read or written; cheap if nothing changed."""
        labels = (status.phase.value, _known(status.reason, REASONS) if status.reason else NONE)
        before = self._tracked.get(uid)
        if labels == before:
            return
        if before is not None:
            self._resources.labels(*before).dec()
        self._tracked[uid] = self._labels.setdefault(labels, labels)
        self._resources.labels(*labels).inc()

    def untrack(self, uid: str) -> None:
        """The resource is gone."""
        before = self._tracked.pop(uid, None)
        if before is not None:
            self._resources.labels(*before).dec()

    def changed(self, old: Status, new: Status, attempts: Sequence[Observed] = ()) -> None:
        """`new` was written in place of `old`: counts the attempts that ended and their seconds by stage."""
        running = {a.number for a in old.attempts if a.outcome == "Running"}
        recorded = {a.number for a in old.attempts}
        for attempt in new.attempts:
            if attempt.outcome == "Running" or attempt.number in recorded - running:
                continue
            category = _known(attempt.category, CATEGORIES) if attempt.category else NONE
            self._attempts.labels(_known(attempt.outcome, OUTCOMES), category).inc()
            seen = next((a for a in attempts if a.number == attempt.number), None)
            result = trusted_result(seen) if seen is not None else None
            if result is not None:
                self._use(result)

    def reported(self, result: str) -> None:
        """What became of a progress report: a name of `progress.Answer`."""
        self._reports.labels(result).inc()

    def told(self, result: str) -> None:
        """What became of an Event: `posted`, `repeated`, `dropped` or `failed`."""
        self._events.labels(result).inc()

    def render(self) -> bytes:
        """The text of /metrics."""
        return generate_latest(self.registry)

    def _use(self, result: Result) -> None:
        for stage, value in result.seconds.items():
            self._stages.labels(_known(stage, STAGES)).observe(value)
        for phase, value in result.phases.items():
            self._phases.labels(_known(phase, LOAD_PHASES)).observe(value)
        self._weights.add(result)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"wan_operator_{name}_total", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"wan_operator_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: Sequence[float], *labels: str) -> Histogram:
        return Histogram(f"wan_operator_{name}", text, labels, buckets=buckets, registry=self.registry)


class WeightsMetrics:
    """What loading took, as attempts tell it at their end: an attempt that lost its Result is not in it."""

    def __init__(self, count: Callable[..., Counter]) -> None:
        self._bytes = count("weights_bytes", "Bytes of weights that attempts got, by where from.", "source")
        self._files = count("weights_files", "Files of weights: those on the node are hits.", "result")
        self._retries = count("weights_retries", "Requests for weights that had to be made again.")
        self._evicted = count("weights_evicted_bytes", "Bytes removed from caches to make room.")
        self._evicted_files = count("weights_evicted_files", "Files removed from caches to make room.")
        self._prepared = count("prepared_weights", "Look-ups of what is costly to derive.", "result")
        self._saved = count("prepared_saved_seconds", "Seconds that such hits have saved.")

    def add(self, result: Result) -> None:
        """One attempt's."""
        self._bytes.labels("s3").inc(result.bytes_loaded or 0)
        if (weights := result.weights) is not None:
            self._bytes.labels("cache").inc(weights.bytes_cached)
            self._files.labels("hit").inc(weights.hits)
            self._files.labels("miss").inc(weights.misses)
            self._retries.inc(weights.retries)
            self._evicted.inc(weights.evicted_bytes)
            self._evicted_files.inc(weights.evicted_files)
        if (prepared := result.prepared) is not None:
            self._prepared.labels("hit").inc(prepared.hits)
            self._prepared.labels("miss").inc(prepared.misses)
            self._saved.inc(prepared.seconds_saved)


def _known(word: str, words: Collection[str]) -> str:
    return word if word in words else OTHER


def _code(status: int | None) -> str:
    if status is None:
        return NONE
    return str(status) if str(status) in STATUS_CODES else f"{status // 100}xx"
