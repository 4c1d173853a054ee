"""Where the bytes of a blob come from: an object in S3, by its address."""

from __future__ import annotations

import os
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from threading import Event

from wan_runner.store import s3
from wan_runner.store.blob import Blob
from wan_runner.store.download import Receipt, download
from wan_runner.store.ingest import Fill, Report
from wan_runner.store.pace import read_pace

Origin = Callable[[str, Blob], Fill[Receipt]]
"""How a blob is filled from the object at an address."""


def open_origin(cancel: Event) -> Origin:
    """S3, as the environment says. Raises AccessDenied, InvalidInput."""
    pace, client = read_pace(os.environ), s3.connect(attempts=1)  # trying again is the download's

    def origin(uri: str, blob: Blob) -> Fill[Receipt]:
        def fill(sink: FileIO, journal: Path, report: Report) -> Receipt:
            place = s3.parse_uri(uri)
            return download(client, place, blob, sink, journal, cancel=cancel, report=report, pace=pace)

        return fill

    return origin
