"""What decoding by tiles loses: wan-tiny's VAE on mosaics of the clips that it was trained on.

    python -m bench.planning.tiling

A mosaic is larger than a tile and has something in every place. Compared are frames by tiles, and frames in
bfloat16, with those decoded whole in float32. It says nothing about the VAEs of Wan 2.1 and 2.2, whose
weights are not at hand: they are wider, and their attention sees a whole frame of cells likewise.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKLWan
from torch import Tensor

from bench.wan_tiny.clips import NUM_FRAMES, SIZE, TRAINED, draw_scene, render
from wan_core.pipeline.tiles import decode_frames, decode_rows, unfold

VAE = Path("runner/wan_runner/tiny/weights/shared/vae")
SIDE = 5  # clips: 320 pixels are two tiles a side
SEEDS = range(3)


def draw_mosaic(seed: int) -> Tensor:
    """[1, 3, F, H, W] in -1..1."""
    rng = np.random.default_rng(seed)
    clips = [render(draw_scene(rng, TRAINED[rng.integers(len(TRAINED))])) for _ in range(SIDE**2)]
    rows = [np.concatenate(clips[row * SIDE : (row + 1) * SIDE], axis=2) for row in range(SIDE)]
    frames = torch.from_numpy(np.concatenate(rows, axis=1))  # [F, H, W, 3] in 0..1
    return frames.permute(3, 0, 1, 2)[None] * 2 - 1


def decode_whole(vae: AutoencoderKLWan, latents: Tensor) -> Tensor:
    """In the VAE's dtype, then float32."""
    frames = decode_frames(vae, latents.to(vae.dtype))
    return torch.cat([unfold(vae, few).float() for few in frames], dim=2)


def psnr(found: Tensor, expected: Tensor) -> float:
    """dB, of pixels over their range of 2."""
    return 10 * math.log10(4 / float((found - expected).square().mean()))


@torch.no_grad()
def main() -> None:
    exact = AutoencoderKLWan.from_pretrained(VAE, torch_dtype=torch.float32)
    half = AutoencoderKLWan.from_pretrained(VAE, torch_dtype=torch.bfloat16)
    side = SIDE * SIZE
    print(f"{NUM_FRAMES} frames of {side}x{side}: PSNR to whole frames in float32, dB; largest error of 255")
    for seed in SEEDS:
        mosaic = draw_mosaic(seed)
        latents = exact.encode(mosaic).latent_dist.mode()
        whole = decode_whole(exact, latents)
        tiled = torch.cat([unfold(exact, row) for row in decode_rows(exact, latents)], dim=3)
        rounded = decode_whole(half, latents)
        worst = 127.5 * float((tiled - whole).abs().max())
        print(
            f"{seed}: by tiles {psnr(tiled, whole):.1f} (largest {worst:.0f}), "
            f"bfloat16 {psnr(rounded, whole):.1f}, the clip itself {psnr(whole, mosaic):.1f}, "
            f"by tiles {psnr(tiled, mosaic):.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
