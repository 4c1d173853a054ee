"""Two attempts on one machine: a prompt is encoded once, and the second one reads no text encoder."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.wan_core.pipeline.models import KINDS, save_model
from tests.wan_runner.tasks import build_task
from tests.wan_runner.test_run import finish, read, start
from wan_runner.store.publish import publish_folder

pytestmark = pytest.mark.slow  # imports diffusers


@pytest.fixture
def bucket(s3: Any, tmp_path: Path) -> Any:
    publish_folder(save_model(tmp_path / "model", **KINDS["t2v"]), "s3://weights/wan-tiny")
    return s3


def make_video(folder: Path, s3: Any, uid: str) -> tuple[Any, str, np.ndarray]:
    """Result, log and frames of an attempt; the cache stays in the folder."""
    task = build_task().model_copy(update={"uid": uid, "output": f"s3://videos/{uid}/"})
    code, result, log = finish(start(folder, task), folder)
    assert code == 0, log
    with av.open(io.BytesIO(read(s3, f"{uid}/video.mp4"))) as video:
        return result, log, np.stack([f.to_ndarray(format="rgb24") for f in video.decode(video=0)])


def blind(cache: Path) -> None:
    """The text encoder's bytes in the cache are none any more."""
    (model,) = (cache / "models").iterdir()
    for link in (model / "text_encoder").iterdir():
        blob = link.resolve()
        blob.chmod(0o644)
        blob.write_bytes(bytes(blob.stat().st_size))


def test_the_second_attempt_reads_no_text_encoder(bucket: Any, tmp_path: Path) -> None:
    first, log, frames = make_video(tmp_path, bucket, "u-1")
    assert (first.prepared.hits, first.prepared.misses) == (0, 2)
    assert "texts known" not in log
    blind(tmp_path / "cache")
    second, log, again = make_video(tmp_path, bucket, "u-2")
    assert (second.prepared.hits, second.prepared.misses) == (2, 0)
    assert second.prepared.seconds_saved > 0
    assert "texts known: 2, encoded: 0, saved: " in log
    assert "a red circle" not in log
    assert np.abs(frames.astype(int) - again).mean() < 0.5  # x264 does not always write the same bytes


def test_a_file_of_a_model_is_known_by_what_its_link_names(tmp_path: Path) -> None:
    from wan_runner.generate import digests_of

    (tmp_path / "tokenizer").mkdir()
    (tmp_path / "tokenizer" / "a.json").symlink_to("../../../blobs/sha256-1")
    (tmp_path / "manifest.json").write_text("{}")
    assert digests_of(tmp_path) == {"tokenizer/a.json": "sha256-1"}
