"""Metrics: what they count, and that a hundred resources need no more series than one."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from tests.wan_operator.worlds import NOW, ended, failed, past, result_of, runs, world_of, written
from wan_core.api.status import Phase, Status
from wan_core.errors import TABLE, Category
from wan_core.task import PreparedUse, Stage, WeightsUse
from wan_operator.cluster.metrics import REASONS, Metrics
from wan_operator.decide import decide


def series(metrics: Metrics) -> dict[str, float]:
    """Every sample of ours as Prometheus reads it, by name and labels."""
    return {
        f"{sample.name}{dict(sorted(sample.labels.items()))}": sample.value
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
        if sample.name.startswith("wan_operator_")
    }


def value(metrics: Metrics, name: str, **labels: str) -> float:
    return series(metrics).get(f"wan_operator_{name}{dict(sorted(labels.items()))}", 0.0)


def live(metrics: Metrics, number: int) -> None:
    """One resource's whole life, with words that nobody foresaw."""
    uid = f"uid-{number}"
    was = Status()
    for phase, reason in [
        (Phase.PENDING, "NoPlanFits"),
        (Phase.QUEUED, f"Unforeseen{number}"),
        (Phase.RUNNING, "Denoising"),
    ]:
        now = written(past(1, "Running"), phase=phase, reason=reason)
        metrics.track(uid, now)
        metrics.changed(was, now)
        was = now
    result = result_of(
        seconds={"Denoising": 12.5, f"Stage{number}": 1.0},
        phases={"download": 2.0, f"phase {number}": 1.0},
        weights=WeightsUse(hits=number),
    )
    end = written(
        past(1, "Failed", Category.CUDA_OUT_OF_MEMORY), phase=Phase.FAILED, reason="CUDAOutOfMemory"
    )
    metrics.changed(was, end, [ended(1, 71, result=result)])
    metrics.track(uid, end)
    metrics.called_api(f"verb{number}", f"things{number}", 200 + number)
    metrics.saw_event("videogenerations", "ADDED")
    metrics.saw_event(f"things{number}", f"KIND{number}")
    metrics.reconciled(f"result{number}", 0.01)
    metrics.untrack(uid)


def test_a_hundred_resources_need_no_more_series_than_two() -> None:
    metrics = Metrics()
    for number in (1, 2):
        live(metrics, number)
    few = series(metrics).keys()
    for number in range(3, 100):
        live(metrics, number)
    assert series(metrics).keys() == few
    assert len(few) < 120


def test_resources_are_counted_where_they_are_now() -> None:
    metrics = Metrics()
    for uid in ("a", "b", "c"):
        metrics.track(uid, Status(phase=Phase.RUNNING, reason="Denoising"))
    metrics.track("a", Status(phase=Phase.SUCCEEDED, reason="Succeeded"))
    metrics.track("a", Status(phase=Phase.SUCCEEDED, reason="Succeeded"))
    metrics.untrack("b")
    metrics.untrack("b")
    assert value(metrics, "resources", phase="Running", reason="Denoising") == 1
    assert value(metrics, "resources", phase="Succeeded", reason="Succeeded") == 1


def test_a_resource_without_a_reason_is_counted() -> None:
    metrics = Metrics()
    metrics.track("a", Status())
    assert value(metrics, "resources", phase="Pending", reason="none") == 1


def test_every_end_of_an_attempt_is_counted_once() -> None:
    metrics = Metrics()
    first = written(past(1, "Failed", Category.CUDA_OUT_OF_MEMORY), past(2, "Running"))
    second = written(past(1, "Failed", Category.CUDA_OUT_OF_MEMORY), past(2, "Succeeded"))
    seen = [ended(2, 0, result=result_of(2, seconds={Stage.DENOISING.value: 12.5}))]
    metrics.changed(written(past(1, "Running")), first)
    metrics.changed(first, second, seen)
    metrics.changed(second, second, seen)
    assert value(metrics, "attempts_total", outcome="Failed", category="CUDA_OUT_OF_MEMORY") == 1
    assert value(metrics, "attempts_total", outcome="Succeeded", category="none") == 1
    assert value(metrics, "stage_seconds_sum", stage="Denoising") == 12.5
    assert value(metrics, "stage_seconds_count", stage="Denoising") == 1


