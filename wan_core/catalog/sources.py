"""Where the numbers of the models come from: what a `source` of a card or of one of its groups means."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

SOURCES: Mapping[str, str] = MappingProxyType(
    {
        "wan22-config": "github.com/Wan-Video/Wan2.2 at 42bf4cf (2026-03): wan/configs/*.py, SUPPORTED_SIZES",
        "wan22-generate": "github.com/Wan-Video/Wan2.2 at 42bf4cf: generate.py, --size (an area where "
        "there is an image), --infer_frames",
        "wan22-licence": "github.com/Wan-Video/Wan2.2 at 42bf4cf: README, License Agreement; LICENSE.txt",
        "wan21-config": "github.com/Wan-Video/Wan2.1 at 9737cba (2026-03): wan/configs/*.py",
        "wan21-readme": "github.com/Wan-Video/Wan2.1 at 9737cba: README, T2V-1.3B: --sample_shift 8, "
        "--sample_guide_scale 6; generate.py: 50 steps for text-to-video; 720P possible but less stable",
        "wan21-licence": "github.com/Wan-Video/Wan2.1 at 9737cba: README, License Agreement; LICENSE.txt",
        "wan-shared": "wan/configs/shared_config.py of both repositories: text_len 512, 16 fps, 81 frames, "
        "the negative prompt",
        "wan-vae": "the causal VAE: a first frame by itself, then `stride_t` at a time; width and height in "
        "multiples of VAE stride x patch",
        "computed": "counted on the meta device from what tests/wan_core/catalog/test_parameters.py builds: "
        "diffusers 0.42.1, transformers 5.23.0",
        "wan-tiny": "trained in this repository: bench/wan_tiny",
        "own": "the administrator's own catalogue",
        "request": "wan_core.api.spec: what any request may say",
        "bound": "ours, not the model's: twice the trained length; the largest trained or published size",
        "svd-card": "huggingface.co/stabilityai/stable-video-diffusion-img2vid and -img2vid-xt: model cards, "
        "unet/config.json (14 and 25 frames at 1024x576)",
        "svd-licence": "the same model cards: Stability AI Community License (until 2024-07 for "
        "research only)",
        "svd-script": "github.com/Stability-AI/generative-models: scripts/sampling/simple_video_sample.py: "
        "sizes in multiples of 64, 7 fps, 25 steps (30 for XT)",
        "svd-diffusers": "diffusers 0.42.1, StableVideoDiffusionPipeline: guidance from 1 at the first frame "
        "to 3 at the last",
        "animatediff-paper": "Guo et al., AnimateDiff, arXiv 2307.04725: motion modules trained on 16 frames "
        "of 256x256; used at 512x512 at 8 fps",
        "animatediff-diffusers": "diffusers 0.42.1, AnimateDiffPipeline: 16 frames, 50 steps, guidance 7.5, "
        "sizes in multiples of 8; MotionAdapter: at most 32 frames at once; FreeNoise: more of them in "
        "windows of 16, each 4 frames on",
        "animatediff-licence": "github.com/guoyww/AnimateDiff: LICENSE.txt; Stable Diffusion 1.5 beneath it: "
        "CreativeML Open RAIL-M",
    }
)
