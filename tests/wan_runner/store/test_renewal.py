"""Credentials that change while they are used: Secrets that rotate, keys that end, requests in between."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.wan_runner.store.answering import Request, Response, Server, answering, refusal
from wan_core.errors import AccessDenied, NetworkError
from wan_runner.store import connection, renewal
from wan_runner.store.renewal import Keys, KeysWithEnd
from wan_runner.store.s3 import connect, read_input

IMAGE = b"image"
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


class Secret:
    """A Secret as a kubelet mounts it: `..data` points to the folder of the day and is swapped as a whole."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.count = folder, 0
        (folder / "credentials").symlink_to("..data/credentials")

    def write(self, text: str) -> None:
        self.count += 1
        day = self.folder / f"..day-{self.count}"
        day.mkdir()
        (day / "credentials").write_text(text)
        (self.folder / "..swap").symlink_to(day.name)
        os.replace(self.folder / "..swap", self.folder / "..data")

    def rotate(self, access_key: str) -> None:
        self.write(
            f"[default]\naws_access_key_id = {access_key}\naws_secret_access_key = secret-{access_key}\n"
        )


@pytest.fixture
def secret(aws: pytest.MonkeyPatch, tmp_path: Path) -> Secret:
    """Holds OLD, which this process is to use."""
    aws.delenv("AWS_ACCESS_KEY_ID")
    aws.delenv("AWS_SECRET_ACCESS_KEY")
    aws.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    aws.setattr(renewal, "LOOK_EVERY_S", 0.001)
    aws.setattr(connection, "ATTEMPTS", 1)
    secret = Secret(tmp_path)
    secret.rotate("OLD")
    return secret


class Store:
    """An S3 that takes `valid` keys and calls others what `refuses_with` says."""

    def __init__(self) -> None:
        self.valid = {"OLD"}
        self.refuses_with = refusal(400, "ExpiredToken")
        self.on_refusal = lambda: None
        self.server: Server

    def answer(self, request: Request) -> Response:
        if request.access_key in self.valid:
            return Response(200, IMAGE)
        self.on_refusal()
        return self.refuses_with

    def asked_by(self) -> list[str | None]:
        return [request.access_key for request in self.server.requests]


@pytest.fixture
def store(aws: pytest.MonkeyPatch) -> Iterator[Store]:
    store = Store()
    with answering(store.answer) as store.server:
        aws.setenv("AWS_ENDPOINT_URL_S3", store.server.endpoint)
        yield store


def read() -> bytes:
    return read_input("s3://inputs/a.png", max_bytes=100)


def test_new_keys_are_used_from_the_next_request_on(secret: Secret, store: Store) -> None:
    store.valid = {"OLD", "NEW"}
    read()
    secret.rotate("NEW")
    read()
    assert store.asked_by() == ["OLD", "NEW"]


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "ExpiredToken"),
        (403, "InvalidAccessKeyId"),
        (403, "SignatureDoesNotMatch"),
        (400, "InvalidToken"),
    ],
)
def test_keys_that_end_in_the_middle_are_replaced_by_those_that_have_come(
    secret: Secret, store: Store, status: int, code: str
) -> None:
    read()
    store.valid, store.refuses_with = {"NEW"}, refusal(status, code)
    store.on_refusal = lambda: secret.rotate("NEW")
    assert read() == IMAGE
    assert store.asked_by() == ["OLD", "OLD", "NEW"]


def test_keys_that_come_a_while_after_the_old_ones_ended_are_waited_for(secret: Secret, store: Store) -> None:
    read()
    refused = threading.Event()
    store.valid, store.on_refusal = {"NEW"}, refused.set
    later = threading.Thread(target=lambda: refused.wait(120) and secret.rotate("NEW"))
    later.start()
    assert read() == IMAGE
    later.join()
    assert store.asked_by() == ["OLD", "OLD", "NEW"]


