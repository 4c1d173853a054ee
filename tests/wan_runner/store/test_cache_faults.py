"""The weights' cache on bad days: wrong bytes, broken bodies, full disks, cancelled and killed fetches."""

from __future__ import annotations

import fcntl
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread

import pytest

from tests.wan_runner.store.faulty_s3 import FaultyS3
from tests.wan_runner.store.models import files_of, listed, promised, safetensors
from wan_core.errors import (
    AccessDenied,
    InsufficientDiskSpace,
    IntegrityError,
    Interrupted,
    ModelNotFound,
    NetworkError,
    TrustRemoteCode,
    WanError,
)
from wan_runner.store import FetchedModel, fetch

MODEL, WEIGHTS = "/weights/m", "/weights/m/transformer/model.safetensors"
FILES = files_of(size=256 * 1024)
LARGE = files_of(size=4 * 1024 * 1024)
FETCH = """
import sys
from pathlib import Path
from threading import Event
from wan_core.errors import WanError
from wan_runner.store import fetch
def say(done, total):
    print("progress", done, flush=True)
try:
    model = fetch("s3://weights/m", Path(sys.argv[1]), Event(), say)
    print("loaded", model.bytes_loaded, flush=True)
except WanError as error:
    print(error.category, error.message, flush=True)
    sys.exit(error.row.exit_code)
"""


def ignore(done: int, total: int) -> None:
    pass


def get(
    cache: Path, cancel: Event | None = None, on_progress: Callable[[int, int], None] = ignore
) -> FetchedModel:
    return fetch("s3://weights/m", cache, cancel or Event(), on_progress)


