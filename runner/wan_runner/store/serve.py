"""The embedded S3 of local mode: moto's server on loopback, in its own process, with the tiny models in it.

It keeps everything in memory, knows no users, and is reachable from this machine only. It lives as long as
the pipe at its standard input: if its parent dies, however it dies, so does this.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Event, Thread

from wan_core.errors import InvalidInput
from wan_runner.store import s3
from wan_runner.store.disk import written_whole
from wan_runner.store.publish import publish
from wan_runner.store.upload import upload
from wan_runner.tiny import LICENSE, SOURCE, TINY_MODELS, model_files

BUCKETS = ("weights", "inputs", "videos")
IMAGE_TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp"}
HOST, REGION = "127.0.0.1", "us-east-1"
KEY = "local"  # the server asks for credentials, as S3 does, and takes any


def serve(inputs: Path, ready: Path) -> None:
    """Serves until SIGTERM or until standard input, if it is a pipe, is closed.

    `ready` appears, with endpoint and keys as JSON, once models and the files of `inputs` are in place.
    SIGINT is ignored: Ctrl-C reaches the whole process group, and whoever started us decides what it means.
    """
    stop = Event()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, frame: stop.set())
    if not inputs.is_dir():
        raise InvalidInput(f"--inputs: {inputs} is not a folder")
    _watch_stdin(stop)
    with running_server() as endpoint:
        _use_only(endpoint)
        _fill(inputs)
        _announce(ready, endpoint)
        stop.wait()


@contextmanager
def running_server() -> Iterator[str]:
    """An empty S3 on a loopback port that the system chooses; gives its endpoint."""
    os.environ["MOTO_DISABLE_GLOBAL_CORS"] = "true"  # or every page open in a browser here could read it
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    from moto.moto_server.werkzeug_app import MotoRequestHandler, create_backend_app
    from werkzeug.serving import make_server

    app = create_backend_app("s3")
    server = make_server(HOST, 0, app, threaded=True, request_handler=MotoRequestHandler)
    thread = Thread(target=partial(server.serve_forever, poll_interval=0.1), name="embedded-s3", daemon=True)
    thread.start()
    try:
        yield f"http://{HOST}:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _watch_stdin(stop: Event) -> None:
    """Sets `stop` once the other end of a pipe at standard input is gone. A terminal is not watched."""
    kind = os.fstat(sys.stdin.fileno()).st_mode
    if stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind):

        def wait() -> None:
            while os.read(sys.stdin.fileno(), 4096):
                pass
            stop.set()

        Thread(target=wait, name="parent-watch", daemon=True).start()


def _use_only(endpoint: str) -> None:
    """Forgets every S3 setting of the person who started us, and speaks to our own server."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "WAN_S3_"))]:
        del os.environ[name]
    os.environ.update(
        AWS_ENDPOINT_URL_S3=endpoint,
        AWS_ACCESS_KEY_ID=KEY,
        AWS_SECRET_ACCESS_KEY=KEY,
        AWS_REGION=REGION,
        AWS_CONFIG_FILE=os.devnull,
        AWS_SHARED_CREDENTIALS_FILE=os.devnull,
        AWS_EC2_METADATA_DISABLED="true",
    )


def _fill(inputs: Path) -> None:
    """Makes the buckets and puts the tiny models and the files of `inputs` into them, hidden ones left out.

    Whether a file is an image is for the runner to say, as it is with any other S3.
    """
    client = s3.connect()
    for bucket in BUCKETS:
        client.create_bucket(Bucket=bucket)
    for model in TINY_MODELS:
        publish(model_files(model), model, f"s3://weights/{model}", source=SOURCE, license_id=LICENSE)
    for path in sorted(inputs.rglob("*")):
        key = path.relative_to(inputs)
        if path.is_file() and not any(part.startswith(".") for part in key.parts):
            content_type = IMAGE_TYPES.get(path.suffix.lower(), "application/octet-stream")
            upload(path, f"s3://inputs/{key.as_posix()}", content_type)


def _announce(ready: Path, endpoint: str) -> None:
    text = json.dumps({"endpoint": endpoint, "accessKey": KEY, "secretKey": KEY})
    with written_whole(ready, mode=0o600) as draft:
        draft.write_text(text)
