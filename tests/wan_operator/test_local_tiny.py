"""`wan run` with everything real: the runner, the embedded S3, and the tiny model of the package."""

from __future__ import annotations

import signal
from pathlib import Path

import psutil
import pytest

from tests.wan_operator.wan_run import rest_of, running, status_of, wait_for

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights, kept from one test to the next."""
    return tmp_path_factory.mktemp("cache")


def command_of(process: psutil.Process) -> list[str]:
    """Nothing once it has ended: a child of a child may do so at any moment."""
    try:
        return process.cmdline() if process.is_running() else []
    except psutil.NoSuchProcess:  # or a zombie
        return []


def test_a_manifest_becomes_a_video_that_decodes(tmp_path: Path, cache: Path) -> None:
    import av

    with running(tmp_path, cache) as process:
        text = rest_of(process)
    assert process.returncode == 0, text
    words = ["Pending", "Planned", "Starting", "Loading", "Running", "Uploading", "Succeeded"]
    places = [text.find(f" {word}") for word in words]
    assert -1 not in places, text
    assert places == sorted(places), text
    assert "\x1b" not in text
    with av.open(str(tmp_path / "out/clip.mp4")) as video:
        frames = list(video.decode(video=0))
    assert [(f.width, f.height) for f in frames] == [(64, 64)] * 17
    assert (tmp_path / "out/clip.png").stat().st_size > 0
    assert status_of(tmp_path)["phase"] == "Succeeded"


def test_the_reference_makes_it_too_and_that_is_said(tmp_path: Path, cache: Path) -> None:
    with running(tmp_path, cache, "--reference") as process:
        text = rest_of(process)
    assert process.returncode == 0, text
    assert "made by stock diffusers, as asked" in text
    assert 'made by {"name": "diffusers"' in (tmp_path / "out/clip.log").read_text()


def test_ctrl_c_cancels_and_a_second_run_works(tmp_path: Path, cache: Path) -> None:
    with running(tmp_path, cache, steps=200) as process:
        wait_for(process, " Running")
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        text = rest_of(process)
    assert process.returncode == 130, text
    assert " Cancelled" in text
    assert not [child for child in children if command_of(child)]
    assert not list((tmp_path / "out").glob("clip.mp4"))
    with running(tmp_path, cache) as process:
        text = rest_of(process)
    assert process.returncode == 0, text


def test_a_runner_that_is_killed_is_run_again(tmp_path: Path, cache: Path) -> None:
    with running(tmp_path, cache, steps=200) as process:
        wait_for(process, " Running")
        children = psutil.Process(process.pid).children(recursive=True)
        (runner,) = [child for child in children if "--task" in command_of(child)]
        runner.kill()
        text = rest_of(process)
    assert process.returncode == 0, text
    attempts = status_of(tmp_path)["attempts"]
    assert isinstance(attempts, list)
    assert [attempt["outcome"] for attempt in attempts] == ["Interrupted", "Succeeded"]


def test_an_endpoint_that_does_not_answer_is_a_network_error(tmp_path: Path, cache: Path) -> None:
    options = ("--endpoint-url", "http://127.0.0.1:9")
    with running(tmp_path, cache, *options, fallback="{maxAttempts: 1}") as process:
        text = rest_of(process)
    assert process.returncode == 69, text
    assert status_of(tmp_path)["reason"] == "NetworkError"
