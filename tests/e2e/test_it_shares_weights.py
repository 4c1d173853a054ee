"""It shares weights: the pods of a node fetch them once, and what is replaced in S3 is what runs next."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from tests.controlplane.s3 import WEIGHTS, S3Server
from tests.e2e.bed import Bed, Options, wait_until
from tests.e2e.films import TINY, Films
from tests.e2e.slow_s3 import SlowS3
from tests.e2e.witness import Witness
from wan_runner.tiny import model_files

BED = Options(namespaces=2)
MODEL = "wan-tiny"
TRANSFORMER = "transformer/diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def wire(beds: tuple[Bed, Witness]) -> Iterator[SlowS3]:
    """Runners reach S3 by a wire that can be held and that counts."""
    bed = beds[0]
    with SlowS3(bed.s3.endpoint) as slow:
        bed.install(s3={"endpointUrl": slow.endpoint})
        yield slow


@pytest.fixture
def slow(wire: SlowS3) -> Iterator[SlowS3]:
    """It holds nothing any more after the test, however that ends."""
    yield wire
    wire.release()


def model_bytes(bed: Bed) -> int:
    """Bytes of the published model's files, each content once, as its manifest says."""
    answer = bed.s3.client().get_object(Bucket=WEIGHTS, Key=f"{MODEL}/manifest.json")
    files = json.loads(answer["Body"].read())["files"]
    return sum({file["sha256"]: file["bytes"] for file in files}.values())


def digest_of(bed: Bed, status: dict[str, Any]) -> str:
    """The weights that the output's manifest names."""
    bucket, _, key = status["output"]["manifest"].removeprefix("s3://").partition("/")
    body = bed.s3.client().get_object(Bucket=bucket, Key=key)["Body"].read()
    return str(json.loads(body)["model"]["digest"])


def test_two_pods_of_a_node_fetch_once(films: Films, bed: Bed, slow: SlowS3) -> None:
    slow.hold(f"/{MODEL}/{TRANSFORMER}".encode(), only=True)
    for name in ("one", "two"):
        films.apply(name, **TINY)
    slow.wait_held(300)
    wait_until(lambda: both_fetch(films), 300, lambda: "\n".join(films.told(n) for n in ("one", "two")))
    before = slow.answered
    slow.release()
    ends = [films.wait_end(name, "Succeeded") for name in ("one", "two")]
    loaded = [end["attempts"][0]["bytesLoaded"] for end in ends]
    assert sum(loaded) == model_bytes(bed), "each file was fetched by one of the two"
    assert before < slow.answered < 1.5 * model_bytes(bed)
    assert {end["attempts"][0]["node"] for end in ends} == {"cpu-1"}
    assert len({end["attempts"][0]["modelDigest"] for end in ends}) == 1


def both_fetch(films: Films) -> bool:
    """Whether both have come so far that they want the weights."""
    told = [films.status(name).get("progress", {}).get("stage") for name in ("one", "two")]
    return told == ["Fetching", "Fetching"]


def test_what_was_replaced_in_s3_is_what_runs_next(films: Films, bed: Bed, tmp_path: Path) -> None:
    films.apply("before", **TINY, seed=7)
    before = films.wait_end("before", "Succeeded")
    publish_changed(bed.s3, tmp_path)
    films.apply("after", **TINY, seed=7)
    after = films.wait_end("after", "Succeeded")
    digests = [digest_of(bed, status) for status in (before, after)]
    assert digests[0] != digests[1]
    assert [status["attempts"][0]["modelDigest"] for status in (before, after)] == digests
    assert after["output"]["sha256"] != before["output"]["sha256"]
    changed = (tmp_path / "model" / TRANSFORMER).stat().st_size
    assert after["attempts"][0]["bytesLoaded"] == changed, "what did not change is not fetched again"


def publish_changed(s3: S3Server, folder: Path) -> None:
    """The same model with another head, published in the place of the old one."""
    for path, source in model_files(MODEL).items():
        target = folder / "model" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
    state = load_file(folder / "model" / TRANSFORMER)
    state["proj_out.bias"] = state["proj_out.bias"] + 0.05
    save_file(state, folder / "model" / TRANSFORMER)
    s3.publish(folder / "model", MODEL)
