"""A finished video out of S3, and a picture of its frames for people who want to see it at a glance."""

from __future__ import annotations

import math
from pathlib import Path

import av
from PIL import Image, ImageDraw, ImageFont

from wan_core.errors import IntegrityError, InvalidInput
from wan_runner.store.disk import writing_to, written_whole
from wan_runner.store.s3 import copy_to

MAX_FRAMES, COLUMNS = 20, 5
SIDE_PX = 256  # the longer side of a frame on the sheet: small ones grow by whole factors, large ones shrink
LABEL_PX, GAP_PX = 20, 6
PAPER, INK = (24, 24, 28), (210, 210, 215)


def collect(uri: str, to: Path, contact_sheet: Path | None = None) -> None:
    """Copies the video at `uri` to the file `to`, draws its contact sheet; each appears whole or not at all.

    Files of these names are replaced. InvalidInput if no object is there, IntegrityError if it is damaged.
    """
    with writing_to(to), written_whole(to) as draft:
        copy_to(draft, uri, missing=lambda what: InvalidInput(f"--uri: {what}"))
    if contact_sheet is not None:
        sheet = draw_contact_sheet(to)
        with writing_to(contact_sheet), written_whole(contact_sheet) as draft:
            sheet.save(draft, format="PNG")


def draw_contact_sheet(video: Path) -> Image.Image:
    """A grid of at most `MAX_FRAMES` frames, evenly spread from first to last, each with its number."""
    try:
        frames = _read_frames(video)
    except av.FFmpegError as error:
        raise IntegrityError(f"{video} cannot be decoded: {error}") from error
    if not frames:
        raise IntegrityError(f"{video} has no frames")
    width, height = next(iter(frames.values())).size
    columns = min(COLUMNS, len(frames))
    cell_w, cell_h = width + GAP_PX, height + LABEL_PX + GAP_PX
    sheet = Image.new(
        "RGB", (columns * cell_w + GAP_PX, math.ceil(len(frames) / columns) * cell_h + GAP_PX), PAPER
    )
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=14)
    for place, (number, frame) in enumerate(frames.items()):
        x, y = GAP_PX + place % columns * cell_w, GAP_PX + place // columns * cell_h
        sheet.paste(frame, (x, y))
        pen.text((x, y + height + 2), f"frame {number}", fill=INK, font=font)
    return sheet


def _read_frames(video: Path) -> dict[int, Image.Image]:
    """The chosen frames by number, in the size of the sheet; one full frame in memory at a time."""
    with av.open(str(video)) as container:
        if not container.streams.video:
            return {}
        total = sum(1 for packet in container.demux(video=0) if packet.size)
    chosen = spread(total, MAX_FRAMES)
    with av.open(str(video)) as container:
        return {n: _fit(f.to_image()) for n, f in enumerate(container.decode(video=0)) if n in chosen}


def spread(total: int, most: int) -> set[int]:
    """At most `most` numbers below `total`, evenly apart, the first and the last among them."""
    if total <= most:
        return set(range(total))
    return {round(i * (total - 1) / (most - 1)) for i in range(most)}


def _fit(frame: Image.Image) -> Image.Image:
    """The frame with its longer side near `SIDE_PX`; small ones by nearest neighbour, for exact pixels."""
    longest = max(frame.size)
    if longest <= SIDE_PX:
        factor = SIDE_PX // longest
        return frame.resize((frame.width * factor, frame.height * factor), Image.Resampling.NEAREST)
    scale = SIDE_PX / longest
    size = (max(1, round(frame.width * scale)), max(1, round(frame.height * scale)))
    return frame.resize(size, Image.Resampling.LANCZOS)
