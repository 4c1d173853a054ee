"""Which S3 local mode uses, and where an input image of the embedded one lies."""

from __future__ import annotations

from pathlib import Path

import pytest

from wan_core.errors import InvalidInput
from wan_core.task import IMAGE_MAX_BYTES
from wan_operator.local import Places
from wan_operator.storage import find_image


@pytest.mark.parametrize(
    ("options", "environment", "embedded"),
    [
        pytest.param({}, {}, True, id="by default it is embedded"),
        pytest.param({}, {"AWS_PROFILE": "work"}, True, id="a profile names no endpoint"),
        pytest.param({}, {"AWS_ENDPOINT_URL": "http://s3"}, False, id="an endpoint of all services"),
        pytest.param({}, {"AWS_ENDPOINT_URL_S3": "http://s3"}, False, id="an endpoint of S3"),
        pytest.param({"endpoint": "http://s3"}, {}, False, id="the option"),
        pytest.param({"weights": "s3://w"}, {}, False, id="weights elsewhere"),
        pytest.param({"output": "s3://o"}, {}, False, id="output elsewhere"),
    ],
)
def test_the_embedded_s3_is_used_unless_a_real_one_is_named(
    options: dict[str, str], environment: dict[str, str], embedded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert Places(out=Path("out"), folder=Path(), **options).embedded is embedded  # type: ignore[arg-type]


def test_an_image_is_a_file_beside_the_manifest(tmp_path: Path) -> None:
    (tmp_path / "dogs").mkdir()
    (tmp_path / "dogs/corgi.png").touch()
    assert find_image("s3://inputs/dogs/corgi.png", tmp_path) == tmp_path / "dogs/corgi.png"
    assert find_image(None, tmp_path) is None


@pytest.mark.parametrize(
    "key",
    [
        "../secret.png",
        "dogs/../../secret.png",
        "/etc/passwd",
        "dogs",
        "absent.png",
        ".hidden.png",
        "a" * 900,
        "huge.png",
    ],
)
def test_an_image_lies_in_the_folder_or_is_refused(key: str, tmp_path: Path) -> None:
    (tmp_path / "secret.png").touch()
    (tmp_path / "folder/dogs").mkdir(parents=True)
    (tmp_path / "folder/.hidden.png").touch()
    with (tmp_path / "folder/huge.png").open("wb") as huge:
        huge.truncate(IMAGE_MAX_BYTES + 1)
    with pytest.raises(InvalidInput, match=r"spec\.image: "):
        find_image(f"s3://inputs/{key}", tmp_path / "folder")
