"""It works: what a person does and sees, with the real runner and the demo models."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import yaml

from bench.wan_tiny.judge import Verdict, read_clip
from tests.e2e.bed import ROOT, Bed, wait_until
from tests.e2e.films import TINY, Films

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
    kubectl("wait", "-n", namespace, "--for=condition=Finished", "vgen/tiny", "--timeout=120s")
    status = films.wait_end("tiny", "Succeeded")
    output = status["output"]
    data = video_of(bed, output["uri"])
    frames, fps = decode(data)
    assert frames.shape == (output["frames"], output["height"], output["width"], 3) == (17, 64, 64, 3)
    assert fps == output["fps"]
    assert read_clip(frames) == Verdict("red", "circle", "right")
    assert len(data) == output["bytes"]
    assert status["progress"]["percent"] == 100
    assert [a["outcome"] for a in status["attempts"]] == ["Succeeded"]
    attempt = status["attempts"][0]
    assert attempt["node"] in [node["metadata"]["name"] for node in bed.api.list("/api/v1/nodes")]
    assert attempt["pod"].startswith("tiny-")
    assert attempt["bytesLoaded"] > 0
    phases = films.witness.phases(namespace, "tiny")
    order = ["Pending", "Planned", "Queued", "Starting", "Loading", "Running", "Uploading", "Succeeded"]
    assert phases == sorted(phases, key=order.index)
    assert {"Running", "Succeeded"} <= set(phases)
    wait_until(lambda: not films.jobs(), 20, lambda: "the Job is still there")


def test_a_person_can_follow_it(bed: Bed, films: Films) -> None:
    namespace, kubectl = films.namespace, bed.control.kubectl
    films.apply("corgi", **SLOW_TINY)
    films.wait_phase("corgi", "Running")
    table = kubectl("get", "vgen", "-n", namespace).splitlines()
    assert table[0].split() == ["PHASE", "PROGRESS", "ETA", "MODEL", "PLAN", "GPU", "AGE"] or table[
        0
    ].split() == ["NAME", "PHASE", "PROGRESS", "ETA", "MODEL", "PLAN", "GPU", "AGE"]
    assert "Running" in table[1]
    assert "wan-tiny" in table[1]
    uid = films.get("corgi")["metadata"]["uid"]
    logs = kubectl("logs", "-n", namespace, "-l", f"wan.video/uid={uid}", "--tail=-1")
    assert logs.strip()
    told = kubectl("describe", "vgen", "corgi", "-n", namespace)
    for word in ("Conditions:", "Ladder:", "Attempts:", "Events:", "Planned"):
        assert word in told
    films.delete("corgi")


def test_an_image_of_an_allowed_bucket_starts_a_video(bed: Bed, films: Films) -> None:
    image = EXAMPLES / "blue-square.png"
    bed.s3.client().put_object(Bucket="inputs", Key="blue-square.png", Body=image.read_bytes())
    films.apply("square", **example("tiny-i2v.yaml"))
    status = films.wait_end("square", "Succeeded")
    frames, _ = decode(video_of(bed, status["output"]["uri"]))
    assert read_clip(frames) == Verdict("blue", "square", "down")


def test_an_image_of_another_bucket_is_refused(films: Films) -> None:
    films.apply("square", **{**example("tiny-i2v.yaml"), "image": "s3://secrets/blue-square.png"})
    status = films.wait_end("square", "Failed", timeout_s=20)
    assert status["reason"] == "InvalidInput"
    assert 'bucket "secrets" may not hold input images; allowed: inputs' in status["message"]
    assert not films.jobs()


def test_a_suspended_resource_is_planned_in_full_and_runs_when_resumed(films: Films) -> None:
    films.apply("later", **TINY, suspend=True)
    status = films.wait_phase("later", "Suspended", timeout_s=20)
    assert status["ladder"]
    assert "plan" in status, status
    assert not films.jobs()
    films.edit("later", suspend=False)
    films.wait_end("later", "Succeeded")


def test_suspending_a_running_one_stops_it_uncharged(films: Films) -> None:
    films.apply("pause", **SLOW_TINY)
    films.wait_phase("pause", "Running")
    films.edit("pause", suspend=True)
    films.wait_phase("pause", "Suspended", timeout_s=30)
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
    status = films.wait_end("stop", "Cancelled", timeout_s=30)
    assert [a["outcome"] for a in status["attempts"]] == ["Cancelled"]
    assert films.keys("stop") == []
    wait_until(lambda: not films.jobs() and not films.pods(), 20, lambda: "its Job or pod is still there")


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
