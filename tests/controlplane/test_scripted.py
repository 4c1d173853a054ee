"""The scripted container does what the prompt says, and speaks the task contract."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.controlplane.process import wait_until
from tests.controlplane.s3 import S3Server
from tests.wan_runner.tasks import build_request, build_task
from wan_core.errors import Category
from wan_core.task import Result

PROGRAM = Path(__file__).with_name("scripted.py")
Play = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """Starts an attempt with a script for each attempt, or with a plain prompt."""

    def start(*attempts: dict[str, Any], prompt: str = "", attempt: int = 1) -> subprocess.Popen[str]:
        request = build_request(prompt=prompt or json.dumps({"attempts": attempts}))
        task = build_task(request=request).model_copy(update={"attempt": attempt})
        (tmp_path / "task.json").write_text(json.dumps(task.to_dict()))
        (tmp_path / "digest").write_text(task.digest())
        options = {"task": "task.json", "result": "result.json", "report-token-file": "t", "cache": "c"}
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        return subprocess.Popen(
            [sys.executable, str(PROGRAM), "run", *words], cwd=tmp_path, stderr=subprocess.PIPE, text=True
        )

    return start


def read_result(folder: Path) -> Result:
    return Result.model_validate_json((folder / "result.json").read_text(), by_alias=True, by_name=False)


def test_with_a_plain_prompt_it_leaves_a_valid_result_of_its_task(play: Play, tmp_path: Path):
    assert play(prompt="a corgi").wait() == 0
    result = read_result(tmp_path)
    assert (result.category, result.task_digest) == (None, (tmp_path / "digest").read_text())
    assert result.output is not None
    assert (result.output.uri, result.output.frames) == ("s3://videos/default/u-1/1/video.mp4", 5)


ENDS = {
    "an exit code brings its category": ({"exit": 71}, 71, Category.CUDA_OUT_OF_MEMORY),
    "a category brings its exit code": ({"category": "ACCESS_DENIED"}, 77, Category.ACCESS_DENIED),
    "the two may disagree": ({"exit": 1, "category": "NETWORK_ERROR"}, 1, Category.NETWORK_ERROR),
}


@pytest.mark.parametrize(("script", "code", "category"), ENDS.values(), ids=ENDS.keys())
def test_it_fails_as_told(play: Play, tmp_path: Path, script: dict[str, Any], code: int, category: Category):
    assert play({"message": "as you wish", **script}).wait() == code
    result = read_result(tmp_path)
    assert (result.category, result.message) == (category, "as you wish")


def test_each_attempt_has_its_own_entry_and_the_last_one_stands_for_the_rest(play: Play):
    script = ({"exit": 71}, {"exit": 74})
    assert [play(*script, attempt=n).wait() for n in (1, 2, 3)] == [71, 74, 74]


def test_it_can_end_without_a_result(play: Play, tmp_path: Path):
    assert play({"exit": 1, "result": False}).wait() == 1
    assert not (tmp_path / "result.json").exists()


def test_it_can_die_by_a_signal(play: Play):
    assert play({"signal": 9}).wait() == -9


def test_a_word_that_it_does_not_know_is_refused(play: Play):
    process = play({"secondz": 3})
    assert process.wait() == 1
    assert "secondz" in process.communicate()[1]


def test_sigterm_ends_it_as_the_real_runner(play: Play, tmp_path: Path):
    process = play({"seconds": 60, "stage": "Uploading"})
    await_stage(process, "Uploading")
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 75
    assert read_result(tmp_path).category is Category.INTERRUPTED


def test_it_can_be_deaf(play: Play):
    process = play({"seconds": 60, "ignore_sigterm": True})
    await_stage(process, "Denoising")
    process.send_signal(signal.SIGTERM)
    await_stage(process, "Denoising")
    process.kill()
    assert process.wait() == -9


def test_the_memory_that_it_takes_is_real(play: Play):
    process = play({"seconds": 60, "allocate_mib": 200})
    await_stage(process, "Denoising")
    size = psutil.Process(process.pid).memory_info().rss
    process.kill()
    process.wait()
    assert size > 200 << 20


@pytest.mark.slow
def test_it_puts_its_video_where_there_is_none(play: Play, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with S3Server(tmp_path / "s3") as s3:
        s3.write_credentials(tmp_path / "credentials")
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3.endpoint)
        monkeypatch.setenv("AWS_REGION", s3.region)
        assert play({"upload": True}).wait() == 0
        found = s3.client().list_objects_v2(Bucket="videos", Prefix="default/u-1/1/")["Contents"]
        again = play({"upload": True})
        assert "video.mp4 is there already" in again.communicate()[1]
    output = read_result(tmp_path).output
    assert output is not None
    sizes = {entry["Key"].rpartition("/")[2]: entry["Size"] for entry in found}
    assert sizes.keys() == {"video.mp4", "manifest.json"}
    assert (output.bytes, output.manifest) == (sizes["video.mp4"], "s3://videos/default/u-1/1/manifest.json")


def await_stage(process: subprocess.Popen[str], stage: str) -> None:
    """Reads its log up to the next line about this stage."""
    assert process.stderr is not None
    stderr = process.stderr
    wait_until(lambda: stage in stderr.readline(), 60, f"no {stage}", poll_s=0)
