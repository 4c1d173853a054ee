"""`wan weights publish`, `verify`, `ls`, `fetch`, `gc` and `rm` as a person calls them."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Event
from typing import Any, NamedTuple

import pytest

from tests.wan_runner.store.models import copy_tiny, files_of, written
from wan_runner.store import fetch
from wan_runner.store.publish import publish
from wan_runner.tiny import model_files

COMMAND = (sys.executable, "-c", "from wan_core.cli import main; main()", "weights")
ALL = """
import contextlib, io, json, sys
from wan_core.cli import app
for arguments in json.loads(sys.argv[1]):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            app(["weights", *arguments], prog_name="wan")
        except SystemExit as ended:
            code = ended.code
    print(json.dumps([code, out.getvalue(), err.getvalue()]))
"""


class Done(NamedTuple):
    code: int
    out: str
    err: str


def wan(folder: Path, *commands: str) -> list[Done]:
    """Each `wan weights ...` in turn, all in one process: starting one takes longer than any of them."""
    asked = json.dumps([shlex.split(command) for command in commands])
    command = [sys.executable, "-c", ALL, asked]
    done = subprocess.run(
        command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return [Done(*json.loads(line)) for line in done.stdout.splitlines()]


@pytest.mark.slow
def test_publishing_says_what_it_does_and_did_and_again_that_it_is_done(s3: Any, tmp_path: Path) -> None:
    written(copy_tiny(tmp_path / "m"), {"README.md": b"---\nlicense: apache-2.0\n---\n"})
    total = sum(file.stat().st_size for file in model_files("wan-tiny-i2v").values()) + 28
    publishing = "publish m s3://weights/m --source 'trained here'"
    done, again, listing = wan(tmp_path, publishing, publishing, "ls s3://weights -o json")
    assert done.out.startswith(f"m: 11 files, {total} bytes, "), done.err
    assert done.out.endswith(" sent\n")
    assert "transformer/diffusion_pytorch_model.safetensors" in done.err
    assert (again.out.rpartition(": ")[2], again.err) == ("already published\n", "")
    [listed] = json.loads(listing.out)
    assert (listed["license"], listed["source"]) == ("apache-2.0", "trained here; folder m")
    assert (listed["digest"] in done.out, listed["unused"]) == (True, [])


@pytest.mark.slow
def test_a_model_that_ships_is_published_by_its_name_unless_there_is_a_folder_of_that_name(
    s3: Any, tmp_path: Path
) -> None:
    copy_tiny(tmp_path / "wan-tiny")
    done, other, folder = wan(
        tmp_path,
        "publish wan-tiny-i2v s3://weights/models/wan-tiny-i2v",
        "publish wan-tiny-i2v s3://weights/corgi",
        "publish wan-tiny s3://weights/wan-tiny",
    )
    assert done.out.startswith("wan-tiny-i2v: "), done.err
    listed = s3.list_objects_v2(Bucket="weights")["Contents"]
    assert "models/wan-tiny-i2v/manifest.json" in [entry["Key"] for entry in listed]
    said = "wan: uri: 's3://weights/corgi' does not end with wan-tiny-i2v (Publish it as .../wan-tiny-i2v.)\n"
    assert (other.code, other.err) == (64, said)
    assert folder.out.startswith("wan-tiny: 10 files, "), folder.err


def test_a_model_is_fetched_ahead_listed_read_again_and_removed(s3: Any, tmp_path: Path) -> None:
    publish(written(tmp_path / "m", files_of()), "m", "s3://weights/m")
    cache = f"--cache {tmp_path}/cache"
    fetched, listing, verified, planned, removed, after = wan(
        tmp_path,
        f"fetch s3://weights/m {cache} -o json",
        f"ls --cached {cache} -o json",
        f"verify m --cached {cache}",
        f"gc --dry-run {cache}",
        f"rm m --yes {cache}",
        f"ls --cached {cache}",
    )
    told = json.loads(fetched.out)
    assert (told["bytesFromS3"], told["misses"]) == (sum(map(len, files_of().values())), 3)
    [listed] = json.loads(listing.out)
    assert (listed["name"], listed["uri"], listed["inUse"]) == ("m", "s3://weights/m", False)
    assert told["path"] == f"{tmp_path}/cache/models/{listed['digest']}"
    assert verified.out.startswith("3 files, ")
    assert "could go" in planned.out
    assert removed.out.startswith("removed: m, ")
    assert after.out == "no models\n"


def test_bytes_that_a_disk_damaged_are_named_and_mended(s3: Any, tmp_path: Path) -> None:
    publish(written(tmp_path / "m", files_of()), "m", "s3://weights/m")
    with fetch("s3://weights/m", tmp_path / "cache", Event(), lambda *told: None) as model:
        blob = (model.path / "transformer" / "model.safetensors").resolve()
    blob.chmod(0o644)
    blob.write_bytes(blob.read_bytes()[:-1] + b"?")
    verify = f"verify --cached --cache {tmp_path}/cache"
    found, mended, after = wan(tmp_path, verify, f"{verify} --repair", verify)
    said = f"{blob.name} of m has wrong bytes in chunk 0 of 64 MiB"
    assert (found.code, found.out.splitlines()[0]) == (65, f"{said}: not repaired")
    assert f"wan: wrong bytes in 1 file of {tmp_path}/cache (Say --repair.)\n" == found.err
    assert (mended.code, mended.out.splitlines()[0]) == (0, f"{said}: repaired")
    assert after.out.endswith(", 0 damaged\n")


def test_of_one_file_it_is_said_that_it_is_one(s3: Any, tmp_path: Path) -> None:
    publish(written(tmp_path / "m", files_of()), "m", "s3://weights/m")
    s3.delete_object(Bucket="weights", Key="m/model_index.json")
    (told,) = wan(tmp_path, "verify s3://weights/m")
    assert told.out.splitlines() == [
        "model_index.json is missing",
        "m: 3 files, 2 by CRC64NVME in S3, 1 missing",
    ]
    assert told.err.startswith("wan: 1 file of s3://weights/m is not what its manifest says (")


FAULTS = {
    "ls": (64, "name a place in S3, or say --cached"),
    "ls s3://nowhere": (66, "there is no bucket 'nowhere'"),
    "fetch s3://nowhere/m": (66, "(Create the bucket, or correct its name; "),
    "publish wan-tiny s3://nowhere/wan-tiny": (77, "(Create the bucket, or correct its name.)"),
    "fetch s3://weights/m": (66, "published there: wan-tiny"),
    "verify s3://weights/m --repair": (64, "--repair needs --from"),
    "publish nope s3://weights/m": (66, "nope is not there (SRC is a folder, a file, or wan-tiny or wan-"),
    "publish wan_tiny s3://weights/wan-tiny": (66, "wan_tiny is not there; nearest: wan-tiny ("),
    "publish wan-tiny s3://weights/m --encoders-from no": (64, "are for models of yours"),
    "publish odd/pipeline.py s3://weights/m": (64, "pipeline.py is no .safetensors file (Name a model's fol"),
    "publish odd s3://weights/m": (78, "pipeline.py (No code of a model's own runs here: leave it out,"),
    "publish odd s3://weights/m --encoders-from no": (66, "no is not there (--encoders-from is a folder,"),
    "publish . s3://weights/m --dtype int4": (64, "'int4' is none of"),
    "publish wan-tiny s3://weights/wan-tiny --dtype fp32": (64, "wan-tiny goes as it ships"),
    "rm s3://weights/ --yes": (64, "is a whole bucket"),
    "rm m --cache c": (66, "'m' is not in the cache"),
    "rm s3://weights/wan-tiny": (64, "Nobody is here to say"),
}


@pytest.mark.slow
def test_a_fault_is_one_line_with_advice_and_an_exit_code(s3: Any, tmp_path: Path) -> None:
    publish(model_files("wan-tiny"), "wan-tiny", "s3://weights/wan-tiny")
    written(copy_tiny(tmp_path / "odd"), {"pipeline.py": b""})
    for (command, (code, said)), done in zip(FAULTS.items(), wan(tmp_path, *FAULTS), strict=True):
        assert (done.code, done.out) == (code, ""), command
        assert said in done.err, command
        assert done.err.startswith("wan: "), command
        assert done.err.count("\n") == 1, command
    assert s3.head_object(Bucket="weights", Key="wan-tiny/manifest.json")


@pytest.mark.slow
def test_ctrl_c_leaves_no_upload_open_and_says_so(s3: Any, tmp_path: Path) -> None:
    write_sparse_weights(copy_tiny(tmp_path / "m") / "large.safetensors", gib=1)
    process = subprocess.Popen(
        [*COMMAND, "publish", tmp_path / "m", "s3://weights/m"],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_until_an_upload_is_open(s3, process)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 75
    assert said.splitlines()[-1].startswith("wan: told to stop while uploading s3://weights/m/")
    assert said.endswith("; the same command goes on from there\n")
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
