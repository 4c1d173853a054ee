"""`wan weights cache stats` and `wan weights cache clear`: what was derived on this machine, and kept.

Nothing heavy is imported.
"""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path

from wan_core.errors import AccessDenied, InvalidInput
from wan_core.weights import prepared_folder
from wan_runner.weights_shell import (
    CacheDir,
    Format,
    Output,
    answer,
    answer_json,
    cache_or_default,
    in_camel_case,
    many,
    told,
    words,
)


def stats(cache: CacheDir = None, output: Output = Format.TEXT) -> None:
    """Tell how much was derived and kept on this machine, and what that saved.

    Counted since the last `wan weights cache clear`.
    """
    with told():
        root = find_folder(cache)
        limit = prepared_folder.read_max_bytes(os.environ)
        found, counts = prepared_folder.entries(root), prepared_folder.read_counts(root)
        nbytes = sum(entry.bytes for entry in found)
        if output is Format.JSON:
            size = {"folder": str(root), "values": len(found), "bytes": nbytes, "max_bytes": limit}
            answer_json(in_camel_case({**size, **asdict(counts)}))
            return
        answer(f"folder  {root}")
        answer(f"values  {len(found)}, {words(nbytes)} of at most {words(limit)}")
        answer(f"found   {many(counts.hits, 'time')}, {words(counts.bytes_read)} read")
        answer(f"made    {many(counts.misses, 'time')}, {words(counts.bytes_stored)} written")
        answer(f"saved   {counts.seconds_saved:.1f} s")


def clear(cache: CacheDir = None) -> None:
    """Remove what was derived and kept on this machine; it is made again when it is needed.

    What runs meanwhile is not disturbed. Weights stay: `wan weights gc` is for those.
    """
    with told():
        count, nbytes = prepared_folder.clear(find_folder(cache))
        answer(f"removed: {many(count, 'value')}, {words(nbytes)}")


def find_folder(cache: Path | None) -> Path:
    """The folder below the cache, which need not be there. Raises InvalidInput, AccessDenied."""
    if cache is not None and not cache.is_dir():
        raise InvalidInput(f"--cache: {cache}: there is no such folder")
    root = cache_or_default(cache) / prepared_folder.FOLDER
    try:
        os.listdir(root)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise AccessDenied(f"{root}: {error.strerror}", advice="Name a cache of this user's.") from error
    return root
