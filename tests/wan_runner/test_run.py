"""`wan-runner run` as a process, against a real S3: what an operator sees."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.wan_core.pipeline.models import KINDS, save_model
from tests.wan_runner.inbox import Inbox
from tests.wan_runner.tasks import build_request, build_rung, build_task, write_task
from wan_core.phases import Phase
from wan_core.task import Progress, Result, Stage, Task
from wan_runner.store.manifest import read_manifest
from wan_runner.store.publish import publish_folder

GIB = 2**30


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {kind: save_model(tmp_path_factory.mktemp(kind), **KINDS[kind]) for kind in ("t2v", "i2v")}


@pytest.fixture
def bucket(s3: Any, folders: dict[str, Path]) -> Any:
    """S3 with both tiny models in it (of random weights)."""
    publish_folder(folders["t2v"], "s3://weights/wan-tiny")
    publish_folder(folders["i2v"], "s3://weights/wan-tiny-i2v")
    return s3


def start(folder: Path, task: Task, *options: str, limit: int | None = None) -> subprocess.Popen[str]:
    """The runner as a process, started as a console script is; `limit` bounds its address space in bytes."""
    arguments = ["run", "--task", str(write_task(folder, task)), "--result", str(folder / "result.json")]
    arguments += options
    return subprocess.Popen(
        [sys.executable, "-m", "wan_runner", *arguments, "--cache", str(folder / "cache")],
        stderr=subprocess.PIPE,
        text=True,
        env=dict(os.environ),
        preexec_fn=(lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit))) if limit else None,
    )


def finish(process: subprocess.Popen[str], folder: Path) -> tuple[int, Result | None, str]:
    """Exit code, Result and log."""
    _, log = process.communicate(timeout=240)
    file = folder / "result.json"
    return process.returncode, Result.model_validate_json(file.read_text()) if file.exists() else None, log


def stored(s3: Any) -> list[str]:
    return [entry["Key"] for entry in s3.list_objects_v2(Bucket="videos").get("Contents", [])]


def read(s3: Any, key: str) -> bytes:
    return bytes(s3.get_object(Bucket="videos", Key=key)["Body"].read())


def assert_nothing_is_left(s3: Any) -> None:
    assert stored(s3) == []
    assert s3.list_multipart_uploads(Bucket="videos").get("Uploads", []) == []


@pytest.mark.slow
def test_a_task_becomes_a_video_with_a_manifest(bucket: Any, inbox: Inbox, tmp_path: Path) -> None:
    task = build_task(report_url=inbox.url)
    code, result, log = finish(start(tmp_path, task), tmp_path)
    assert code == 0, log
    assert result is not None
    assert result.category is None
    assert (result.task_digest, result.plan) == (task.digest(), "wan-tiny/cpu/bf16+resident")
    assert stored(bucket) == ["default/u-1/1/manifest.json", "default/u-1/1/video.mp4"]
    assert result.bytes_loaded == bytes_of_model(bucket)
    assert result.weights is not None
    assert (result.weights.hits, result.weights.bytes_cached, result.warnings) == (0, 0, ())
    assert {"initialization", "download", "loading"} <= result.phases.keys() <= set(Phase)
    video = read(bucket, "default/u-1/1/video.mp4")
    assert result.output is not None
    assert (result.output.sha256, result.output.bytes) == (hashlib.sha256(video).hexdigest(), len(video))
    with av.open(io.BytesIO(video)) as container:
        assert [(f.width, f.height) for f in container.decode(video=0)] == [(64, 64)] * 5
    manifest = json.loads(read(bucket, "default/u-1/1/manifest.json"))
    check_manifest(manifest, task, result)
    assert manifest["model"] == {"id": "wan-tiny", "digest": digest_of_model(bucket)}
    check_reports([Progress.model_validate(letter) for letter in inbox.letters])
    assert re.findall(r"INFO wan_runner.watch: (\w+)$", log, re.MULTILINE) == [stage.value for stage in Stage]


@pytest.mark.slow
def test_the_reference_makes_the_same_video_and_says_that_it_did(bucket: Any, tmp_path: Path) -> None:
    told, frames = [], []
    for uid, options in (("ours", ()), ("theirs", ("--reference",))):
        (tmp_path / uid).mkdir()
        task = build_task().model_copy(update={"uid": uid, "output": f"s3://videos/{uid}/"})
        code, result, log = finish(start(tmp_path / uid, task, *options), tmp_path / uid)
        assert code == 0, log
        assert result is not None
        told.append((result.engine, json.loads(read(bucket, f"{uid}/manifest.json"))["engine"]))
        with av.open(io.BytesIO(read(bucket, f"{uid}/video.mp4"))) as video:
            frames.append(np.stack([f.to_ndarray(format="rgb24") for f in video.decode(video=0)]))
    assert told[0][0] == told[0][1]["name"] == "wan_core"
    assert told[1] == ("diffusers", {"name": "diffusers", "version": version("diffusers")})
    assert np.abs(frames[0].astype(int) - frames[1].astype(int)).mean() < 0.1


def check_manifest(manifest: dict[str, Any], task: Task, result: Result) -> None:
    assert manifest["taskDigest"] == task.digest()
    assert manifest["request"] == task.requests["wan-tiny"].to_dict()
    assert manifest["plan"]["techniques"] == ["bf16", "resident"]
    assert manifest["engine"]["name"] == result.engine == "wan_core"
    assert manifest["engine"]["attention"] == {"name": "sdpa", "source": "only"}
    assert manifest["output"]["sha256"] == result.output.sha256  # type: ignore[union-attr]
    assert manifest["versions"].keys() == {
        "python",
        "wan-operator",
        "torch",
        "diffusers",
        "transformers",
        "av",
    }
    assert set(manifest["seconds"]) == {stage.value for stage in Stage} - {"Uploading"}
    assert 0 < manifest["peakDeviceGib"] < 4


def digest_of_model(s3: Any) -> str:
    """Of the weights that lie in S3."""
    text = s3.get_object(Bucket="weights", Key="wan-tiny/manifest.json")["Body"].read()
    return read_manifest(text, "wan-tiny/manifest.json").digest()


def bytes_of_model(s3: Any) -> int:
    """Each content once."""
    text = s3.get_object(Bucket="weights", Key="wan-tiny/manifest.json")["Body"].read()
    return sum(file.bytes for file in read_manifest(text, "wan-tiny/manifest.json").distinct())


def check_reports(reports: list[Progress]) -> None:
    order = [stage.value for stage in Stage]
    seen = [order.index(report.stage) for report in reports]
    assert seen == sorted(seen)
    assert {"Starting", "Loading"} <= {report.stage for report in reports}
    assert reports[-1].plan == "wan-tiny/cpu/bf16+resident"
    loads = [report.load for report in reports if report.load is not None]
    assert {report.stage for report in reports if report.load is not None} == {
        "Starting",
        "Fetching",
        "Loading",
    }
    assert [load.percent for load in loads] == sorted(load.percent for load in loads)
    assert all(load.rss_bytes for load in loads)


REFUSED: dict[str, tuple[Callable[[Any], Task], int, str, str]] = {
    "a bad image, before a weight is fetched": (
        lambda s3: (
            s3.put_object(Bucket="inputs", Key="x.png", Body=b"<html>403</html>")
            and build_task(request=build_request("wan-tiny-i2v", image="s3://inputs/x.png"))
        ),
        64,
        "INVALID_INPUT",
        "spec.image: this is an HTML page",
    ),
    "an image that is not there": (
        lambda _s3: build_task(request=build_request("wan-tiny-i2v", image="s3://inputs/none.png")),
        64,
        "INVALID_INPUT",
        "spec.image",
    ),
    "a model that was not published": (
        lambda _s3: build_task(request=build_request("t2v-A14B")),
        66,
        "MODEL_NOT_FOUND",
        "t2v-A14B",
    ),
    "a bucket for videos that is not there, before a weight is fetched": (
        lambda _s3: build_task().model_copy(update={"output": "s3://nowhere/default/u-1/1/"}),
        77,
        "ACCESS_DENIED",
        "cannot write: there is no bucket 'nowhere'",
    ),
    "no plan that fits": (
        lambda _s3: build_task(build_rung("wan-tiny", "cpu", gib=10**6)),
        72,
        "HOST_OUT_OF_MEMORY",
        "1000000.0 GiB",
    ),
    "no GPU": (
        lambda _s3: build_task(build_rung("wan-tiny", "cuda")),
        74,
        "INCOMPATIBLE_HARDWARE",
        "is for cuda",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_work_ends_before_torch_is_imported(name: str, s3: Any, tmp_path: Path) -> None:
    if name == "no GPU" and any(Path(p).exists() for p in ("/dev/nvidiactl", "/dev/dxg")):
        pytest.skip("this machine may have a GPU")
    build, exit_code, category, words = REFUSED[name]
    code, result, log = finish(start(tmp_path, build(s3)), tmp_path)
    assert code == exit_code, log
    assert result is not None
    assert result.category == category
    assert words in result.message
    assert result.advice
    assert "Loading" not in result.seconds
    assert "Traceback" not in log
    assert_nothing_is_left(s3)


MOMENTS = {
    "SIGTERM while starting": (signal.SIGTERM, Stage.STARTING, 1),
    "SIGTERM while importing torch": (signal.SIGTERM, Stage.LOADING, 1),
    "SIGTERM while importing torch, twice": (signal.SIGTERM, Stage.LOADING, 2),
    "SIGINT while importing torch": (signal.SIGINT, Stage.LOADING, 1),
    "SIGTERM while denoising": (signal.SIGTERM, Stage.DENOISING, 1),
}


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
def test_told_to_stop(moment: str, bucket: Any, inbox: Inbox, tmp_path: Path) -> None:
    number, stage, times = MOMENTS[moment]
    process = start(tmp_path, build_task(request=build_request(steps=200, frames=17), report_url=inbox.url))
    inbox.wait_for(stage)
    for _ in range(times):
        process.send_signal(number)
    code, result, log = finish(process, tmp_path)
    assert code == 75, log
    assert result is not None
    assert result.category == "INTERRUPTED"
    assert result.task_digest
    assert_nothing_is_left(bucket)


@pytest.mark.slow
def test_told_to_stop_before_the_task_was_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "task.json")
    arguments = ["run", "--task", str(tmp_path / "task.json"), "--result", str(tmp_path / "result.json")]
    process = subprocess.Popen([sys.executable, "-m", "wan_runner", *arguments])
    with open(tmp_path / "task.json", "w"):  # opens once the runner reads: its handlers are in place by then
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 75


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="RLIMIT_AS is enforced on Linux")
@pytest.mark.parametrize(
    "limit", [int(2.5 * GIB), int(0.6 * GIB)], ids=["too little for torch", "too little for the plan"]
)
def test_memory_that_runs_out_is_named(limit: int, bucket: Any, tmp_path: Path) -> None:
    code, result, log = finish(start(tmp_path, build_task(), limit=limit), tmp_path)
    assert code == 72, log
    assert result is not None
    assert result.category == "HOST_OUT_OF_MEMORY"
    assert "memory" in result.message
    assert_nothing_is_left(bucket)


ARGUMENTS = {
    "no command": [],
    "an unknown command": ["dance"],
    "no task": ["run", "--result", "r.json"],
    "a task that is not there": ["run", "--task", "/no/such/file", "--result", "r.json"],
    "an address that is none": ["collect", "--uri", "http://x/y", "--to", "v.mp4"],
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_a_wrong_command_line_is_one_line_and_64(name: str, tmp_path: Path, aws: pytest.MonkeyPatch) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "wan_runner", *ARGUMENTS[name]], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 64
    assert "wan-runner: " in done.stderr
    assert "Traceback" not in done.stderr
