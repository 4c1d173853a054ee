"""Whole videos: ours, and those of stock diffusers. torch is imported inside, for fast collection."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from wan_core.plan.request import Request


def nothing(*_: Any) -> None:
    pass


def make_latents(
    studio: Any, request: Request, image: Any = None, check: Callable[[], None] = nothing
) -> Any:
    from wan_core.pipeline.video import denoise, encode_text

    return denoise(studio, request, encode_text(studio, request), image, nothing, check)


def make_video(studio: Any, request: Request, image: Any = None, check: Callable[[], None] = nothing) -> Any:
    """Frames, uint8 [F, H, W, 3]."""
    from wan_core.pipeline.video import decode

    return decode(studio, request, make_latents(studio, request, image, check), nothing, check)


def build_stock(folder: Path, request: Request) -> Any:
    """diffusers' own pipeline of the model in `folder`, in float32, with nothing of ours."""
    import json

    import diffusers
    import torch
    from diffusers import AutoencoderKLWan, WanImageToVideoPipeline, WanPipeline, WanTransformer3DModel
    from transformers import T5Tokenizer, UMT5EncoderModel

    index = json.loads((folder / "model_index.json").read_text())
    kind = json.loads((folder / "scheduler" / "scheduler_config.json").read_text())["_class_name"]
    shift = {"shift" if kind.startswith("FlowMatch") else "flow_shift": request.shift}
    experts = [n for n in ("transformer", "transformer_2") if (folder / n).is_dir()]
    pipe = (WanImageToVideoPipeline if request.image else WanPipeline)(
        tokenizer=T5Tokenizer.from_pretrained(folder / "tokenizer"),
        text_encoder=UMT5EncoderModel.from_pretrained(folder / "text_encoder", dtype=torch.float32),
        vae=AutoencoderKLWan.from_pretrained(folder / "vae", torch_dtype=torch.float32),
        scheduler=getattr(diffusers, kind).from_pretrained(folder / "scheduler", **shift),
        boundary_ratio=index.get("boundary_ratio"),
        expand_timesteps=index.get("expand_timesteps", False),
        **{n: WanTransformer3DModel.from_pretrained(folder / n, torch_dtype=torch.float32) for n in experts},
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def make_stock(folder: Path, request: Request, image: Any = None) -> tuple[Any, Any]:
    """Latents [1, C, T, h, w], and frames in 0..1, [F, H, W, 3]."""
    import torch

    pipe = build_stock(folder, request)
    two = pipe.config.boundary_ratio is not None
    arguments = {
        "prompt": request.prompt,
        "negative_prompt": request.negative_prompt,
        "height": request.height,
        "width": request.width,
        "num_frames": request.frames,
        "num_inference_steps": request.steps,
        "guidance_scale": request.guidance_high,
        **({"guidance_scale_2": request.guidance_low} if two else {}),
        **({} if image is None else {"image": image}),
    }
    latents, frames = (
        pipe(**arguments, generator=torch.Generator("cpu").manual_seed(request.seed), output_type=kind).frames
        for kind in ("latent", "np")
    )
    return latents, frames[0]


def psnr(ours: Any, theirs: Any) -> float:
    """dB, over the range of `theirs`."""
    import torch

    ours, theirs = (torch.as_tensor(x).double() for x in (ours, theirs))
    peak = theirs.max() - theirs.min()
    return float(10 * torch.log10(peak**2 / (ours - theirs).square().mean()))
