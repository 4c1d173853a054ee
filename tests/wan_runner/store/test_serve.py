"""The embedded S3 as a process of its own: what is in it, who reaches it, and when it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from urllib.parse import urlsplit

import pytest
from PIL import Image

from wan_runner.store import fetch
from wan_runner.store.s3 import connect, read_input
from wan_runner.tiny import TINY_MODELS, model_files

pytestmark = pytest.mark.slow  # each starts the server
SERVE = """
import sys
from pathlib import Path
from wan_runner.store.serve import serve
serve(Path(sys.argv[1]), Path(sys.argv[2]))
"""


def start(tmp_path: Path) -> subprocess.Popen[str]:
    """A server that has said that it is ready; its own AWS settings point nowhere."""
    inputs = tmp_path / "inputs"
    (inputs / "more").mkdir(parents=True)
    for name in ("red.png", "more/blue.JPG"):
        Image.new("RGB", (4, 4), "red").save(inputs / name)
    (inputs / "notes.txt").write_text("not an image")
    (inputs / ".hidden.png").write_text("not for others")
    environment = os.environ | {"AWS_PROFILE": "nobody", "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    command = [sys.executable, "-c", SERVE, str(inputs), str(tmp_path / "ready.json")]
    server = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    )
    wait_for(tmp_path / "ready.json", server)
    return server


def wait_for(ready: Path, server: subprocess.Popen[str]) -> None:
    pause = Event()
    while not ready.exists():
        assert server.poll() is None, server.communicate()[0]
        pause.wait(0.02)


@pytest.fixture
def running(tmp_path: Path, aws: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[str]]:
    server = start(tmp_path)
    ready = json.loads((tmp_path / "ready.json").read_text())
    aws.setenv("AWS_ENDPOINT_URL_S3", ready["endpoint"])
    aws.setenv("AWS_ACCESS_KEY_ID", ready["accessKey"])
    aws.setenv("AWS_SECRET_ACCESS_KEY", ready["secretKey"])
    yield server
    server.kill()
    server.communicate()


def test_it_serves_models_and_inputs_to_this_machine_only_until_its_parent_is_gone(
    running: subprocess.Popen[str], tmp_path: Path
) -> None:
    assert stat.S_IMODE((tmp_path / "ready.json").stat().st_mode) == 0o600
    for model in TINY_MODELS:
        files = model_files(model)
        with fetch(f"s3://weights/{model}", tmp_path / "cache", Event(), lambda *told: None) as fetched:
            assert {name: (fetched.path / name).read_bytes() for name in files} == {
                name: path.read_bytes() for name, path in files.items()
            }
    listing = connect().list_objects_v2(Bucket="inputs")
    assert [entry["Key"] for entry in listing["Contents"]] == ["more/blue.JPG", "notes.txt", "red.png"]
    assert read_input("s3://inputs/red.png", max_bytes=10_000) == (tmp_path / "inputs/red.png").read_bytes()
    assert connect().list_objects_v2(Bucket="videos")["KeyCount"] == 0
    assert_only_loopback(connect().meta.endpoint_url)
    assert_no_page_may_read(connect().meta.endpoint_url)

    running.send_signal(signal.SIGINT)
    connect().list_buckets()
    out, _ = running.communicate(timeout=30)  # closes its standard input, as a parent's death does
    assert (running.returncode, out) == (0, "")


def assert_only_loopback(endpoint: str) -> None:
    address = urlsplit(endpoint)
    assert address.hostname == "127.0.0.1"
    with pytest.raises(OSError, match=r"refused|timed out|assign"):
        socket.create_connection(("127.0.0.2", address.port), timeout=2)


def assert_no_page_may_read(endpoint: str) -> None:
    """Without keys there is no answer, and none invites scripts of other origins, as moto's do by default."""
    asked = urllib.request.Request(f"{endpoint}/inputs/red.png", headers={"Origin": "http://evil.example"})
    with pytest.raises(urllib.error.HTTPError, match="403") as refused:
        urllib.request.urlopen(asked)
    assert not [name for name in refused.value.headers if name.lower().startswith("access-control")]


def test_sigterm_ends_it_at_once(running: subprocess.Popen[str]) -> None:
    running.send_signal(signal.SIGTERM)
    assert running.wait(timeout=30) == 0


def test_inputs_that_are_no_folder_are_invalid(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SERVE, str(tmp_path / "none"), str(tmp_path / "ready.json")],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "--inputs: " in done.stderr
    assert "is not a folder" in done.stderr
    assert not (tmp_path / "ready.json").exists()
