"""Frames to an H.264 MP4 that plays everywhere: yuv420p, BT.709, index in front. One frame in memory at a
time.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace

from wan_core.errors import InsufficientDiskSpace, InternalError

CRF = "17"  # x264's guide calls 17-18 visually lossless: trac.ffmpeg.org/wiki/Encode/H.264
PRESET = "medium"  # x264's own default
BT709 = 1  # the code of BT.709 for primaries, transfer and matrix alike (ISO/IEC 23091-2)


def encode_video(
    frames: Iterable[np.ndarray],
    path: Path,
    *,
    size: tuple[int, int],
    fps: int,
    on_frame: Callable[[int], None],
) -> int:
    """Write `frames` (uint8 RGB [H, W, 3]) to `path`; returns how many. `size` is (W, H), both even.

    `on_frame(n)` after the n-th frame; it may raise to stop. A still is a video of one frame.
    """
    try:
        return _write(frames, path, size, fps, on_frame)
    except av.FFmpegError as error:
        if error.errno == errno.ENOSPC:
            raise InsufficientDiskSpace(f"no room for the video at {path.parent}") from error
        raise InternalError(f"the video could not be encoded: {error}") from error


def _write(
    frames: Iterable[np.ndarray], path: Path, size: tuple[int, int], fps: int, on_frame: Callable[[int], None]
) -> int:
    count = 0
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        stream = _add_stream(container, size, fps)
        for count, pixels in enumerate(frames, start=1):
            container.mux(stream.encode(_to_yuv(pixels, count - 1, fps)))
            on_frame(count)
        container.mux(stream.encode(None))
    return count


def _add_stream(container: av.container.OutputContainer, size: tuple[int, int], fps: int) -> av.VideoStream:
    stream = container.add_stream("libx264", rate=fps, options={"crf": CRF, "preset": PRESET})
    stream.width, stream.height = size
    stream.pix_fmt = "yuv420p"
    context = stream.codec_context
    context.color_primaries = context.color_trc = context.colorspace = BT709
    context.color_range = ColorRange.MPEG
    return stream


def _to_yuv(pixels: np.ndarray, number: int, fps: int) -> av.VideoFrame:
    frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(
        format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
    )
    frame.pts, frame.time_base = number, Fraction(1, fps)
    return frame
