"""`wan run` with the real runner against an S3 or a disk that is not as it should be."""

from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.wan_operator.wan_run import rest_of, running, status_of

pytestmark = pytest.mark.slow

LOGGED = r"\d{4}-\d\d-\d\d [\d:,]+ (INFO|WARNING|ERROR) \w+(\.\w+)*: .*"
FILE_LIMIT_BYTES = 64 * 1024  # every safetensors file of wan-tiny is larger


class Refusing(BaseHTTPRequestHandler):
    """What S3 answers to credentials that it does not know."""

    BODY = b"<Error><Code>InvalidAccessKeyId</Code><Message>no such key</Message></Error>"

    def do_HEAD(self) -> None:
        self.send_response(403)
        self.send_header("Content-Length", str(len(self.BODY)))
        self.end_headers()

    def do_GET(self) -> None:
        self.do_HEAD()
        self.wfile.write(self.BODY)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The endpoint of an S3 with the tiny models and the buckets weights, inputs and videos."""
    folder = tmp_path_factory.mktemp("s3")
    (folder / "inputs").mkdir()
    ready = folder / "ready"
    command = [sys.executable, "-m", "wan_runner", "serve", "--inputs", str(folder / "inputs")]
    with subprocess.Popen([*command, "--ready", str(ready)], stdin=subprocess.PIPE) as server:
        while not ready.exists():
            assert server.poll() is None, "the server ended"
            time.sleep(0.1)
        yield json.loads(ready.read_text())["endpoint"]
        server.terminate()


@pytest.fixture(scope="module")
def refusing() -> Iterator[str]:
    """The endpoint of an S3 that knows no credentials."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def limit_files() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_LIMIT_BYTES, FILE_LIMIT_BYTES))


@pytest.mark.parametrize(
    ("endpoint", "options", "prepare", "code", "reason", "says"),
    [
        pytest.param(
            "filled",
            ("--output", "s3://nowhere/clips"),
            None,
            77,
            "AccessDenied",
            ("there is no bucket 'nowhere'", "Create the bucket, or correct its name."),
            id="no output bucket",
        ),
        pytest.param(
            "filled",
            ("--weights", "s3://nothing"),
            None,
            66,
            "ModelNotFound",
            ("weights: there is no bucket 'nothing'", "Create the bucket", "`wan weights publish "),
            id="no weights bucket",
        ),
        pytest.param(
            "filled",
            ("--weights", "s3://weights/other"),
            None,
            66,
            "ModelNotFound",
            ("s3://weights/other/wan-tiny/manifest.json", "Publish the model's weights"),
            id="model not published",
        ),
        pytest.param(
            "refusing",
            (),
            None,
            77,
            "AccessDenied",
            (
                "S3 refused s3://weights/wan-tiny/manifest.json at http://127.0.0.1:",
                "Renew the S3 credentials",
                "`wan weights fetch s3://weights/wan-tiny`",
            ),
            id="credentials refused",
        ),
        pytest.param(
            "filled",
            (),
            limit_files,
            73,
            "InsufficientDiskSpace",
            ("cannot write ", " bytes are free there; ", " could be evicted, ", "`wan weights gc "),
            id="a disk that takes no weights",
        ),
    ],
)
def test_a_fault_of_storage_is_named_with_what_to_do(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    endpoint: str,
    options: tuple[str, ...],
    prepare: Callable[[], None] | None,
    code: int,
    reason: str,
    says: tuple[str, ...],
) -> None:
    where = ("--endpoint-url", request.getfixturevalue(endpoint), *options)
    with running(tmp_path, tmp_path / "cache", *where, prepare=prepare) as process:
        text = rest_of(process)
    status: Mapping[str, object] = status_of(tmp_path)
    assert (process.returncode, status["phase"], status["reason"]) == (code, "Failed", reason), text
    for words in says:
        assert words in str(status["message"])
    assert f"wan: {reason}: {status['message']}" in text
    log = (tmp_path / "out/clip.log").read_text()
    assert all(re.fullmatch(LOGGED, line) for line in log.splitlines()), log
    assert " ERROR " in log.splitlines()[-1]
    assert "Traceback" not in text
    assert not list((tmp_path / "out").glob("clip.mp4"))
