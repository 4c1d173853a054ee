"""A prompt that was encoded before needs no text encoder, and the video is the same to the last bit."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.wan_core.pipeline.films import make_video
from wan_core.errors import ModelNotFound

pytestmark = pytest.mark.slow  # imports diffusers

DIGESTS = {
    "text_encoder/config.json": "sha256-1",
    "text_encoder/model.safetensors": "sha256-2",
    "tokenizer/tokenizer.json": "sha256-3",
    "vae/config.json": "sha256-4",
}


@pytest.fixture
def folder(model_folder: Callable[[str], Path], tmp_path: Path) -> Path:
    """A copy that a test may break."""
    return Path(shutil.copytree(model_folder("t2v"), tmp_path / "model"))


def blind(folder: Path) -> None:
    """Nothing with which a text could be encoded is left."""
    shutil.rmtree(folder / "text_encoder")
    shutil.rmtree(folder / "tokenizer")


@pytest.fixture
def studio_of(folder: Path, tmp_path: Path) -> Callable[..., Any]:
    """A studio of `folder` that keeps texts, as another process would open it; and what it counted."""

    def build(
        request: Any,
        *techniques: str,
        digests: dict[str, str] = DIGESTS,
        max_bytes: int = 2**20,
        party: str = "films",
    ) -> tuple[Any, Any]:
        from wan_core.pipeline.known_texts import Keep
        from wan_core.pipeline.video import load
        from wan_core.plan.techniques import Plan
        from wan_core.weights.prepared import Prepared

        techniques = techniques or ("bf16", "resident")
        plan = Plan.model_construct(model="wan-tiny", device="cpu", techniques=techniques)
        prepared = Prepared(tmp_path / "prepared", max_bytes)
        return load(folder, plan, request, lambda _d, _t: None, keep=Keep(prepared, digests, party)), prepared

    return build


PLACES = {
    "resident": ("bf16", "resident"),
    "offloaded": ("bf16", "component-offload"),
    "streamed": ("bf16", "block-streaming"),
    "text encoder on the host": ("bf16", "resident", "text-encoder-cpu"),
}


@pytest.mark.parametrize("place", PLACES)
def test_the_second_video_needs_no_text_encoder_and_is_the_same(
    place: str, folder: Path, studio_of: Any, studio_for: Any, request_for: Any
) -> None:
    request = request_for(negative_prompt="a blue square")
    without = make_video(studio_for("t2v", request, *PLACES[place]), request)
    studio, first = studio_of(request, *PLACES[place])
    assert np.array_equal(make_video(studio, request), without)
    blind(folder)
    studio, second = studio_of(request, *PLACES[place])
    assert np.array_equal(make_video(studio, request), without)
    assert studio.parts.text_encoder is None
    assert "text_encoder" not in studio.residency.parts
    assert (first.counts.hits, first.counts.misses) == (0, 2)
    assert (second.counts.hits, second.counts.misses) == (2, 0)
    assert second.counts.bytes_read == first.counts.bytes_stored
    assert second.counts.seconds_saved > 0


def test_a_seed_more_needs_no_text_encoder(folder: Path, studio_of: Any, request_for: Any) -> None:
    make_video(studio_of(request_for())[0], request_for())
    blind(folder)
    make_video(studio_of(request_for(seed=8))[0], request_for(seed=8))


@pytest.mark.parametrize("words", ["red", "red " * 511, "red " * 512, "red " * 600])
def test_how_many_tokens_there_were_is_known_too(
    words: str, folder: Path, studio_of: Any, request_for: Any
) -> None:
    import torch

    from wan_core.pipeline.text import encode_text

    request = request_for(prompt=words)
    made = encode_text(studio_of(request)[0], request)
    blind(folder)
    kept = encode_text(studio_of(request)[0], request)
    assert (kept.tokens, kept.cut) == (made.tokens, made.cut)
    assert kept.positive.dtype == made.positive.dtype
    assert torch.equal(kept.positive, made.positive)
    assert torch.equal(kept.negative, made.negative)


OTHERS: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "another prompt": ({"prompt": "a blue square"}, {}),
    "another negative prompt": ({"negative_prompt": "a blue square"}, {}),
    "other weights": ({}, {"text_encoder/model.safetensors": "sha256-9"}),
    "another tokenizer": ({}, {"tokenizer/tokenizer.json": "sha256-9"}),
    "a file more": ({}, {"text_encoder/model-2.safetensors": "sha256-9"}),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_would_give_other_states_is_encoded(
    name: str, folder: Path, studio_of: Any, request_for: Any
) -> None:
    fields, digests = OTHERS[name]
    make_video(studio_of(request_for())[0], request_for())
    blind(folder)
    with pytest.raises(ModelNotFound, match="text_encoder"):
        studio_of(request_for(**fields), digests={**DIGESTS, **digests})


@pytest.mark.parametrize(
    ("fields", "digests"),
    [
        pytest.param({"prompt": " a  red\ncircle "}, {}, id="spaces"),
        pytest.param({"guidance_high": 1.0, "guidance_low": 1.0, "negative_prompt": "x"}, {}, id="unguided"),
        pytest.param({}, {"transformer/model.safetensors": "sha256-9"}, id="another model, the same encoder"),
    ],
)
def test_what_gives_the_same_states_is_known(
    fields: dict[str, Any], digests: dict[str, str], folder: Path, studio_of: Any, request_for: Any
) -> None:
    make_video(studio_of(request_for())[0], request_for())
    blind(folder)
    studio_of(request_for(**fields), digests={**DIGESTS, **digests})


def test_nobody_finds_what_another_party_had_encoded(folder: Path, studio_of: Any, request_for: Any) -> None:
    make_video(studio_of(request_for())[0], request_for())
    blind(folder)
    with pytest.raises(ModelNotFound):
        studio_of(request_for(), party="games")


def test_another_number_of_threads_is_another_device(folder: Path, studio_of: Any, request_for: Any) -> None:
    import torch

    make_video(studio_of(request_for())[0], request_for())
    blind(folder)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(threads + 1)
        with pytest.raises(ModelNotFound):
            studio_of(request_for())
    finally:
        torch.set_num_threads(threads)


def test_half_a_pair_is_not_encoded_again(studio_of: Any, request_for: Any) -> None:
    make_video(studio_of(request_for())[0], request_for())
    request = request_for(prompt="a blue square")
    studio, prepared = studio_of(request)
    make_video(studio, request)
    assert studio.parts.text_encoder is not None
    assert (prepared.counts.hits, prepared.counts.misses) == (1, 1)


def test_a_damaged_text_is_encoded_again(
    tmp_path: Path, studio_of: Any, studio_for: Any, request_for: Any
) -> None:
    request = request_for()
    make_video(studio_of(request)[0], request)
    for file in (tmp_path / "prepared").iterdir():
        file.chmod(0o600)
        file.write_bytes(file.read_bytes()[:-1] + b"\x7f")
    studio, prepared = studio_of(request)
    assert np.array_equal(make_video(studio, request), make_video(studio_for("t2v", request), request))
    assert (prepared.counts.hits, prepared.counts.misses) == (0, 2)


@pytest.mark.parametrize(
    "kept", [{"max_bytes": 0}, {"digests": {}}, {"digests": {"text_encoder/model.safetensors": "sha256-2"}}]
)
def test_where_nothing_is_kept_videos_are_made(
    kept: dict[str, Any], tmp_path: Path, studio_of: Any, request_for: Any
) -> None:
    make_video(studio_of(request_for(), **kept)[0], request_for())
    assert not (tmp_path / "prepared").exists()


def test_no_prompt_is_stored_or_told(
    tmp_path: Path, studio_of: Any, request_for: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    request = request_for(prompt="a red circle of secrets")
    make_video(studio_of(request)[0], request)
    make_video(studio_of(request)[0], request)
    stored = [file for file in (tmp_path / "prepared").iterdir() if file.is_file()]
    assert stored
    assert not [file for file in stored if b"secret" in file.name.encode() + file.read_bytes()]
    assert "secret" not in caplog.text
