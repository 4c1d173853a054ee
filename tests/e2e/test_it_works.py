"""It works: what a person does and sees, with the real runner and the demo models."""

from __future__ import annotations

import io
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import yaml

from bench.wan_tiny.judge import Verdict, read_clip
from tests.e2e.bed import ROOT, Bed, Options, wait_until
from tests.e2e.films import TINY, Films, script
from tests.e2e.table import read_table
from tests.e2e.whole_status import assert_whole
from wan_core.task import Stage

BED = Options(namespaces=15)
EXAMPLES = ROOT / "examples"
SLOW_TINY = {**TINY, "steps": 200}  # long enough to be caught in the act


def example(name: str) -> dict[str, Any]:
    document = yaml.safe_load((EXAMPLES / name).read_text())
    return dict(document["spec"])


def video_of(bed: Bed, uri: str) -> bytes:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bytes(bed.s3.client().get_object(Bucket=bucket, Key=key)["Body"].read())


def decode(data: bytes) -> tuple[np.ndarray, float]:
    """Frames [T, H, W, 3] in 0..1, and frames a second."""
    with av.open(io.BytesIO(data)) as file:
        rate = float(file.streams.video[0].average_rate or 0)
        frames = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
    return np.stack(frames) / 255.0, rate


def test_a_manifest_becomes_a_video_in_s3(bed: Bed, films: Films) -> None:
    namespace, kubectl = films.namespace, bed.control.kubectl
    kubectl("apply", "-n", namespace, "-f", str(EXAMPLES / "tiny.yaml"))
    kubectl("wait", "-n", namespace, "--for=condition=Finished", "vgen/tiny", "--timeout=300s")
    status = films.wait_end("tiny", "Succeeded")
    video = video_of(bed, status["output"]["uri"])
    frames, fps = decode(video)
    assert (frames.shape, fps) == ((17, 64, 64, 3), 8)
    assert read_clip(frames) == Verdict("red", "circle", "right")
    assert_whole(films, "tiny", video)
    phases = films.witness.phases(namespace, "tiny")
    order = ["Pending", "Planned", "Queued", "Starting", "Loading", "Running", "Uploading", "Succeeded"]
    assert phases == sorted(phases, key=order.index)
    assert {"Running", "Succeeded"} <= set(phases)
    assert_table(bed, films, "tiny")
    wait_until(lambda: not films.jobs(), 120, lambda: "the Job is still there")


def assert_table(bed: Bed, films: Films, name: str) -> None:
    """What `kubectl get` prints of the only resource, which has succeeded; cell by cell, and `-o wide`."""
    get = ("get", "vgen", "-n", films.namespace)
    (row,), (wide,) = (read_table(bed.control.kubectl(*get, *o)) for o in ((), ("-o", "wide")))
    status = films.status(name)
    (attempt,) = status["attempts"]
    cells = {
        "NAME": name,
        "PHASE": "Succeeded",
        "PROGRESS": "100",
        "ETA": "",
        "MODEL": "wan-tiny",
        "PLAN": "wan-tiny/cpu/bf16+resident",
        "GPU": attempt["gpu"],
    }
    more = {
        "NODE": attempt["node"],
        "ATTEMPTS": "1",
        "REASON": "Succeeded",
        "OUTPUT": status["output"]["uri"],
    }
    ages = row.pop("AGE"), wide.pop("AGE")
    assert all(re.fullmatch(r"(\d+m)?\d*s?", age) and age for age in ages), ages
    assert row == cells
    assert wide == cells | more


def test_a_person_can_follow_it(bed: Bed, films: Films) -> None:
    namespace, kubectl = films.namespace, bed.control.kubectl
    films.apply("corgi", **SLOW_TINY)
    row = wait_until(lambda: row_under_way(bed, films), 180, lambda: films.told("corgi"))
    assert (row["MODEL"], row["PLAN"]) == ("wan-tiny", "wan-tiny/cpu/bf16+resident")
    told = kubectl("describe", "vgen", "corgi", "-n", namespace)
    for word in ("Conditions:", "Ladder:", "Attempts:", "Would Fit If:", "Node:  "):
        assert word in told
    told = wait_until(lambda: with_events(bed, films, "corgi"), 120, lambda: "no Event about its attempt")
    events = told[told.index("Events:") :]
    assert re.search(r"Normal +Planned .* wan-operator +1 of 2 plans fit; wan-tiny/cpu/bf16", events)
    assert re.search(r"Normal +AttemptRunning .* attempt 1 runs wan-tiny/cpu/bf16\+resident on CPU", events)
    films.delete("corgi")


def row_under_way(bed: Bed, films: Films) -> dict[str, str]:
    """What `kubectl get` prints of the only resource, while it runs and is not done."""
    (row,) = read_table(bed.control.kubectl("get", "vgen", "-n", films.namespace))
    return row if row["PHASE"] == "Running" and int(row["PROGRESS"]) < 100 else {}


def with_events(bed: Bed, films: Films, name: str) -> str:
    """What `kubectl describe` says, once it tells of the attempt."""
    told = bed.control.kubectl("describe", "vgen", name, "-n", films.namespace)
    return told if "AttemptRunning" in told else ""


def test_the_table_tells_when_it_will_be_done(bed: Bed, films: Films) -> None:
    """Of a scripted one: the demo model has done its work before it can be told."""
    bed.install(**bed.runner("scripted"))
    try:
        films.apply("corgi", model="wan-tiny", prompt=script({"seconds": 100}))
        films.wait("corgi", tells_when, what="when it will be done")
        (row,) = read_table(bed.control.kubectl("get", "vgen", "-n", films.namespace))
        assert (row["PHASE"], row["GPU"]) == ("Running", "a device")
        assert 0 < int(row["PROGRESS"]) < 100
        left = datetime.fromisoformat(row["ETA"]) - datetime.now(UTC)
        assert timedelta() < left < timedelta(seconds=100)
        films.delete("corgi")
    finally:
        bed.install()


