"""`wan run --catalog` with everything real: a fine-tune, published under an id of its own, makes a video."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.wan_operator.wan_run import rest_of, running, status_of
from wan_runner.model_check import check
from wan_runner.store.publish import publish
from wan_runner.store.s3 import connect
from wan_runner.store.serve import running_server
from wan_runner.tiny import model_files

pytestmark = pytest.mark.slow

CATALOGUE = """
models:
  - id: shapes-2
    base: wan-tiny
    title: the same shapes by another name
    defaults: {frames: 5, steps: 4}
"""


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An S3 that holds weights under an id that no catalogue has."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    with running_server() as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
        for bucket in ("weights", "videos"):
            connect().create_bucket(Bucket=bucket)
        publish(model_files("wan-tiny"), "shapes-2", "s3://weights/shapes-2")
        yield endpoint


def test_a_fine_tune_is_planned_and_run_by_its_own_id(tmp_path: Path, endpoint: str) -> None:
    (tmp_path / "own.yaml").write_text(CATALOGUE)
    places = ("--endpoint-url", endpoint, "--weights", "s3://weights", "--output", "s3://videos")
    with running(tmp_path, tmp_path / "cache", "--catalog", "own.yaml", *places, model="shapes-2") as process:
        text = rest_of(process)
    assert process.returncode == 0, text
    status = status_of(tmp_path)
    assert status["phase"] == "Succeeded"
    output = status["output"]
    assert isinstance(output, dict)
    assert output["frames"] == 5
    assert check("s3://weights/shapes-2").models == ("wan-tiny",)
