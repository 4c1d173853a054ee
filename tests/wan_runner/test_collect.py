"""A finished video copied out of S3, and the picture of its frames."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from wan_core.errors import AccessDenied, IntegrityError, InvalidInput
from wan_runner.collect import GAP_PX, LABEL_PX, collect, draw_contact_sheet, spread
from wan_runner.store.upload import upload

URI = "s3://videos/default/uid/1/video.mp4"


def grey_video(path: Path, frames: int, width: int = 64, height: int = 48) -> Path:
    """A video whose frame n is grey of brightness 40 + n."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=16)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for n in range(frames):
            pixels = np.full((height, width, 3), 40 + n, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.fixture
def stored(s3: Any, tmp_path: Path) -> Path:
    """A video of 17 frames that lies at URI."""
    path = grey_video(tmp_path / "made.mp4", frames=17)
    upload(path, URI, "video/mp4")
    return path


def test_a_video_arrives_as_it_was_uploaded_with_its_sheet(stored: Path, tmp_path: Path) -> None:
    collect(URI, tmp_path / "out/corgi.mp4", tmp_path / "out/corgi.png")
    assert (tmp_path / "out/corgi.mp4").read_bytes() == stored.read_bytes()
    with Image.open(tmp_path / "out/corgi.png") as sheet:
        assert sheet.format == "PNG"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["corgi.mp4", "corgi.png"]


def test_an_earlier_video_of_that_name_is_replaced(stored: Path, tmp_path: Path) -> None:
    (tmp_path / "corgi.mp4").write_bytes(b"old")
    collect(URI, tmp_path / "corgi.mp4")
    assert (tmp_path / "corgi.mp4").read_bytes() == stored.read_bytes()


def test_a_video_that_is_not_there_leaves_the_earlier_one_alone(s3: Any, tmp_path: Path) -> None:
    (tmp_path / "corgi.mp4").write_bytes(b"old")
    with pytest.raises(InvalidInput, match=f"--uri: there is no {URI}"):
        collect(URI, tmp_path / "corgi.mp4")
    assert (tmp_path / "corgi.mp4").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["corgi.mp4"]


def test_a_video_that_changed_under_way_is_refused(s3: Any, tmp_path: Path) -> None:
    s3.put_object(Bucket="videos", Key="v.mp4", Body=b"other bytes", Metadata={"sha256": "0" * 64})
    with pytest.raises(IntegrityError, match="it was uploaded with 0000"):
        collect("s3://videos/v.mp4", tmp_path / "v.mp4")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("data", [b"", b"no video", b"\0" * 4096], ids=["empty", "text", "zeros"])
def test_what_is_no_video_has_no_sheet(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "v.mp4").write_bytes(data)
    with pytest.raises(IntegrityError, match=r"v\.mp4"):
        draw_contact_sheet(tmp_path / "v.mp4")


def test_a_place_that_may_not_be_written_is_named(stored: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(AccessDenied, match=r"cannot write .*/file/corgi\.mp4"):
        collect(URI, tmp_path / "file/corgi.mp4")


@pytest.mark.parametrize(
    ("frames", "size", "shown", "cell"),
    [
        pytest.param(1, (64, 64), 1, (256, 256), id="a still"),
        pytest.param(17, (64, 64), 17, (256, 256), id="wan-tiny, four times as large"),
        pytest.param(81, (320, 176), 20, (256, 141), id="many and larger: some frames, smaller"),
    ],
)
def test_frames_stand_in_order_at_a_size_that_a_person_sees(
    tmp_path: Path, frames: int, size: tuple[int, int], shown: int, cell: tuple[int, int]
) -> None:
    sheet = draw_contact_sheet(grey_video(tmp_path / "v.mp4", frames, *size))
    columns, rows = min(5, shown), -(-shown // 5)
    assert sheet.width == columns * (cell[0] + GAP_PX) + GAP_PX
    assert sheet.height == rows * (cell[1] + LABEL_PX + GAP_PX) + GAP_PX
    greys = []
    for n in range(shown):
        x = GAP_PX + n % 5 * (cell[0] + GAP_PX) + cell[0] // 2
        y = GAP_PX + n // 5 * (cell[1] + LABEL_PX + GAP_PX) + cell[1] // 2
        greys.append(np.asarray(sheet)[y, x, 0])
    expected = [40 + n for n in sorted(spread(frames, 20))]
    assert np.allclose(np.array(greys, float), expected, atol=3)


@given(st.integers(1, 2000), st.integers(2, 40))
def test_the_frames_shown_are_spread_from_first_to_last(total: int, most: int) -> None:
    chosen = sorted(spread(total, most))
    assert len(chosen) == min(total, most)
    assert (chosen[0], chosen[-1]) == (0, total - 1)
    gaps = {b - a for a, b in pairwise(chosen)}
    assert not gaps or max(gaps) - min(gaps) <= 1