def tells_when(status: dict[str, Any]) -> bool:
    """Whether it has come so far that it can say."""
    progress = status.get("progress", {})
    return bool(progress.get("eta")) and progress["percent"] > 0


def test_its_log_tells_its_stages_and_is_found_by_its_uid(bed: Bed, films: Films) -> None:
    uid = films.apply("told", **TINY)["metadata"]["uid"]
    films.wait_running_pod()
    by_uid = ("-f", "--tail=-1", "-l", f"wan.video/uid={uid}")
    log = bed.control.kubectl("logs", "-n", films.namespace, *by_uid)
    assert re.findall(r"^.* INFO wan_runner.watch: (\w+)$", log, re.MULTILINE) == [s.value for s in Stage]
    assert "plan wan-tiny/cpu/bf16+resident on CPU" in log
    assert f"done: s3://videos/{films.namespace}/{uid}/1/video.mp4" in log
    assert TINY["prompt"] not in log
    films.wait_end("told", "Succeeded")


def test_an_image_of_an_allowed_bucket_starts_a_video(bed: Bed, films: Films) -> None:
    image = EXAMPLES / "blue-square.png"
    bed.s3.client().put_object(Bucket="inputs", Key="blue-square.png", Body=image.read_bytes())
    films.apply("square", **example("tiny-i2v.yaml"))
    status = films.wait_end("square", "Succeeded")
    frames, _ = decode(video_of(bed, status["output"]["uri"]))
    assert read_clip(frames) == Verdict("blue", "square", "down")


def test_an_image_of_another_bucket_is_refused(films: Films) -> None:
    films.apply("square", **{**example("tiny-i2v.yaml"), "image": "s3://secrets/blue-square.png"})
    status = films.wait_end("square", "Failed")
    assert status["reason"] == "InvalidInput"
    assert 'bucket "secrets" may not hold input images; allowed: inputs' in status["message"]
    assert not films.jobs()


def test_a_suspended_resource_is_planned_in_full_and_runs_when_resumed(films: Films) -> None:
    films.apply("later", **TINY, suspend=True)
    status = films.wait_phase("later", "Suspended")
    assert status["ladder"]
    assert "plan" in status, status
    assert not films.jobs()
    films.edit("later", suspend=False)
    films.wait_end("later", "Succeeded")


def test_suspending_a_running_one_stops_it_uncharged(films: Films) -> None:
    films.apply("pause", **SLOW_TINY)
    films.wait_phase("pause", "Running")
    films.edit("pause", suspend=True)
    films.wait_phase("pause", "Suspended")
    assert not [p for p in films.pods() if p["status"]["phase"] == "Running"]
    assert films.outcomes("pause")[0][1] == "Cancelled"
    films.edit("pause", suspend=False)
    films.wait(
        "pause", lambda s: s.get("phase") == "Running" and len(s["attempts"]) == 2, what="a second attempt"
    )
    films.edit("pause", cancel=True)
    films.wait_end("pause", "Cancelled")


def test_cancelling_keeps_the_record_and_leaves_nothing(films: Films) -> None:
    films.apply("stop", **SLOW_TINY)
    films.wait_phase("stop", "Running")
    films.edit("stop", cancel=True)
    status = films.wait_end("stop", "Cancelled")
    assert [a["outcome"] for a in status["attempts"]] == ["Cancelled"]
    assert films.keys("stop") == []
    wait_until(lambda: not films.jobs() and not films.pods(), 120, lambda: "its Job or pod is still there")


def test_a_missing_secret_ends_it_with_advice_that_names_it(bed: Bed, films: Films) -> None:
    bed.control.kubectl("delete", "secret", "wan-s3", "-n", films.namespace)
    films.apply("locked", **TINY)
    status = films.wait_end("locked", "Failed")
    assert status["reason"] == "AccessDenied"
    assert "no usable S3 credentials" in status["message"]
    assert 'key "credentials" of Secret wan-s3' in status["message"]
    (attempt,) = status["attempts"]
    assert attempt["category"] == "ACCESS_DENIED"
    bed.give_secret(films.namespace)
    films.apply("open", **TINY)
    films.wait_end("open", "Succeeded")


def test_what_lies_where_an_attempt_writes_is_not_overwritten(bed: Bed, films: Films) -> None:
    """IfNoneMatch: should two processes ever be one attempt, only one of them makes its video."""
    films.apply("fenced", **TINY, suspend=True)
    films.wait_phase("fenced", "Suspended")
    key = f"{films.namespace}/{films.get('fenced')['metadata']['uid']}/1/video.mp4"
    bed.s3.client().put_object(Bucket="videos", Key=key, Body=b"the other one's")
    films.edit("fenced", suspend=False)
    status = films.wait_end("fenced", "Failed")
    assert "video.mp4" in status["message"]
    assert bed.s3.client().get_object(Bucket="videos", Key=key)["Body"].read() == b"the other one's"
    assert films.keys("fenced") == [key]


@pytest.mark.parametrize("example_file", sorted(p.name for p in EXAMPLES.glob("*.yaml")))
def test_every_example_is_admitted(bed: Bed, films: Films, example_file: str) -> None:
    path: Path = EXAMPLES / example_file
    if "kind: VideoGeneration" not in path.read_text():
        pytest.skip("not a VideoGeneration")
    bed.control.kubectl("apply", "-n", films.namespace, "--dry-run=server", "-f", str(path))
