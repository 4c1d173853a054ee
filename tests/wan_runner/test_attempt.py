"""An attempt in this process: what S3 holds after it, whenever it ends."""

from __future__ import annotations

import hashlib
import io
import json
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image, ImageDraw

from tests.wan_runner.store.models import files_of
from tests.wan_runner.tasks import build_request, build_rung, build_task
from wan_core.api.spec import Spec
from wan_core.api.status import OutputStatus
from wan_core.errors import Category, InternalError, Interrupted, InvalidInput
from wan_core.plan.request import resolve_request
from wan_core.task import Task, WeightsUse
from wan_runner.attempt import Made, attention_warnings, fetch_model, make_video, upload_outputs
from wan_runner.bind import Bound
from wan_runner.devices import find_cpu
from wan_runner.image import prepare_image
from wan_runner.interrupt import Interruption
from wan_runner.report import Reporter
from wan_runner.result import Record
from wan_runner.store.publish import publish
from wan_runner.tiny import model_files
from wan_runner.watch import Watch

KEYS = ["default/u-1/1/manifest.json", "default/u-1/1/video.mp4"]


class SetAfter(threading.Event):
    """An event that is set from its n-th look on: a signal that comes at that very moment."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self.looks = looks

    def is_set(self) -> bool:
        self.looks -= 1
        return self.looks < 0


def watch(task: Task, requested: threading.Event | None = None) -> Watch:
    interruption = Interruption()
    interruption.requested = requested or interruption.requested
    return Watch(Record(task), Reporter(None, None), interruption)


def keys(s3: Any, bucket: str = "videos") -> list[str]:
    return [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket).get("Contents", [])]


def upload_made(folder: Path, requested: threading.Event | None = None, tokens: int = 6) -> OutputStatus:
    """The last stage alone, with a file in the video's place."""
    (folder / "video.mp4").write_bytes(b"a video")
    task = build_task()
    watching = watch(task, requested)
    watching.record.known |= {"model_digest": "d", "peak_device_gib": 1.0}
    bound = Bound(build_rung(), find_cpu(), ())
    made = Made(
        folder / "video.mp4",
        frames=5,
        prompt_tokens=tokens,
        prompt_cut=False,
        recipe={"name": "wan_core"},
        opening=None,
    )
    return upload_outputs(task, bound, made, watching)


def test_a_signal_at_any_moment_of_the_upload_leaves_all_or_nothing(s3: Any, tmp_path: Path) -> None:
    for looks in range(50):
        try:
            upload_made(tmp_path, SetAfter(looks))
        except Interrupted:
            assert keys(s3) == [], f"signal at look {looks}"
        else:
            assert keys(s3) == KEYS
            assert looks > 1
            return
    pytest.fail("the upload never ended")


def test_an_attempt_that_finished_once_is_left_alone(s3: Any, tmp_path: Path) -> None:
    upload_made(tmp_path)
    before = s3.get_object(Bucket="videos", Key=KEYS[0])["Body"].read()
    with pytest.raises(InvalidInput, match="never overwritten"):
        upload_made(tmp_path, tokens=7)
    assert keys(s3) == KEYS
    assert s3.get_object(Bucket="videos", Key=KEYS[0])["Body"].read() == before


