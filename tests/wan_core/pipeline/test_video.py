from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.wan_core.pipeline.films import make_video
from wan_core.errors import InternalError, Interrupted, InvalidInput

pytestmark = pytest.mark.slow  # imports diffusers


def picture(width: int = 32, height: int = 32) -> Any:
    from PIL import Image

    return Image.new("RGB", (width, height), (200, 30, 30))


CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "text to video, two experts": ("t2v", {}),
    "a still": ("t2v", {"frames": 1}),
    "one step": ("t2v", {"steps": 1}),
    "no guidance": ("t2v", {"guidance_high": 1.0, "guidance_low": 1.0}),
    "guidance below the boundary only": ("t2v", {"guidance_high": 1.0, "guidance_low": 3.0}),
    "not square": ("t2v", {"width": 48, "height": 16}),
    "image to video": ("i2v", {"image": "s3://inputs/x.png"}),
    "ti2v from text": ("ti2v", {}),
    "ti2v from an image": ("ti2v", {"image": "s3://inputs/x.png"}),
}


@pytest.mark.parametrize("name", CASES)
def test_frames_are_as_many_and_as_large_as_asked(name: str, studio_for: Any, request_for: Any) -> None:
    kind, fields = CASES[name]
    request = request_for(**fields)
    frames = make_video(studio_for(kind, request), request, picture() if request.image else None)
    assert frames.shape == (request.frames, request.height, request.width, 3)
    assert frames.dtype == np.uint8
    assert frames.std() > 0


def test_what_is_done_with_the_weights_is_told_after_their_bytes(model_folder: Any, request_for: Any) -> None:
    from wan_core.pipeline.video import load
    from wan_core.plan.techniques import Plan

    plan = Plan.model_construct(model="wan-tiny", device="cpu", techniques=("bf16", "resident"))
    told: list[tuple[str, float]] = []
    load(
        model_folder("t2v"),
        plan,
        request_for(),
        lambda done, total: told.append(("bytes", done / total)),
        optimizing=lambda done, total: told.append(("optimizing", done / total)),
    )
    assert told[0][0] == "bytes"
    assert told[-3:] == [("bytes", 1.0), ("optimizing", 0.0), ("optimizing", 1.0)]


def test_the_seed_and_the_prompts_make_the_video(studio_for: Any, request_for: Any) -> None:
    request = request_for()
    studio = studio_for("t2v", request)
    first = make_video(studio, request)
    assert np.array_equal(make_video(studio, request), first)
    for change in ({"seed": 8}, {"prompt": "a blue square"}, {"negative_prompt": "blue"}):
        assert not np.array_equal(make_video(studio, request_for(**change)), first), change


@pytest.mark.parametrize(
    ("kind", "image", "message"),
    [("i2v", None, "needs an image"), ("t2v", "s3://inputs/x.png", "from text alone")],
    ids=["no image for i2v", "an image for t2v"],
)
def test_a_model_of_another_kind_is_refused(
    kind: str, image: str | None, message: str, studio_for: Any, request_for: Any
) -> None:
    with pytest.raises(InvalidInput, match=message):
        studio_for(kind, request_for(image=image))


def test_a_prompt_that_is_too_long_is_noticed(studio_for: Any, request_for: Any) -> None:
    from wan_core.pipeline.text import encode_text

    request = request_for(prompt="red " * 600)
    prompts = encode_text(studio_for("t2v", request), request)
    assert (prompts.tokens, prompts.cut) == (601, True)
    assert prompts.positive.shape == (1, 512, 16)


@pytest.mark.parametrize("weight", ["transformer.head.projection.bias", "vae.post_quant_conv.bias"])
def test_numbers_that_are_none_never_become_a_video(weight: str, studio_for: Any, request_for: Any) -> None:
    request = request_for()
    studio = studio_for("t2v", request)
    part, _, key = weight.partition(".")
    studio.residency.parts[part].get_parameter(key).data.fill_(float("nan"))
    with pytest.raises(InternalError, match="not numbers"):
        make_video(studio, request)


@pytest.mark.parametrize("after", [0, 3, 13])
def test_it_stops_between_blocks_and_frames(after: int, studio_for: Any, request_for: Any) -> None:
    request, calls = request_for(), 0

    def check() -> None:
        nonlocal calls
        calls += 1
        if calls > after:
            raise Interrupted("told to stop")

    with pytest.raises(Interrupted):
        make_video(studio_for("t2v", request), request, check=check)
    assert calls == after + 1
