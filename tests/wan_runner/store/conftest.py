from __future__ import annotations

from collections.abc import Iterator
from http.server import ThreadingHTTPServer

import pytest

from tests.wan_runner.store.caches import ROOMY
from tests.wan_runner.store.faulty_s3 import FaultyS3, running_server, serve_store
from wan_runner.store import connection


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
