"""Fetching on bad days, from an S3 that misbehaves by script: typed errors, and nothing wrong is visible."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest

from tests.wan_runner.store.caches import silent
from tests.wan_runner.store.fault_server import (
    Answer,
    Cut,
    Fault,
    FaultServer,
    Flip,
    Lost,
    Replace,
    Short,
    running,
)
from tests.wan_runner.store.models import files_of, listed
from wan_core.errors import (
    AccessDenied,
    IntegrityError,
    Interrupted,
    ModelNotFound,
    NetworkError,
    TrustRemoteCode,
    WanError,
)
from wan_core.phases import Phase
from wan_runner.store import FetchReceipt, fetch
from wan_runner.store.cache import Cache, open_cache
from wan_runner.store.manifest import Manifest

PATH = "/weights/m/transformer/model.safetensors"
WEIGHTS = "transformer/model.safetensors"
FILES = files_of(size=256 * 1024)


@pytest.fixture
def server(aws: pytest.MonkeyPatch) -> Iterator[FaultServer]:
    aws.setenv("WAN_FETCH_PATIENCE_S", "0.5")
    aws.setenv("WAN_FETCH_WORKERS", "1")
    with running() as server:
        aws.setenv("AWS_ENDPOINT_URL_S3", server.endpoint)
        put(server, FILES)
        yield server


def put(server: FaultServer, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        server.put("weights", f"m/{name}", data)
    manifest = Manifest(model="m", files=tuple(listed(files)))
    server.put("weights", "m/manifest.json", manifest.canonical())


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return open_cache(tmp_path, os.environ)


def get(cache: Cache, cancel: Event | None = None) -> FetchReceipt:
    with fetch("s3://weights/m", cache.root, cancel or Event(), silent) as fetched:
        for name, data in FILES.items():
            assert (fetched.path / name).read_bytes() == data
        return fetched.receipt


def assert_nothing_wrong_is_visible(cache: Cache) -> None:
    wrong = {listed({"x": FILES[WEIGHTS]})[0].blob().name}
    assert not wrong & {blob.name for blob in cache.blobs.iterdir()}
    assert list(cache.models.iterdir()) == []


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Flip(at=1000), id="a flipped byte"),
        pytest.param(Cut(after=1000), id="a body that breaks off"),
        pytest.param(Lost(), id="no answer"),
        pytest.param(Answer(503, "SlowDown"), id="overload"),
        pytest.param(Short(by=10), id="less than was asked for"),
    ],
)
def test_what_may_pass_is_tried_again(
    server: FaultServer, aws: pytest.MonkeyPatch, cache: Cache, fault: Fault
) -> None:
    aws.setenv("WAN_FETCH_PATIENCE_S", "120")
    server.when(fault, path=PATH)
    receipt = get(cache)
    assert receipt.misses == 3
    assert list(cache.ingest.iterdir()) == []


@pytest.mark.parametrize(
    ("fault", "error", "said"),
    [
        pytest.param(Answer(503, "SlowDown"), NetworkError, "503 SlowDown", id="overload"),
        pytest.param(Answer(500, "InternalError"), NetworkError, "500 InternalError", id="server error"),
        pytest.param(Answer(403, "AccessDenied"), AccessDenied, "AccessDenied", id="refused"),
        pytest.param(
            Answer(403, "SignatureDoesNotMatch"), AccessDenied, "SignatureDoesNotMatch", id="wrong key"
        ),
        pytest.param(Answer(400, "ExpiredToken"), AccessDenied, "ExpiredToken", id="expired"),
        pytest.param(Answer(404, "NoSuchKey"), ModelNotFound, "model.safetensors", id="file missing"),
        pytest.param(Flip(at=1000), IntegrityError, "other than", id="bytes that stay wrong"),
        pytest.param(Replace(b"x" * 9), IntegrityError, "model.safetensors", id="replaced by another"),
    ],
)
def test_what_it_does_not_mend_is_a_typed_error_that_names_the_object(
    server: FaultServer, cache: Cache, fault: Answer, error: type[WanError], said: str
) -> None:
    server.when(fault, times=None, path=PATH)
    with pytest.raises(error) as caught:
        get(cache)
    assert said in caught.value.message
    assert f"s3:/{PATH}" in caught.value.message
    assert "test-secret" not in caught.value.message
    assert_nothing_wrong_is_visible(cache)
    assert list(cache.reserved.iterdir()) == []


def test_a_cancelled_fetch_can_be_resumed(server: FaultServer, cache: Cache) -> None:
    cancel = Event()

    def stop_when_some_is_there(phase: Phase, done: int, total: int) -> None:
        if phase is Phase.DOWNLOAD and done > 100_000:
            cancel.set()

    server.connection_bytes_per_s = 400_000
    with pytest.raises(Interrupted):
        fetch("s3://weights/m", cache.root, cancel, stop_when_some_is_there).__enter__()
    assert_nothing_wrong_is_visible(cache)
    server.connection_bytes_per_s = None
    assert get(cache).misses == 1


def test_a_fetch_cancelled_beforehand_asks_for_no_weights(server: FaultServer, cache: Cache) -> None:
    cancel = Event()
    cancel.set()
    with pytest.raises(Interrupted):
        get(cache, cancel)
    assert {asked.path for asked in server.asked} <= {"/weights/m/manifest.json"}


def test_files_that_are_code_by_name_are_refused_before_any_is_fetched(
    server: FaultServer, cache: Cache
) -> None:
    put(server, {"unet.bin": b"x"})
    with pytest.raises(TrustRemoteCode, match=r"unet\.bin"):
        get(cache)
    assert [asked.path for asked in server.gets()] == ["/weights/m/manifest.json"]


def test_an_endpoint_where_nobody_listens_is_a_network_error(
    server: FaultServer, aws: pytest.MonkeyPatch, cache: Cache
) -> None:
    aws.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    aws.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(NetworkError, match=r"127\.0\.0\.1:9"):
        get(cache)


def test_missing_credentials_are_access_denied_before_any_request(
    server: FaultServer, aws: pytest.MonkeyPatch, cache: Cache
) -> None:
    aws.delenv("AWS_ACCESS_KEY_ID")
    aws.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(AccessDenied):
        get(cache)
    assert server.asked == []