def test_many_requests_at_once_go_on_with_the_new_keys(secret: Secret, store: Store) -> None:
    read()
    one_by_one = threading.Lock()

    def rotate_once() -> None:
        with one_by_one:  # each request is refused in a thread of its own
            if secret.count == 1:
                secret.rotate("NEW")

    store.valid, store.on_refusal = {"NEW"}, rotate_once
    got: list[bytes] = []
    threads = [threading.Thread(target=lambda: got.append(read())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [IMAGE] * 8


def test_keys_that_never_worked_are_not_waited_for(
    secret: Secret, store: Store, aws: pytest.MonkeyPatch
) -> None:
    aws.setattr(renewal, "FILE_WAIT_S", 1e9)
    store.valid = {"NEW"}
    with pytest.raises(AccessDenied, match="ExpiredToken") as caught:
        read()
    assert "Renew the S3 credentials" in caught.value.advice
    assert store.asked_by() == ["OLD"]


def test_the_wait_for_new_keys_ends(secret: Secret, store: Store, aws: pytest.MonkeyPatch) -> None:
    aws.setattr(renewal, "FILE_WAIT_S", 0.02)
    read()
    store.valid = set()
    with pytest.raises(AccessDenied, match="ExpiredToken"):
        read()
    assert store.asked_by() == ["OLD", "OLD"]


@pytest.mark.parametrize(
    "text", ["", "[default\n", "[other]\naws_access_key_id = X\n"], ids=["", "cut", "other"]
)
def test_a_file_that_says_nothing_for_a_while_leaves_the_keys_in_use(
    secret: Secret, store: Store, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    read()
    secret.write(text)
    assert read() == IMAGE
    assert store.asked_by() == ["OLD", "OLD"]
    assert "the keys that it had stay in use" in caplog.text
    assert "secret-OLD" not in caplog.text


def test_both_kinds_of_client_share_their_credentials(secret: Secret, store: Store) -> None:
    assert connect(attempts=1) is connect(attempts=1)
    assert (
        connect(attempts=1)._request_signer._credentials is connect(attempts=3)._request_signer._credentials
    )


class Giver:
    """Gives keys for an hour, counted; turns the clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.given, self.error = NOON, 0, None
        self.life = timedelta(hours=1)
        monkeypatch.setattr(renewal, "now", lambda: self.now)
        self.keys = KeysWithEnd("test", self.give)

    error: Exception | None

    def give(self) -> tuple[Keys, datetime]:
        if self.error:
            raise self.error
        self.given += 1
        return Keys(f"KEY{self.given}", "secret", "token"), self.now + self.life

    def after(self, minutes: float) -> str:
        self.now = NOON + timedelta(minutes=minutes)
        return str(self.keys.get_frozen_credentials().access_key)


@pytest.fixture
def giver(monkeypatch: pytest.MonkeyPatch) -> Giver:
    return Giver(monkeypatch)


def test_keys_with_an_end_are_asked_for_when_first_needed_and_again_well_before_the_end(giver: Giver) -> None:
    assert giver.given == 0
    assert [giver.after(minutes) for minutes in (0, 20, 35, 49)] == ["KEY1", "KEY1", "KEY1", "KEY2"]
    assert giver.given == 2


def test_a_renewal_that_fails_leaves_the_keys_in_use_until_they_end(giver: Giver) -> None:
    giver.after(0)
    giver.error = NetworkError("STS is away")
    assert giver.after(50) == "KEY1"
    with pytest.raises(NetworkError, match="STS is away"):
        giver.after(55)
    giver.error = None
    assert giver.after(56) == "KEY2"


def test_pods_of_one_moment_renew_at_different_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    renewed = set()
    for _ in range(20):
        giver = Giver(monkeypatch)
        giver.after(0)
        renewed.add(giver.keys._renew_at)
    assert len(renewed) > 10
    assert all(NOON + timedelta(minutes=36) <= at <= NOON + timedelta(minutes=48) for at in renewed)


def test_keys_that_have_ended_before_they_came_are_the_clocks_fault(giver: Giver) -> None:
    giver.life = timedelta(hours=-2)
    with pytest.raises(
        AccessDenied, match=r"ended at 2026-06-01 10:00:00 UTC; .* says 2026-06-01 12:00:00"
    ) as caught:
        giver.after(0)
    assert caught.value.advice == "Correct this machine's clock."


def test_threads_that_need_keys_at_once_ask_once(giver: Giver) -> None:
    started, got = threading.Barrier(8), []

    def take() -> None:
        started.wait()
        got.append(giver.keys.get_frozen_credentials().access_key)

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == ["KEY1"] * 8
    assert giver.given == 1
