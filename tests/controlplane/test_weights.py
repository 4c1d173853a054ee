"""`wan weights` against a real S3 server: checksums as it keeps them, and going on after a kill."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.controlplane.process import wait_until
from tests.controlplane.s3 import WEIGHTS, S3Server
from tests.e2e.slow_s3 import SlowS3
from wan_core.errors import TABLE, Category
from wan_runner.tiny import model_files

pytestmark = pytest.mark.slow

COMMAND = (sys.executable, "-c", "from wan_core.cli import main; main()", "weights")
PUBLISH = ("publish", "m", "s3://weights/m")
BIG = "m/large.safetensors"
PARTS = 8


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with S3Server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def folder(s3: S3Server, tmp_path: Path) -> Path:
    """A folder with a model `m` in it."""
    for key in s3.keys(WEIGHTS):
        s3.client().delete_object(Bucket=WEIGHTS, Key=key)
    save_model(tmp_path / "m", 64)
    return tmp_path


def save_model(folder: Path, size: int) -> None:
    """A model that ships, and beside its parts so many bytes of weights, which take no space."""
    for name, file in model_files("wan-tiny-i2v").items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, folder / name)
    header = json.dumps({"w": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    with (folder / "large.safetensors").open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + size)


def wan(s3: S3Server, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, *arguments]
    return subprocess.run(
        command, env=s3.environment(), cwd=folder, capture_output=True, text=True, timeout=600
    )


def parts_of(s3: S3Server) -> list[dict[str, Any]]:
    """What the server has of the one upload that is open."""
    client = s3.client()
    for upload in client.list_multipart_uploads(Bucket=WEIGHTS).get("Uploads", []):
        name = {"Bucket": WEIGHTS, "Key": upload["Key"], "UploadId": upload["UploadId"]}
        return list(client.list_parts(**name).get("Parts", []))
    return []


def test_after_a_kill_publishing_goes_on_and_the_object_is_whole(s3: S3Server, folder: Path) -> None:
    save_model(folder / "m", PARTS * 64 * 2**20)
    with SlowS3(s3.endpoint) as slow:
        slow.hold(b"partNumber=5", only=True)  # it is not done before it is killed
        environment = s3.environment() | {"AWS_ENDPOINT_URL": slow.endpoint}
        first = subprocess.Popen([*COMMAND, *PUBLISH], env=environment, cwd=folder, stderr=subprocess.DEVNULL)
        wait_until(lambda: len(parts_of(s3)) >= 2, 240, "no two parts arrived")
        first.kill()
        first.wait()
    kept = {part["PartNumber"]: part["LastModified"] for part in parts_of(s3)}
    assert f"{BIG}" not in s3.keys(WEIGHTS)
    assert "m/manifest.json" not in s3.keys(WEIGHTS)
    assert len(kept) < PARTS
    done = wan(s3, folder, *PUBLISH)
    assert done.returncode == 0, done.stderr
    assert s3.open_uploads(WEIGHTS) == []
    head = s3.client().head_object(Bucket=WEIGHTS, Key=BIG, ChecksumMode="ENABLED")
    manifest = json.loads(s3.client().get_object(Bucket=WEIGHTS, Key="m/manifest.json")["Body"].read())
    [big] = [file for file in manifest["files"] if file["path"].endswith("large.safetensors")]
    assert (head["ChecksumType"], len(big["chunks"])) == ("FULL_OBJECT", PARTS + 1)
    verified = wan(s3, folder, "verify", "s3://weights/m", "-o", "json")
    assert json.loads(verified.stdout)["checkedBy"] == {
        "CRC64NVME in S3": len(model_files("wan-tiny-i2v")) + 1
    }
    assert wan(s3, folder, *PUBLISH).stdout.endswith(": already published\n")


def test_a_damaged_object_is_found_named_and_sent_again(s3: S3Server, folder: Path) -> None:
    assert wan(s3, folder, *PUBLISH).returncode == 0
    s3.client().put_object(Bucket=WEIGHTS, Key="m/model_index.json", Body=b"{}")
    found = wan(s3, folder, "verify", "s3://weights/m")
    assert found.returncode == TABLE[Category.INTEGRITY_ERROR].exit_code
    assert "model_index.json has 2 bytes, not " in found.stdout
    assert "wan weights verify s3://weights/m --repair --from SRC" in found.stderr
    mended = wan(s3, folder, "verify", "s3://weights/m", "--repair", "--from", "m")
    assert (mended.returncode, "model_index.json has 2 bytes" in mended.stdout) == (0, True)
    assert wan(s3, folder, "verify", "s3://weights/m", "--deep").returncode == 0