def start(cache: Path, **kwargs: object) -> subprocess.Popen[str]:
    """A fetch in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", FETCH, str(cache)], stdout=subprocess.PIPE, text=True, **kwargs
    )  # type: ignore[call-overload, no-any-return]


def assert_nothing_is_left(cache: Path) -> None:
    assert not list((cache / "ingest").iterdir())
    assert not list((cache / "models").iterdir())


def blob_of(cache: Path, files: dict[str, bytes] = FILES) -> Path:
    weights = next(f for f in listed(files) if f.path.endswith("model.safetensors"))
    return cache / "blobs" / weights.sha256


def test_a_flipped_byte_is_noticed_and_fetched_again(faulty: FaultyS3, tmp_path: Path) -> None:
    faulty.put_model(MODEL, FILES, listed(FILES))
    faulty.faults[WEIGHTS] = ["flip"]
    model = get(tmp_path)
    assert (model.path / "transformer/model.safetensors").read_bytes() == FILES[
        "transformer/model.safetensors"
    ]
    assert faulty.count("GET", WEIGHTS) == 2


def test_bytes_that_stay_wrong_are_refused_with_both_digests(faulty: FaultyS3, tmp_path: Path) -> None:
    faulty.put_model(MODEL, FILES, listed(FILES))
    faulty.faults[WEIGHTS] = ["flip"] * 9
    with pytest.raises(IntegrityError) as caught:
        get(tmp_path)
    assert "transformer/model.safetensors" in caught.value.message
    assert blob_of(tmp_path).name in caught.value.message
    assert faulty.count("GET", WEIGHTS) == 2
    assert not blob_of(tmp_path).exists()
    assert_nothing_is_left(tmp_path)


def test_an_object_of_another_size_is_refused_with_both_sizes(faulty: FaultyS3, tmp_path: Path) -> None:
    faulty.put_model(MODEL, FILES | {"transformer/model.safetensors": b"short"}, listed(FILES))
    size = len(FILES["transformer/model.safetensors"])
    with pytest.raises(IntegrityError, match=f"has 5 bytes; its manifest says {size}"):
        get(tmp_path)
    assert_nothing_is_left(tmp_path)


def test_a_body_that_breaks_off_is_fetched_again(faulty: FaultyS3, tmp_path: Path) -> None:
    faulty.put_model(MODEL, FILES, listed(FILES))
    faulty.faults[WEIGHTS] = ["cut", "cut"]
    model = get(tmp_path)
    total = sum(map(len, FILES.values()))
    assert model.bytes_loaded > total  # the halves that were thrown away came over the wire too
    assert faulty.count("GET", WEIGHTS) == 3


@pytest.mark.parametrize(
    ("fault", "error", "said"),
    [
        pytest.param("cut", NetworkError, "no answer", id="body always breaks off"),
        pytest.param("503 SlowDown", NetworkError, "503 SlowDown", id="overload"),
        pytest.param("500 InternalError", NetworkError, "500 InternalError", id="server error"),
        pytest.param("403 AccessDenied", AccessDenied, "AccessDenied", id="refused"),
        pytest.param("403 SignatureDoesNotMatch", AccessDenied, "SignatureDoesNotMatch", id="wrong key"),
        pytest.param("400 ExpiredToken", AccessDenied, "ExpiredToken", id="expired"),
        pytest.param("404 NoSuchKey", ModelNotFound, "model.safetensors", id="file missing"),
    ],
)
def test_a_store_that_keeps_failing_ends_in_a_typed_error_and_leaves_nothing(
    faulty: FaultyS3, tmp_path: Path, fault: str, error: type[WanError], said: str
) -> None:
    faulty.put_model(MODEL, FILES, listed(FILES))
    faulty.faults[WEIGHTS] = [fault] * 9
    with pytest.raises(error) as caught:
        get(tmp_path)
    assert said in caught.value.message
    assert f"s3:/{WEIGHTS} at {faulty.endpoint}" in caught.value.message
    assert "test-secret" not in caught.value.message
    assert not blob_of(tmp_path).exists()
    assert_nothing_is_left(tmp_path)


def test_a_model_larger_than_the_disk_is_refused_before_its_first_byte(
    faulty: FaultyS3, tmp_path: Path
) -> None:
    huge = promised("transformer/model.safetensors", 2**43)
    faulty.put_model(MODEL, FILES, [huge])
    with pytest.raises(InsufficientDiskSpace, match=rf"needs {2**43} more bytes and has \d+ free"):
        get(tmp_path)
    assert faulty.count("GET", WEIGHTS) == 0


def test_a_write_that_the_system_refuses_is_a_full_disk_and_leaves_nothing(
    faulty: FaultyS3, tmp_path: Path
) -> None:
    faulty.put_model(MODEL, FILES, listed(FILES))
    limit = 64 * 1024
    child = start(tmp_path, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    out, _ = child.communicate(timeout=60)
    assert child.returncode == 73
    assert "INSUFFICIENT_DISK_SPACE cannot write" in out
    assert not blob_of(tmp_path).exists()
    assert_nothing_is_left(tmp_path)


def test_a_cancelled_fetch_stops_and_leaves_nothing_and_the_next_one_works(
    faulty: FaultyS3, tmp_path: Path
) -> None:
    faulty.put_model(MODEL, LARGE, listed(LARGE))
    cancel = Event()

    def stop_early(done: int, total: int) -> None:
        if done > 1024 * 1024:
            cancel.set()

    with pytest.raises(Interrupted):
        get(tmp_path, cancel, stop_early)
    assert not blob_of(tmp_path, LARGE).exists()
    assert_nothing_is_left(tmp_path)
    assert get(tmp_path).path.is_dir()


def test_a_fetch_cancelled_beforehand_loads_nothing(faulty: FaultyS3, tmp_path: Path) -> None:
    faulty.put_model(MODEL, FILES, listed(FILES))
    cancel = Event()
    cancel.set()
    with pytest.raises(Interrupted):
        get(tmp_path, cancel)
    assert faulty.count("GET", WEIGHTS) == 0


def test_who_waits_for_another_process_can_be_cancelled(faulty: FaultyS3, tmp_path: Path) -> None:
    only = {"model_index.json": FILES["model_index.json"]}
    faulty.put_model(MODEL, only, listed(only))
    part = tmp_path / "ingest" / f"{listed(only)[0].sha256}.part"
    part.parent.mkdir()
    cancel = Event()
    with part.open("wb") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        with pytest.raises(Interrupted, match="another process"):
            get(tmp_path, cancel, lambda done, total: cancel.set())
        assert part.exists()


def test_two_processes_fetch_the_same_model_once(faulty: FaultyS3, tmp_path: Path) -> None:
    faulty.put_model(MODEL, LARGE, listed(LARGE))
    faulty.faults[WEIGHTS] = ["hold"]
    child = start(tmp_path)
    assert faulty.holding.wait(60)
    waiting: list[FetchedModel] = []
    begun = Event()
    thread = Thread(target=lambda: waiting.append(get(tmp_path, on_progress=lambda done, total: begun.set())))
    thread.start()
    assert begun.wait(60)
    faulty.release.set()
    out, _ = child.communicate(timeout=60)
    thread.join(60)
    assert child.returncode == 0
    assert f"loaded {sum(map(len, LARGE.values()))}" in out
    assert [model.bytes_loaded for model in waiting] == [0]
    assert [faulty.count("GET", f"{MODEL}/{name}") for name in LARGE] == [1, 1, 1]


def test_after_a_kill_in_mid_fetch_the_next_fetch_sweeps_and_works(faulty: FaultyS3, tmp_path: Path) -> None:
    faulty.put_model(MODEL, LARGE, listed(LARGE))
    faulty.faults[WEIGHTS] = ["hold"]
    child = start(tmp_path)
    assert faulty.holding.wait(60)
    waiting: list[FetchedModel] = []
    thread = Thread(target=lambda: waiting.append(get(tmp_path)))
    thread.start()
    child.send_signal(signal.SIGKILL)
    child.communicate(timeout=60)
    thread.join(60)
    assert child.returncode == -signal.SIGKILL
    assert [(model.path / name).read_bytes() for model in waiting for name in LARGE] == list(LARGE.values())
    assert not list((tmp_path / "ingest").iterdir())


def test_what_a_dead_process_left_is_swept_and_what_a_living_one_holds_is_not(
    faulty: FaultyS3, tmp_path: Path
) -> None:
    faulty.put_model(MODEL, FILES, listed(FILES))
    ingest = tmp_path / "ingest"
    (ingest / f"{'a' * 64}.tree").mkdir(parents=True)
    (ingest / f"{'a' * 64}.part").write_bytes(b"left behind")
    with (ingest / f"{'b' * 64}.part").open("wb") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        get(tmp_path)
        assert [path.name for path in ingest.iterdir()] == [f"{'b' * 64}.part"]


@pytest.mark.parametrize(
    ("files", "error", "said"),
    [
        pytest.param({"unet.bin": b"x"}, TrustRemoteCode, "unet.bin", id="pickle by name"),
        pytest.param(
            {"config.json": b'{"auto_map": {"A": "b.C"}}'}, TrustRemoteCode, "auto_map", id="auto_map"
        ),
        pytest.param(
            {"a.safetensors": b"\x80\x04pickled"}, IntegrityError, "a.safetensors", id="pickle inside"
        ),
        pytest.param(
            {"a.safetensors": safetensors()[:-1]}, IntegrityError, "'w' lies at 0..64", id="cut tensor"
        ),
    ],
)
def test_contents_that_do_not_belong_in_a_model_never_become_one(
    faulty: FaultyS3, tmp_path: Path, files: dict[str, bytes], error: type[WanError], said: str
) -> None:
    faulty.put_model(MODEL, files, listed(files))
    with pytest.raises(error) as caught:
        get(tmp_path)
    assert said in caught.value.message
    assert not list(tmp_path.glob("models/*"))


def test_an_endpoint_where_nobody_listens_is_a_network_error(
    faulty: FaultyS3, aws: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    aws.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    with pytest.raises(NetworkError, match=r"127\.0\.0\.1:9"):
        get(tmp_path)


def test_missing_credentials_are_access_denied_before_any_request(
    faulty: FaultyS3, aws: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    aws.delenv("AWS_ACCESS_KEY_ID")
    aws.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(AccessDenied, match="no usable S3 credentials"):
        get(tmp_path)
    assert faulty.requests == []


def test_a_store_that_falls_silent_is_a_network_error(
    faulty: FaultyS3, aws: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    aws.setattr("wan_runner.store.connection.READ_TIMEOUT_S", 0.2)
    aws.setenv("AWS_REGION", "eu-west-1")  # other settings make another client
    faulty.put_model(MODEL, FILES, listed(FILES))
    faulty.faults[WEIGHTS] = ["hold"] * 9
    with pytest.raises(NetworkError, match=r"(?i)timed out|timeout"):
        get(tmp_path)
    assert faulty.count("GET", WEIGHTS) == 3
    assert_nothing_is_left(tmp_path)
