from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from wan_core.errors import InternalError, Interrupted
from wan_runner.encode import encode_video


def clip(frames: int, width: int = 96, height: int = 64) -> np.ndarray:
    """Smooth waves that move: [F, H, W, 3]."""
    t, y, x = np.mgrid[0:frames, 0:height, 0:width]
    waves = [np.sin(x / 20 + t / 4), np.sin(y / 25 - t / 6), np.sin((x + y) / 30 + t / 4)]
    return (127 + 100 * np.stack(waves, axis=-1)).astype(np.uint8)


def quiet(_done: int) -> None:
    pass


def decode(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        frames = [f.reformat(format="rgb24", src_colorspace="ITU709") for f in container.decode(video=0)]
        return np.stack([f.to_ndarray() for f in frames])


@pytest.mark.parametrize(("frames", "fps"), [(17, 8), (1, 16), (25, 24)], ids=["clip", "still", "a second"])
def test_the_file_has_the_frames_the_size_and_the_rate(frames: int, fps: int, tmp_path: Path) -> None:
    path = tmp_path / "video.mp4"
    assert encode_video(clip(frames), path, size=(96, 64), fps=fps, on_frame=quiet) == frames
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.frames, stream.average_rate, stream.width, stream.height) == (frames, fps, 96, 64)
        assert float(stream.duration * stream.time_base) == pytest.approx(frames / fps)
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
    assert decode(path).shape == (frames, 64, 96, 3)


def test_a_smooth_clip_survives_at_36_db(tmp_path: Path) -> None:
    frames = clip(17)
    encode_video(frames, tmp_path / "v.mp4", size=(96, 64), fps=8, on_frame=quiet)
    error = (decode(tmp_path / "v.mp4").astype(float) - frames) ** 2
    assert 10 * np.log10(255**2 / error.mean()) > 36


def test_colours_are_tagged_as_bt709_and_come_back(tmp_path: Path) -> None:
    red = np.zeros((3, 64, 96, 3), np.uint8)
    red[..., 0] = 230
    encode_video(red, tmp_path / "v.mp4", size=(96, 64), fps=8, on_frame=quiet)
    with av.open(str(tmp_path / "v.mp4")) as container:
        context = container.streams.video[0].codec_context
        tags = (context.color_primaries, context.color_trc, context.colorspace, context.color_range)
        assert [int(t) for t in tags] == [1, 1, 1, 1]
    assert decode(tmp_path / "v.mp4")[1, 30, 30] == pytest.approx((230, 0, 0), abs=4)


def test_the_index_stands_before_the_pictures(tmp_path: Path) -> None:
    encode_video(clip(5), tmp_path / "v.mp4", size=(96, 64), fps=8, on_frame=quiet)
    data = (tmp_path / "v.mp4").read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")


def test_frames_are_taken_one_by_one(tmp_path: Path) -> None:
    alive = peak = 0

    def one_by_one() -> Iterator[np.ndarray]:
        nonlocal alive, peak
        for frame in clip(9):
            alive += 1
            peak = max(peak, alive)
            yield frame

    def written(_done: int) -> None:
        nonlocal alive
        alive -= 1

    encode_video(one_by_one(), tmp_path / "v.mp4", size=(96, 64), fps=8, on_frame=written)
    assert (alive, peak) == (0, 1)


def test_it_can_be_stopped_between_frames(tmp_path: Path) -> None:
    def stop(done: int) -> None:
        if done == 3:
            raise Interrupted("told to stop")

    with pytest.raises(Interrupted):
        encode_video(clip(9), tmp_path / "v.mp4", size=(96, 64), fps=8, on_frame=stop)


def test_a_place_that_cannot_be_written_is_our_error(tmp_path: Path) -> None:
    with pytest.raises(InternalError, match="could not be encoded"):
        encode_video(clip(1), tmp_path / "none" / "v.mp4", size=(96, 64), fps=8, on_frame=quiet)
