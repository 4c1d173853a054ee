"""Ranges of one object in S3, all of the same version of it, and when to ask for one again.

The first answer pins the object's ETag; from then on every request carries it (If-Match) and every answer
is compared with it, for there are stores that ignore the condition.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from threading import Event, Lock
from typing import Any

from botocore.exceptions import ClientError

from wan_core.errors import AccessDenied, IntegrityError, NetworkError
from wan_runner.store import s3
from wan_runner.store.pace import PROGRESS_BYTES, choose_pause


class Replaced(IntegrityError):
    """The object is no longer the one that was begun with."""


class Source:
    """An object of `size` bytes. `etag` is the version that is meant; None if its bytes are known instead."""

    def __init__(self, client: s3.Client, place: s3.Location, size: int, etag: str | None):
        self.client, self.place, self.size = client, place, size
        self._etag, self._lock = etag, Lock()

    def ask(self, start: int, end: int) -> Any:
        """The body (botocore's) of bytes `start` to `end`; it may hold fewer, never others.

        Raises Replaced, IntegrityError for an object of another size, NetworkError, AccessDenied,
        ModelNotFound.
        """
        name = {"Bucket": self.place.bucket, "Key": self.place.key}
        condition = {"IfMatch": self._etag} if self._etag else {}
        with self.translated():
            try:
                answer = self.client.get_object(**name, Range=f"bytes={start}-{end - 1}", **condition)
            except ClientError as error:
                refused = self._refused(error)
                if refused is None:
                    raise
                raise refused from error
        try:
            self._check(answer, start)
        except BaseException:
            answer["Body"].close()
            raise
        return answer["Body"]

    def head(self) -> Any:
        """What S3 says of the object that has the name now."""
        with self.translated():
            return self.client.head_object(
                Bucket=self.place.bucket, Key=self.place.key, ChecksumMode="ENABLED"
            )

    def translated(self) -> AbstractContextManager[None]:
        """Errors of reading a body as ours."""
        return s3.translated(self.client, self.place, s3.missing_model)

    def _refused(self, error: ClientError) -> IntegrityError | None:
        """What only we know to be wrong."""
        status = s3.status_of(error)
        if status == 412:
            return Replaced(f"{self.place.uri} was replaced while it was fetched")
        if status == 416:
            return IntegrityError(f"{self.place.uri} has fewer bytes than the {self.size} it should have")
        return None

    def _check(self, answer: dict[str, Any], start: int) -> None:
        """Whether these are bytes of the version that we want, and the bytes that we asked for."""
        what, _, total = answer.get("ContentRange", "").removeprefix("bytes ").partition("/")
        if not what and start == 0:  # all of it, by a store that does not know ranges
            what, total = "0-", str(answer["ContentLength"])
        if what.partition("-")[0] != str(start):
            raise AccessDenied(
                f"{self.place.uri}: the store answered {answer.get('ContentRange')!r} when asked from byte "
                f"{start}",
                advice="Use a store that knows ranges.",
            )
        with self._lock:
            self._etag = self._etag or answer.get("ETag")
        if answer.get("ETag") != self._etag:
            raise Replaced(f"{self.place.uri} was replaced while it was fetched")
        if total != str(self.size):
            raise IntegrityError(f"{self.place.uri} has {total} bytes; it should have {self.size}")


def persist(
    attempt: Callable[[], None],
    reached: Callable[[], int],
    stop: Event,
    patience_s: float,
    count: Callable[[], None],
) -> None:
    """Calls `attempt` until it succeeds or `stop` is set, with growing pauses; `count`s repetitions.

    Raises NetworkError when `reached` has not advanced for `patience_s`, and whatever no repetition mends.
    """
    failures, mark, gained_s = 0, reached(), time.monotonic()
    while not stop.is_set():
        try:
            attempt()
            return
        except NetworkError as error:
            if stop.is_set():
                return
            now_s = time.monotonic()
            if reached() - mark >= PROGRESS_BYTES:
                failures, mark, gained_s = 0, reached(), now_s
            if is_final(error):
                raise
            if now_s - gained_s >= patience_s:
                raise NetworkError(
                    f"{error.message}; {failures + 1} tries in {now_s - gained_s:.0f} s gained nothing",
                    advice=error.advice,
                ) from error
            failures += 1
            count()
            stop.wait(choose_pause(failures, retry_after_s(error)))


def is_final(error: BaseException | None) -> bool:
    """Whether the other side would say the same again: a certificate does not become trusted by waiting."""
    while error is not None and not isinstance(error, ssl.SSLCertVerificationError):
        error = error.__cause__ or error.__context__
    return error is not None


def retry_after_s(error: BaseException) -> float | None:
    """What the Retry-After of the answer asks for: seconds, or a date."""
    cause = error.__cause__
    if not isinstance(cause, ClientError):
        return None
    text = str(cause.response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("retry-after", ""))
    if text.isdecimal():
        return float(text)
    try:
        then = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, (then.replace(tzinfo=then.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
