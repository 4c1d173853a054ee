"""Credentials that change while they are used: files that rotate, and keys that end.

botocore asks for the keys before each request. Here it gets those of the moment, and a request that was
refused because its keys are no longer valid is sent again once there are others: `retry_with_newer_keys`.
Only keys that S3 has taken before are waited for; wrong ones are an error at once.
"""

from __future__ import annotations

import logging
import os
import random
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from botocore.credentials import Credentials
from botocore.credentials import ReadOnlyCredentials as Keys

from wan_core.errors import AccessDenied, WanError
from wan_runner.store.redact import remember

STALE = frozenset(  # what S3 says of keys that are good no more, or not yet
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidAccessKeyId",
        "InvalidToken",
        "SignatureDoesNotMatch",
        "XAdminUserNotFound",  # versitygw, with 404, of a key that it does not know
    }
)
SENDS = 3  # of one request whose keys were refused
FILE_WAIT_S = 75.0  # kubelets bring a changed Secret to its pods within a minute or a little more
LOOK_EVERY_S = 0.5
LATER_S = 60.0  # a renewal that failed is tried again so much later, while the keys still hold
EARLY = (0.6, 0.8)  # of its life is when a key is renewed; at random, so that pods of one moment spread
LEFT = 0.1  # of its life is when nobody uses it any more

log = logging.getLogger(__name__)


def now() -> datetime:
    """The clock, for tests to turn."""
    return datetime.now(UTC)


class Changing(Credentials, ABC):  # type: ignore[misc]  # botocore has no types
    """Keys of the moment. Remembers which ones each thread was given last, and whether S3 took any."""

    method: str

    def __init__(self, method: str) -> None:
        self.method = method
        self._given = threading.local()
        self._accepted: Keys | None = None

    access_key = property(lambda self: self._current().access_key)
    secret_key = property(lambda self: self._current().secret_key)
    token = property(lambda self: self._current().token)
    account_id = None

    def get_frozen_credentials(self) -> Keys:
        keys = self._current()
        remember(keys.secret_key, keys.token)
        self._given.keys = keys
        return keys

    def accept(self) -> None:
        """S3 took the keys that this thread was given."""
        self._accepted = getattr(self._given, "keys", None)

    def replace_refused(self) -> bool:
        """Whether there are other keys than those that this thread was given, which S3 refused."""
        used = getattr(self._given, "keys", None)
        if used is None or self._accepted is None:
            return False
        return self._current() != used or (self._accepted == used and self._find_others(used))

    @abstractmethod
    def _current(self) -> Keys:
        """The keys of now."""

    @abstractmethod
    def _find_others(self, used: Keys) -> bool:
        """Whether there are others than those that S3 took before and refuses now; may wait for them."""


class KeysOfFile(Changing):
    """Keys in a file, read again whenever the file is another one."""

    def __init__(self, file: Path, read: Callable[[], Keys | None], first: Keys) -> None:
        super().__init__("shared-credentials-file")
        self._file, self._read = file, read
        self._seen: tuple[int, int, int] | None = None
        self._keys = first

    def _current(self) -> Keys:
        seen = _signature(self._file)
        if seen != self._seen:
            self._keys = self._read_again()
            self._seen = seen
        return self._keys

    def _read_again(self) -> Keys:
        """What the file says now; the keys that it had while it says nothing, for a while or for good."""
        said = "it has no keys"
        try:
            if (keys := self._read()) is not None:
                return keys
        except AccessDenied as error:
            said = error.message
        log.warning("%s: %s; the keys that it had stay in use", self._file, said)
        return self._keys

    def _find_others(self, used: Keys) -> bool:
        log.warning("S3 no longer takes the keys of %s: waiting for others", self._file)
        until_s = time.monotonic() + FILE_WAIT_S
        while time.monotonic() < until_s:
            if self._current() != used:
                return True
            time.sleep(LOOK_EVERY_S)
        return False


def _signature(file: Path) -> tuple[int, int, int] | None:
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


class KeysWithEnd(Changing):
    """Keys that somebody gives for a time. Fetched when first needed, and again well before they end.

    `fetch` returns keys and their end. Raises what it raises, if there are no keys that still hold.
    """

    def __init__(self, method: str, fetch: Callable[[], tuple[Keys, datetime]]) -> None:
        super().__init__(method)
        self._fetch = fetch
        self._lock = threading.Lock()
        self._keys: Keys | None = None
        self._renew_at = self._unused_from = now()

    def _current(self) -> Keys:
        keys = self._keys
        if keys is not None and now() < self._renew_at:
            return keys
        needed = keys is None or now() >= self._unused_from
        if not self._lock.acquire(blocking=needed):
            assert keys is not None
            return keys  # another thread renews them
        try:
            if self._keys is not None and now() < self._renew_at:
                return self._keys
            return self._renew(needed)
        finally:
            self._lock.release()

    def _renew(self, needed: bool) -> Keys:
        try:
            keys, end = self._fetch()
        except WanError as error:
            if needed or self._keys is None:
                raise
            log.warning("S3 credentials are not renewed yet, the old ones still hold: %s", error.message)
            self._renew_at = min(now() + timedelta(seconds=LATER_S), self._unused_from)
            return self._keys
        begun = now()
        if end <= begun:
            raise AccessDenied(
                f"S3 credentials that were given just now ended at {end:%Y-%m-%d %H:%M:%S} UTC; "
                f"this machine's clock says {begun:%Y-%m-%d %H:%M:%S} UTC",
                advice="Correct this machine's clock.",
            )
        life = end - begun
        self._renew_at, self._unused_from = begun + life * random.uniform(*EARLY), end - life * LEFT
        self._keys = keys
        return keys

    def _find_others(self, used: Keys) -> bool:
        with self._lock:
            if self._keys == used:
                self._renew(needed=True)
            return bool(self._keys != used)


def retry_with_newer_keys(credentials: Changing) -> Callable[..., int | None]:
    """A handler of botocore's event `needs-retry`: in how many seconds a request is signed anew, or None."""

    def decide(response: Any, attempts: int, **_: Any) -> int | None:
        if response is None:
            return None
        if response[0].status_code < 300:
            credentials.accept()
            return None
        code = response[1].get("Error", {}).get("Code")
        return 0 if code in STALE and attempts < SENDS and credentials.replace_refused() else None

    return decide
