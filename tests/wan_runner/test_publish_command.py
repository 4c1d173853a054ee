"""`wan-runner publish` as a person calls it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.wan_runner.store.models import files_of, written

COMMAND = (sys.executable, "-m", "wan_runner", "publish")


def test_it_says_what_it_published(s3: Any, tmp_path: Path) -> None:
    written(tmp_path / "m", files_of())
    done = subprocess.run(
        [*COMMAND, tmp_path / "m", "s3://weights/m"], capture_output=True, text=True, check=True
    )
    total = sum(map(len, files_of().values()))
    assert done.stdout.startswith(f"m: 3 files, {total} bytes, ")
    assert "transformer/model.safetensors" in done.stderr


def publish(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], cwd=folder, capture_output=True, text=True, timeout=60)


def test_a_model_that_ships_with_the_package_is_published_by_its_name(s3: Any, tmp_path: Path) -> None:
    done = publish("wan-tiny", "s3://weights/models/wan-tiny", folder=tmp_path)
    assert done.stdout.startswith("wan-tiny: "), done.stderr
    listed = s3.list_objects_v2(Bucket="weights", Prefix="models/wan-tiny/")["Contents"]
    assert "models/wan-tiny/manifest.json" in [entry["Key"] for entry in listed]


def test_a_model_that_ships_with_the_package_keeps_its_id(s3: Any, tmp_path: Path) -> None:
    done = publish("wan-tiny", "s3://weights/corgi", folder=tmp_path)
    assert (done.returncode, done.stderr) == (
        64,
        "wan-runner: uri: 's3://weights/corgi' does not end with wan-tiny (Publish it as .../wan-tiny.)\n",
    )


def test_a_folder_of_that_name_is_taken_before_it(s3: Any, tmp_path: Path) -> None:
    written(tmp_path / "wan-tiny", files_of())
    done = publish("wan-tiny", "s3://weights/wan-tiny", folder=tmp_path)
    assert done.stdout.startswith("wan-tiny: 3 files, "), done.stderr


@pytest.mark.slow
def test_ctrl_c_leaves_no_upload_open_and_says_so(s3: Any, tmp_path: Path) -> None:
    written(tmp_path / "m", files_of())
    write_sparse_weights(tmp_path / "m" / "transformer" / "large.safetensors", gib=1)
    process = subprocess.Popen(
        [*COMMAND, tmp_path / "m", "s3://weights/m"],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_until_an_upload_is_open(s3, process)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 75
    assert said.splitlines()[-1].startswith("wan-runner: told to stop")
    assert "Uploads" not in s3.list_multipart_uploads(Bucket="weights")
    assert "m/manifest.json" not in [
        entry["Key"] for entry in s3.list_objects_v2(Bucket="weights").get("Contents", [])
    ]


def write_sparse_weights(path: Path, gib: int) -> None:
    """A safetensors file of zeros that takes no space."""
    size = gib * 2**30
    header = json.dumps({"w": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + size)


def wait_until_an_upload_is_open(s3: Any, process: subprocess.Popen[str]) -> None:
    while "Uploads" not in s3.list_multipart_uploads(Bucket="weights"):
        assert process.poll() is None, "it ended before anything was open"
        time.sleep(0.05)
