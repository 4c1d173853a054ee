"""What must never be said: secret keys and tokens that this process has held, taken out of texts for people.

By value, not by form: whoever reads a secret remembers it here, and whoever words a message passes it
through `redacted`. A secret that nobody remembered is not recognized.
"""

from __future__ import annotations

import threading

INSTEAD = "***"
MIN_LENGTH = 6  # of what is taken out: `test` or `local` as a key says nothing, and would spoil other words

_known: set[str] = set()
_lock = threading.Lock()


def remember(*secrets: str | None) -> None:
    """Each of `secrets` is a secret from now on; empty and short ones are not."""
    with _lock:
        _known.update(s for secret in secrets if secret and len(s := secret.strip()) >= MIN_LENGTH)


def redacted(text: str) -> str:
    """`text` without any secret, the longest first, as one may hold another."""
    with _lock:
        secrets = sorted(_known, key=len, reverse=True)
    for secret in secrets:
        text = text.replace(secret, INSTEAD)
    return text