def test_without_a_manifest_there_is_no_video(s3: Any, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").mkdir()  # it cannot be written
    with pytest.raises(IsADirectoryError):
        upload_made(tmp_path)
    assert keys(s3) == []


def test_what_fetching_took_stands_in_the_result_and_its_warnings_in_reports_too(
    s3: Any, tmp_path: Path
) -> None:
    for name, data in files_of().items():  # nobody published them: there is no manifest
        s3.put_object(Bucket="weights", Key=f"m/{name}", Body=data, ChecksumAlgorithm="CRC64NVME")
    told = []
    for _ in range(2):
        watching = watch(build_task())
        with ExitStack() as held:
            fetch_model("s3://weights/m", tmp_path / "cache", watching, held)
        told.append((watching.record.result(InternalError("")), watching.record.progress(0, 0)))
    (cold, report), (warm, _) = told
    total = sum(map(len, files_of().values()))
    assert (cold.bytes_loaded, warm.bytes_loaded) == (total, 0)
    assert cold.weights == WeightsUse(misses=3, seconds_waited=cold.weights and cold.weights.seconds_waited)
    assert warm.weights == WeightsUse(hits=3, bytes_cached=total)
    assert cold.model_digest == warm.model_digest
    assert "has no manifest.json" in cold.warnings[0]
    assert report.warnings == cold.warnings
    assert {"validation", "cache check", "download"} <= cold.phases.keys()


HOPPER = ("cudnn", "fa3", "flash", "efficient")


@pytest.mark.parametrize(
    ("picked", "told"),
    [
        pytest.param({"name": "cudnn", "refused": {"fa3": "not installed"}}, (), id="the likeliest"),
        pytest.param({"name": "flash", "seconds": {"cudnn": 2.0, "flash": 1.0}}, (), id="measured faster"),
        pytest.param({"name": "sdpa"}, (), id="of another device"),
        pytest.param({}, (), id="stock diffusers"),
        pytest.param(
            {
                "name": "flash",
                "refused": {"cudnn": "torch has none", "fa3": "not installed", "efficient": "x"},
            },
            (
                "attention: flash, for what is likely to be faster is missing: cudnn (torch has none); "
                "fa3 (not installed)",
            ),
            id="two are missing",
        ),
    ],
)
def test_a_missing_backend_of_attention_is_told(picked: dict[str, Any], told: tuple[str, ...]) -> None:
    assert attention_warnings(picked, HOPPER) == told


def draw_circle() -> bytes:
    """A PNG such as wan-tiny-i2v was trained on, but twice as large, and transparent where it is black."""
    image, data = Image.new("RGBA", (128, 128)), io.BytesIO()
    ImageDraw.Draw(image).ellipse((20, 44, 60, 84), fill=(41, 92, 245, 255))
    image.save(data, "PNG")
    return data.getvalue()


@pytest.mark.slow
def test_an_image_becomes_a_video_that_begins_with_it(s3: Any, tmp_path: Path) -> None:
    publish(model_files("wan-tiny-i2v"), "wan-tiny-i2v", "s3://weights/wan-tiny-i2v")
    s3.put_object(Bucket="inputs", Key="blue.png", Body=draw_circle())
    spec = Spec(
        model="wan-tiny-i2v", prompt="a blue circle moving right", image="s3://inputs/blue.png", seed=7
    )
    request = resolve_request(spec, "u-1")
    output = make_video(task := build_task(request=request), tmp_path / "cache", watch(task))
    assert keys(s3) == KEYS
    manifest = json.loads(s3.get_object(Bucket="videos", Key=KEYS[0])["Body"].read())
    assert manifest["imageSha256"] == hashlib.sha256(draw_circle()).hexdigest()
    assert manifest["image"]["correction"]["crop"] == [0, 0, 128, 128]
    assert "are transparent" in manifest["image"]["warnings"][0]
    video = s3.get_object(Bucket="videos", Key=KEYS[1])["Body"].read()
    with av.open(io.BytesIO(video)) as container:
        frames = np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])
    assert frames.shape == (output.frames, output.height, output.width, 3) == (17, 64, 64, 3)
    seen, _ = prepare_image(draw_circle(), request.width, request.height, request.image_fit, None)
    prepared = np.asarray(seen, dtype=float)
    first, last = (psnr(frames[n], prepared) for n in (0, -1))
    assert first >= 20.0
    assert last < first  # it moves on


def psnr(frame: np.ndarray[Any, Any], image: np.ndarray[Any, Any]) -> float:
    """dB, of values 0..255."""
    return float(10 * np.log10(255**2 / np.square(frame - image).mean()))


@pytest.mark.slow
def test_a_bad_image_is_refused_before_a_weight_is_fetched(s3: Any, tmp_path: Path) -> None:
    s3.put_object(Bucket="inputs", Key="x.png", Body=b"<html>403</html>")
    request = build_request("wan-tiny-i2v", image="s3://inputs/x.png", guidance_low=2.0)
    with pytest.raises(InvalidInput, match="this is an HTML page"):
        make_video(task := build_task(request=request), tmp_path / "cache", watch(task))
    assert not (tmp_path / "cache").exists()


@pytest.mark.slow
def test_an_image_of_a_wrong_aspect_leaves_the_values_of_each_correction_in_the_result(
    s3: Any, tmp_path: Path
) -> None:
    wide, data = Image.new("RGB", (128, 64), "red"), io.BytesIO()
    wide.save(data, "PNG")
    s3.put_object(Bucket="inputs", Key="x.png", Body=data.getvalue())
    request = build_request("wan-tiny-i2v", image="s3://inputs/x.png", guidance_low=2.0)
    watching = watch(task := build_task(request=request))
    with pytest.raises(InvalidInput) as caught:
        make_video(task, tmp_path / "cache", watching)
    result = watching.record.result(caught.value)
    assert result.category is Category.INVALID_INPUT
    assert "imageFit: crop takes the box (32, 0, 96, 64), 50 % of it" in result.message
    assert "resolution: " in result.message or "imageFit: pad scales it to 64x32" in result.message
    assert not (tmp_path / "cache").exists()
