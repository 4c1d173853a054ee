"""A long download outlives its keys: they end while it runs, and it goes on with those that come."""

from __future__ import annotations

import os
import re
from pathlib import Path
from threading import get_ident

import pytest

from tests.wan_runner.store.answering import Request, Response, answering, refusal
from tests.wan_runner.store.downloads import CHUNK_BYTES, Fetch, listed
from wan_core.errors import AccessDenied, Interrupted
from wan_runner.store import renewal

DATA = os.urandom(6 * CHUNK_BYTES)


class Store:
    """Holds DATA for whoever has `key`; after `ends_after` answers that is NEW."""

    def __init__(self, ends_after: int) -> None:
        self.key, self.left, self.refused = "OLD", ends_after, 0
        self.on_refusal = lambda: None

    def answer(self, request: Request) -> Response:
        if request.access_key != self.key:
            self.refused += 1
            self.on_refusal()
            return refusal(400, "ExpiredToken")
        self.left -= 1
        if self.left == 0:
            self.key = "NEW"
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers["range"])
        assert found
        first, last = int(found[1]), min(int(found[2]), len(DATA) - 1)
        span = {"ETag": '"1"', "Content-Range": f"bytes {first}-{last}/{len(DATA)}"}
        return Response(206, DATA[first : last + 1], span)


def write(file: Path, key: str) -> None:
    draft = file.with_suffix(f".{get_ident()}")  # several threads of the server may be at it
    draft.write_text(f"[default]\naws_access_key_id = {key}\naws_secret_access_key = secret-{key}\n")
    draft.replace(file)


@pytest.fixture
def keys(aws: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        aws.delenv(name)
    aws.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    aws.setattr(renewal, "LOOK_EVERY_S", 0.001)
    write(tmp_path / "credentials", "OLD")
    return tmp_path / "credentials"


def test_a_download_goes_on_with_the_keys_that_come(
    keys: Path, aws: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    store, fetch = Store(ends_after=5), Fetch(tmp_path, listed(DATA))
    store.on_refusal = lambda: write(keys, "NEW")
    with answering(store.answer) as server:
        aws.setenv("AWS_ENDPOINT_URL_S3", server.endpoint)
        receipt = fetch.run()
    assert fetch.part.read_bytes() == DATA
    assert (receipt.received, receipt.retries) == (len(DATA), 0)
    assert store.refused


def test_without_other_keys_it_ends_and_resumes_when_they_are_there(
    keys: Path, aws: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    aws.setattr(renewal, "FILE_WAIT_S", 0.02)
    store, fetch = Store(ends_after=8), Fetch(tmp_path, listed(DATA))
    with answering(store.answer) as server:
        aws.setenv("AWS_ENDPOINT_URL_S3", server.endpoint)
        with pytest.raises(AccessDenied, match="ExpiredToken"):
            fetch.run()
        write(keys, "NEW")
        receipt = fetch.run()
    assert fetch.part.read_bytes() == DATA
    assert receipt.resumed > 0


def test_it_may_be_told_to_stop_while_it_waits_for_keys(
    keys: Path, aws: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    store, fetch = Store(ends_after=5), Fetch(tmp_path, listed(DATA))
    store.on_refusal = fetch.cancel.set
    with answering(store.answer) as server:
        aws.setenv("AWS_ENDPOINT_URL_S3", server.endpoint)
        with pytest.raises(Interrupted):
            fetch.run()
    write(keys, "NEW")  # for the threads that still wait
