"""The S3 of local mode: the one that the environment names, or an embedded server started as a process.

What a runner needs to reach either is plain AWS environment. Input images of the embedded server are the
files beside the manifest; it is shown the one image that is asked for, not the folder.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from types import TracebackType
from urllib.parse import urlsplit

from wan_core.errors import Category, InternalError, InvalidInput, WanError, category_of_exit
from wan_core.task import IMAGE_MAX_BYTES

EMBEDDED_WEIGHTS, EMBEDDED_INPUTS, EMBEDDED_VIDEOS = "s3://weights", "inputs", "s3://videos"
S3_PREFIXES = ("AWS_", "WAN_S3_")  # of variables that say where S3 is and who we are there
ENDPOINT_VARIABLES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
STOP_TIMEOUT_S = 5.0


def names_real_storage(environment: Mapping[str, str]) -> bool:
    """Whether the AWS settings of the environment name an endpoint."""
    return any(environment.get(name) for name in ENDPOINT_VARIABLES)


def find_image(uri: str | None, folder: Path) -> Path | None:
    """The file beside the manifest that `s3://inputs/<file>` means; None for other buckets.

    Raises InvalidInput if it is not there, not below `folder`, or too large to be looked at.
    """
    if uri is None or urlsplit(uri).netloc != EMBEDDED_INPUTS:
        return None
    key = urlsplit(uri).path.lstrip("/")
    place = f"s3://{EMBEDDED_INPUTS}/ is the folder of the manifest, {folder.resolve()}"
    if ".." in PurePosixPath(key).parts:
        raise InvalidInput(f"spec.image: {uri} leaves its folder; {place}")
    path = folder / key
    if any(part.startswith(".") for part in PurePosixPath(key).parts):
        raise InvalidInput(f"spec.image: {key} is hidden; hidden files are not offered")
    if not os.path.isfile(path):  # unlike Path.is_file it also says so of names too long to exist
        raise InvalidInput(f"spec.image: there is no file {key}; {place}")
    if (size := path.stat().st_size) > IMAGE_MAX_BYTES:
        raise InvalidInput(f"spec.image: {key} has {size} bytes; at most {IMAGE_MAX_BYTES} are read")
    return path


def error_of_exit(returncode: int, message: str) -> WanError:
    """The error for a tool of the runner's that ended with this return code instead of doing its work.

    It has no advice of its own: the message holds what the tool said last, and that ends with advice.
    """
    category = category_of_exit(returncode if returncode >= 0 else 128 - returncode)
    kinds = {kind.category: kind for kind in WanError.__subclasses__()}
    return kinds.get(category or Category.INTERNAL, InternalError)(message, advice="")


class RealStorage:
    """An S3 that is there already."""

    def __init__(self, endpoint: str | None) -> None:
        self._endpoint = endpoint

    @property
    def title(self) -> str:
        named = (os.environ[name] for name in ENDPOINT_VARIABLES if os.environ.get(name))
        return self._endpoint or next(named, "AWS")

    def environment(self) -> dict[str, str]:
        """The environment of a runner."""
        return dict(os.environ) | ({"AWS_ENDPOINT_URL_S3": self._endpoint} if self._endpoint else {})


class EmbeddedStorage:
    """Owns the embedded server's process; it ends with us, since it watches the pipe at its stdin."""

    title = "embedded, gone when this command ends"

    def __init__(
        self, command: Sequence[str], scratch: Path, log: Path, image: tuple[str, Path] | None
    ) -> None:
        self._ready = scratch / "s3.json"
        self._log = log
        inputs = scratch / "inputs"
        inputs.mkdir()
        if image is not None:
            key, path = image
            (inputs / key).parent.mkdir(parents=True, exist_ok=True)
            (inputs / key).symlink_to(path.resolve())
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                [*command, "serve", "--inputs", str(inputs), "--ready", str(self._ready)],
                stdin=subprocess.PIPE,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )

    def environment(self) -> dict[str, str] | None:
        """The environment of a runner, without the caller's AWS settings; None while the server starts."""
        if self._process.poll() is not None:
            said = self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-1:]
            raise error_of_exit(self._process.returncode, " ".join(["the embedded S3 server ended:", *said]))
        if not self._ready.exists():
            return None
        server = json.loads(self._ready.read_bytes())
        ours = {
            "AWS_ENDPOINT_URL_S3": server["endpoint"],
            "AWS_ACCESS_KEY_ID": server["accessKey"],
            "AWS_SECRET_ACCESS_KEY": server["secretKey"],
            "AWS_REGION": "us-east-1",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }
        return {name: value for name, value in os.environ.items() if not name.startswith(S3_PREFIXES)} | ours

    def __enter__(self) -> EmbeddedStorage:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
