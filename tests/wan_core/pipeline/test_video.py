from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wan_core.errors import InternalError, Interrupted, InvalidInput
from wan_core.plan.request import Request
from wan_core.plan.techniques import Plan

pytestmark = pytest.mark.slow  # imports diffusers


@pytest.fixture
def studio_for(model_folder: Callable[[str], Path]) -> Callable[[str, Request], Any]:
    def build(kind: str, request: Request) -> Any:
        import torch

        from wan_core.pipeline.load import load_parts
        from wan_core.pipeline.placement import Residency
        from wan_core.pipeline.techniques import apply_techniques, choose_dtypes
        from wan_core.pipeline.video import build_studio

        plan = Plan(model="wan-tiny", device="cpu", techniques=("bf16", "resident"))
        parts = load_parts(model_folder(kind), choose_dtypes(plan), lambda _n: "cpu", lambda _d, _t: None)
        residency = Residency(parts.modules(), torch.device("cpu"))
        apply_techniques(plan, residency)
        return build_studio(parts, residency, request)

    return build


def picture(width: int = 32, height: int = 32) -> Any:
    from PIL import Image

    return Image.new("RGB", (width, height), (200, 30, 30))


def run(studio: Any, request: Request, image: Any = None, check: Callable[[], None] = lambda: None) -> Any:
    from wan_core.pipeline.video import decode, denoise, encode_text

    latents = denoise(studio, request, encode_text(studio, request), image, lambda _step: None, check)
    return decode(studio, request, latents, lambda _frame: None, check)


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
    frames = run(studio_for(kind, request), request, picture() if request.image else None)
    assert frames.shape == (request.frames, request.height, request.width, 3)
    assert frames.dtype == np.uint8
    assert frames.std() > 0


def test_it_is_the_video_that_diffusers_makes(
    model_folder: Callable[[str], Path], studio_for: Any, request_for: Any
) -> None:
    import torch
    from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanPipeline, WanTransformer3DModel
    from transformers import T5Tokenizer, UMT5EncoderModel

    request, folder = request_for(steps=4), model_folder("t2v")
    pipe = WanPipeline(
        tokenizer=T5Tokenizer.from_pretrained(folder / "tokenizer"),
        text_encoder=UMT5EncoderModel.from_pretrained(folder / "text_encoder", dtype=torch.float32),
        vae=AutoencoderKLWan.from_pretrained(folder / "vae", dtype=torch.float32),
        transformer=WanTransformer3DModel.from_pretrained(folder / "transformer", dtype=torch.float32),
        transformer_2=WanTransformer3DModel.from_pretrained(folder / "transformer_2", dtype=torch.float32),
        scheduler=UniPCMultistepScheduler.from_pretrained(folder / "scheduler", flow_shift=request.shift),
        boundary_ratio=0.875,
    )
    theirs = pipe(
        prompt=request.prompt,
        negative_prompt=request.negative_prompt,
        height=request.height,
        width=request.width,
        num_frames=request.frames,
        num_inference_steps=request.steps,
        guidance_scale=request.guidance_high,
        guidance_scale_2=request.guidance_low,
        generator=torch.Generator("cpu").manual_seed(request.seed),
    ).frames[0]
    ours = run(studio_for("t2v", request), request)
    assert np.abs(ours.astype(int) - (theirs * 255).round().astype(int)).max() <= 1


def test_the_seed_and_the_prompts_make_the_video(studio_for: Any, request_for: Any) -> None:
    request = request_for()
    studio = studio_for("t2v", request)
    first = run(studio, request)
    assert np.array_equal(run(studio, request), first)
    for change in ({"seed": 8}, {"prompt": "a blue square"}, {"negative_prompt": "blue"}):
        assert not np.array_equal(run(studio, request_for(**change)), first), change


def test_shift_comes_from_the_request(studio_for: Any, request_for: Any) -> None:
    shifts = [studio_for("t2v", request_for(shift=s)).pipe.scheduler.config.flow_shift for s in (3.0, 12.0)]
    assert shifts == [3.0, 12.0]


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
    from wan_core.pipeline.video import encode_text

    request = request_for(prompt="red " * 600)
    prompts = encode_text(studio_for("t2v", request), request)
    assert (prompts.tokens, prompts.cut) == (601, True)
    assert prompts.positive.shape == (1, 512, 16)


@pytest.mark.parametrize("weight", ["transformer.proj_out.bias", "vae.post_quant_conv.bias"])
def test_numbers_that_are_none_never_become_a_video(weight: str, studio_for: Any, request_for: Any) -> None:
    request = request_for()
    studio = studio_for("t2v", request)
    part, _, key = weight.partition(".")
    studio.residency.parts[part].get_parameter(key).data.fill_(float("nan"))
    with pytest.raises(InternalError, match="not numbers"):
        run(studio, request)


@pytest.mark.parametrize("after", [0, 3, 13])
def test_it_stops_between_blocks_and_frames(after: int, studio_for: Any, request_for: Any) -> None:
    request, calls = request_for(), 0

    def check() -> None:
        nonlocal calls
        calls += 1
        if calls > after:
            raise Interrupted("told to stop")

    with pytest.raises(Interrupted):
        run(studio_for("t2v", request), request, check=check)
    assert calls == after + 1