def test_what_loading_took_is_counted_once_where_the_result_tells() -> None:
    metrics = Metrics()
    result = result_of(
        bytes_loaded=70,
        weights=WeightsUse(bytes_cached=30, hits=2, misses=1, retries=4, evicted_files=5, evicted_bytes=600),
        prepared=PreparedUse(hits=7, misses=8, seconds_saved=9.5),
        phases={"download": 12.0, "cache check": 0.2, "a phase of another version": 1.0},
    )
    end = written(past(1, "Succeeded"))
    metrics.changed(written(past(1, "Running")), end, [ended(1, 0, result=result)])
    metrics.changed(end, end, [ended(1, 0, result=result)])
    counted = {
        "weights_bytes_total": {("source", "s3"): 70, ("source", "cache"): 30},
        "weights_files_total": {("result", "hit"): 2, ("result", "miss"): 1},
        "prepared_weights_total": {("result", "hit"): 7, ("result", "miss"): 8},
        "load_phase_seconds_sum": {("phase", "download"): 12.0, ("phase", "other"): 1.0},
        "load_phase_seconds_count": {("phase", "cache check"): 1, ("phase", "loading"): 0},
    }
    for name, values in counted.items():
        assert {label: value(metrics, name, **dict([label])) for label in values} == values
    bare = ("weights_retries", "weights_evicted_files", "weights_evicted_bytes", "prepared_saved_seconds")
    assert [value(metrics, f"{name}_total") for name in bare] == [4, 5, 600, 9.5]


def test_an_attempt_that_was_never_seen_running_is_counted() -> None:
    metrics = Metrics()
    metrics.changed(Status(), written(past(1, "Interrupted", Category.INTERRUPTED)))
    assert value(metrics, "attempts_total", outcome="Interrupted", category="INTERRUPTED") == 1


def test_seconds_of_a_result_about_another_task_are_not_believed() -> None:
    metrics = Metrics()
    result = result_of(1, seconds={"Denoising": 5.0}).model_copy(update={"task_digest": "other"})
    metrics.changed(written(past(1, "Running")), written(past(1, "Failed")), [ended(1, 0, result=result)])
    assert value(metrics, "stage_seconds_count", stage="Denoising") == 0


def test_calls_of_the_api_server_are_told_by_class_of_answer() -> None:
    metrics = Metrics()
    for status in (200, 201, 409, 422, 500, 503, None):
        metrics.called_api("create", "jobs", status)
    counts = {code: value(metrics, "api_requests_total", verb="create", resource="jobs", code=code)
              for code in ("2xx", "409", "4xx", "5xx", "none")}  # fmt: skip
    assert counts == {"2xx": 2, "409": 1, "4xx": 1, "5xx": 2, "none": 1}


def test_the_queues_depth_is_that_of_the_scrape() -> None:
    metrics, queue = Metrics(), [1, 2]
    metrics.watch_queue(lambda: len(queue))
    assert value(metrics, "queue_depth") == 2
    queue.append(3)
    assert value(metrics, "queue_depth") == 3


def test_two_operators_in_one_process_do_not_meet() -> None:
    one, other = Metrics(), Metrics()
    one.reconciled("written", 0.1)
    assert value(other, "reconcile_seconds_count", result="written") == 0


def test_the_build_and_the_process_are_described() -> None:
    metrics = Metrics()
    assert any(name.startswith("wan_operator_build_info") for name in series(metrics))
    assert b"process_resident_memory_bytes" in metrics.render()


def test_the_reasons_that_decisions_give_are_known() -> None:
    worlds = [
        world_of(),
        world_of(runs()),
        world_of(ended(1, 0, result=result_of())),
        world_of(suspend=True),
        world_of(cancel=True),
        *(world_of(failed(1, category), fallback={"maxAttempts": 1}) for category in TABLE),
    ]
    reasons = {decide(world, NOW).status.reason for world in worlds}
    assert reasons <= REASONS
