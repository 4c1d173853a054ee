"""What it takes to get a model that the node has: one request for the manifest, then locks and looks only.

    python -m bench.loading.hit CACHE [--times N]

fetches s3://weights/model into CACHE, then N times more in this process, and prints milliseconds of each:
of all of it, of making S3's clients (the first time only), of the manifest's GET and parsing, of the rest.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from threading import Event

from wan_core.phases import Phase
from wan_runner.store import fetch, s3
from wan_runner.store.digests import digest_of
from wan_runner.store.manifest import MANIFEST_NAME, File, Manifest

BUCKET, MODEL = "weights", "model"


def publish(folder: Path, files: int) -> None:
    """A model of so many files, each with bytes of its own, as S3 would serve it from `folder`."""
    place = folder / BUCKET / MODEL
    place.mkdir(parents=True)
    settings = {"model_index.json": b'{"_class_name": "WanPipeline"}'}
    weights = {f"part-{n}.txt": f"{n}\n".encode() * 1000 for n in range(files - len(settings))}
    listed = []
    for name, data in (settings | weights).items():
        (place / name).write_bytes(data)
        listed.append(File.of(name, digest_of(data)))
    manifest = Manifest(model=MODEL, source="bench", license="none", files=tuple(listed))
    (place / MANIFEST_NAME).write_bytes(manifest.canonical())


def fetch_once(cache: Path) -> dict[str, float]:
    """Milliseconds of a fetch, and the blobs missed."""
    marks: list[float] = []

    def tell(phase: Phase, done: int, total: int) -> None:
        if phase is Phase.VALIDATION:
            marks.append(time.perf_counter())

    begun = time.perf_counter()
    s3.connect()
    s3.connect(attempts=1)  # the two that fetch would make, and keeps as this does
    connected = time.perf_counter()
    with fetch(f"s3://{BUCKET}/{MODEL}", cache, Event(), tell) as model:
        misses = model.receipt.misses
    ended = time.perf_counter()
    asking = marks[-1] - marks[0]
    return {
        "whole": 1e3 * (ended - begun),
        "client": 1e3 * (connected - begun),
        "manifest": 1e3 * asking,
        "rest": 1e3 * (ended - connected - asking),
        "misses": misses,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cache", type=Path)
    parser.add_argument("--times", type=int, default=20)
    chosen = parser.parse_args()
    print(json.dumps([fetch_once(chosen.cache) for _ in range(chosen.times + 1)]))


if __name__ == "__main__":
    main()
