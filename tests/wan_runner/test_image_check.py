"""What `wan validate` is told of an image, and what it is shown: what an attempt would."""

from __future__ import annotations

from importlib.metadata import entry_points
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.wan_runner.test_image import encode, plain
from wan_core.api.spec import ImageFit
from wan_core.catalog.models import MODELS
from wan_core.errors import InvalidInput
from wan_core.task import IMAGE_MAX_BYTES
from wan_runner.image import prepare_image
from wan_runner.image_check import check, preview

CARD = MODELS["wan-tiny-i2v"]
VIDEO = (64, 64)


def stripes(size: tuple[int, int] = (90, 160)) -> bytes:
    """A photo that is no video's aspect and not of one colour."""
    rows = np.zeros((size[1], size[0], 3), dtype=np.uint8)
    rows[::7, :, 0], rows[:, ::5, 1] = 255, 200
    return encode(Image.fromarray(rows))


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    path.write_bytes(stripes())
    return path


@pytest.mark.parametrize("how", [ImageFit.CROP, ImageFit.PAD])
def test_a_preview_is_what_the_runner_gives_the_model(tmp_path: Path, photo: Path, how: ImageFit) -> None:
    out = tmp_path / "preview.png"
    checked = preview(photo, CARD, *VIDEO, how, out)
    frame, of_an_attempt = prepare_image(stripes(), *VIDEO, how, CARD)
    assert checked == of_an_attempt == check(photo, CARD, *VIDEO, how)
    with Image.open(out) as shown:
        assert (shown.format, shown.mode, shown.size) == ("PNG", "RGB", VIDEO)
        assert np.array_equal(np.asarray(shown), np.asarray(frame))


def test_the_values_are_those_of_the_pixels(photo: Path) -> None:
    checked = check(photo, CARD, *VIDEO, ImageFit.CROP)
    left, top, right, bottom = checked.correction.crop
    with Image.open(BytesIO(stripes())) as whole:
        by_hand = whole.crop((left, top, right, bottom)).resize(VIDEO, Image.Resampling.LANCZOS)
    frame, _ = prepare_image(stripes(), *VIDEO, ImageFit.CROP, CARD)
    difference = np.abs(np.asarray(by_hand, dtype=int) - np.asarray(frame, dtype=int))
    assert difference.max() <= 1


def test_nothing_is_shown_of_what_is_refused(tmp_path: Path, photo: Path) -> None:
    with pytest.raises(InvalidInput, match="imageFit: crop takes the box"):
        preview(photo, CARD, *VIDEO, ImageFit.REFUSE, tmp_path / "preview.png")
    assert not (tmp_path / "preview.png").exists()


@pytest.mark.parametrize(
    ("name", "why"),
    [
        pytest.param("absent.png", "No such file or directory", id="no file"),
        pytest.param(".", "Is a directory", id="a folder"),
        pytest.param("a\0b.png", "embedded null byte", id="no name at all"),
    ],
)
def test_a_file_that_cannot_be_read_is_told(tmp_path: Path, name: str, why: str) -> None:
    with pytest.raises(InvalidInput, match=f"spec.image: .*{why}"):
        check(tmp_path / name, CARD, *VIDEO, ImageFit.REFUSE)


def test_no_more_of_a_large_file_is_read_than_it_takes_to_refuse_it(tmp_path: Path) -> None:
    path = tmp_path / "huge.png"
    with path.open("wb") as file:
        file.truncate(IMAGE_MAX_BYTES * 1000)
    with pytest.raises(InvalidInput, match="bytes are too many"):
        check(path, CARD, *VIDEO, ImageFit.REFUSE)


def test_an_object_in_s3_is_read_as_an_attempt_reads_it(s3: Any) -> None:
    s3.put_object(Bucket="inputs", Key="photo.png", Body=stripes())
    checked = check("s3://inputs/photo.png", CARD, *VIDEO, ImageFit.PAD)
    assert (checked.width, checked.height, checked.format) == (90, 160, "PNG")
    with pytest.raises(InvalidInput, match=r"spec.image: .*other\.png"):
        check("s3://inputs/other.png", CARD, *VIDEO, ImageFit.PAD)


WARNED = {
    "transparent pixels": (
        encode(plain("RGBA", (128, 128), (255, 0, 0, 0))),
        "spec.image: 100 % of its pixels are transparent; they are laid onto black",
    ),
    "one colour": (
        encode(plain(size=(64, 64), color="red")),
        "spec.image: every pixel has the same colour, (255, 0, 0)",
    ),
    "a thumbnail": (
        encode(Image.fromarray(np.arange(16 * 16 * 3, dtype=np.uint8).reshape(16, 16, 3))),
        "spec.image: 16x16 is scaled up 4.0 times, so the video starts blurred; one of 64x64 would be as "
        "sharp as the video",
    ),
}


@pytest.mark.parametrize("name", WARNED)
def test_what_may_surprise_is_told_with_its_number(name: str) -> None:
    data, told = WARNED[name]
    assert told in check(data, CARD, *VIDEO, ImageFit.REFUSE).warnings


def test_an_image_like_the_video_is_nothing_to_tell_of() -> None:
    checked = check(stripes((64, 64)), CARD, *VIDEO, ImageFit.REFUSE)
    assert (checked.changes, checked.warnings, checked.correction.kept) == ((), (), 1.0)


@pytest.mark.parametrize(
    ("data", "change"),
    [
        pytest.param(encode(plain("CMYK"), "JPEG"), "its CMYK becomes RGB", id="CMYK"),
        pytest.param(
            encode(plain(), icc_profile=b"a profile of a printer"),
            "its colour profile, which is not sRGB, is not applied",
            id="another colour profile",
        ),
    ],
)
def test_what_is_done_to_it_is_told(data: bytes, change: str) -> None:
    assert change in check(data, CARD, 64, 32, ImageFit.REFUSE).changes


def test_the_entry_points_are_these_functions() -> None:
    found = {entry.name: entry.value for entry in entry_points(group="wan.checks")}
    assert found.get("image") == "wan_runner.image_check:check"
    assert found.get("preview") == "wan_runner.image_check:preview"
    assert found.get("prompt") == "wan_runner.prompt_check:count"
