from __future__ import annotations

from collections.abc import Iterator
from http.server import ThreadingHTTPServer

import pytest

from tests.wan_runner.store.caches import ROOMY
from tests.wan_runner.store.fault_server import FaultServer, running
from tests.wan_runner.store.faulty_s3 import FaultyS3, running_server, serve_store
from wan_runner.store import connection, pace


@pytest.fixture(autouse=True)
def roomy_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is evicted because the disk of whoever runs the tests is rather full."""
    for name, value in ROOMY.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="session")
def faulty_server() -> Iterator[ThreadingHTTPServer]:
    with running_server() as server:
        yield server


@pytest.fixture
def faulty(faulty_server: ThreadingHTTPServer, aws: pytest.MonkeyPatch) -> Iterator[FaultyS3]:
    """A store that fails on demand, asked once a request: botocore's own retries wait for seconds."""
    aws.setattr(connection, "ATTEMPTS", 1)
    with serve_store(faulty_server) as store:
        aws.setenv("AWS_ENDPOINT_URL_S3", store.endpoint)
        yield store


@pytest.fixture
def server(aws: pytest.MonkeyPatch) -> Iterator[FaultServer]:
    """A store that misbehaves by script; a download tries again almost at once."""
    aws.setattr(pace, "BACK_OFF_S", 0.01)
    aws.setattr(pace, "MAX_BACK_OFF_S", 0.05)
    with running() as server:
        aws.setenv("AWS_ENDPOINT_URL_S3", server.endpoint)
        yield server
