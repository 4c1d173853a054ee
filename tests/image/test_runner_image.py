"""The runner's image at work, held to what its pod is held to."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import pytest

from tests.image.engine import HARDENED, Engine
from tests.image.pod import prepare
from tests.wan_runner.inbox import Inbox
from tests.wan_runner.tasks import build_request, build_task
from wan_core.task import Stage
from wan_operator.storage import EmbeddedStorage

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

# As Triton makes its launchers: C against Python's headers, by the compiler that it finds, into its cache.
COMPILE = """
from triton.runtime.build import compile_module_from_src
source = r'''
#include <Python.h>
static PyObject *answer(PyObject *self, PyObject *none) { return PyLong_FromLong(42); }
static PyMethodDef methods[] = {{"answer", answer, METH_NOARGS, ""}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "launcher", NULL, -1, methods};
PyMODINIT_FUNC PyInit_launcher(void) { return PyModule_Create(&module); }
'''
launcher = compile_module_from_src(source, "launcher")
print(launcher.answer(), launcher.__file__.startswith("/tmp/triton/"))
"""


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[dict[str, str]]:
    """S3 on this machine's loopback, with the tiny models in it: the environment that leads there."""
    scratch = tmp_path / "storage"
    scratch.mkdir()
    with EmbeddedStorage([sys.executable, "-m", "wan_runner"], scratch, tmp_path / "s3.log", None) as server:
        deadline = time.monotonic() + 120
        while (environment := server.environment()) is None:
            assert time.monotonic() < deadline, (tmp_path / "s3.log").read_text()
            time.sleep(0.2)
        yield environment


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    with Inbox() as box:
        yield box


def read_video(storage: dict[str, str], key: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in storage.items():
        monkeypatch.setenv(name, value)
    from wan_runner.store.s3 import connect

    return connect().get_object(Bucket="videos", Key=key)["Body"].read()


def test_the_runner_explains_itself(engine: Engine, runner_image: str) -> None:
    assert "make the video of a Task" in engine.run(runner_image, "--help")
    options = (*HARDENED, "--entrypoint=wan")
    assert "Publish a model's weights to S3" in engine.run(runner_image, "weights", "--help", options=options)


def test_triton_finds_a_compiler_and_a_place_to_write_to(engine: Engine, runner_image: str) -> None:
    options = (*HARDENED, "--entrypoint=python3")
    assert engine.run(runner_image, "-c", COMPILE, options=options).strip() == "42 True"


def test_a_task_becomes_a_video(
    engine: Engine,
    runner_image: str,
    storage: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    attempt = prepare(tmp_path, build_task(), storage["AWS_ENDPOINT_URL_S3"])
    done = subprocess.run(attempt.command(engine, runner_image), capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    result = attempt.result()
    assert (result.category, result.plan) == (None, "wan-tiny/cpu/bf16+resident")
    video = read_video(storage, "default/u-1/1/video.mp4", monkeypatch)
    with av.open(io.BytesIO(video)) as container:
        assert [(frame.width, frame.height) for frame in container.decode(video=0)] == [(64, 64)] * 5


def test_told_to_stop_the_first_process_of_the_container_ends_in_order(
    engine: Engine, runner_image: str, storage: dict[str, str], inbox: Inbox, tmp_path: Path
) -> None:
    task = build_task(request=build_request(steps=400, frames=17), report_url=inbox.url)
    attempt = prepare(tmp_path, task, storage["AWS_ENDPOINT_URL_S3"])
    process = subprocess.Popen(attempt.command(engine, runner_image), stderr=subprocess.PIPE, text=True)
    inbox.wait_for(Stage.DENOISING)
    process.send_signal(signal.SIGTERM)
    _, log = process.communicate(timeout=120)
    assert process.returncode == 75, log
    assert attempt.result().category == "INTERRUPTED"
