"""The training set in latent space: clips and their first-frame conditions, encoded once by the finished VAE.

Only trained combinations are drawn, in equal numbers. `mean` and `std` are per channel, over all clips.
"""

import numpy as np
import torch
from diffusers import AutoencoderKLWan
from torch import Tensor

from bench.wan_tiny.clips import TRAINED, draw_scene, render

CLIPS_PER_COMBINATION = 32
BATCH = 16


def draw_clips(seed: int) -> tuple[Tensor, Tensor]:
    """uint8 clips [N, 3, T, H, W] and the index of each one's combination in TRAINED [N]."""
    rng = np.random.default_rng(seed)
    labels = np.tile(np.arange(len(TRAINED)), CLIPS_PER_COMBINATION)
    clips = [(render(draw_scene(rng, TRAINED[label])) * 255.0).round().astype(np.uint8) for label in labels]
    return torch.from_numpy(np.stack(clips)).permute(0, 4, 1, 2, 3), torch.from_numpy(labels)


def first_frame_only(clip: Tensor) -> Tensor:
    """What the image-to-video pipeline encodes as its condition: the first frame, then zeros (mid-grey)."""
    return torch.cat((clip[:, :, :1], torch.zeros_like(clip[:, :, 1:])), dim=2)


@torch.no_grad()
def encode_clips(vae: AutoencoderKLWan, seed: int) -> dict[str, Tensor]:
    """Normalised `latents` and `conditions` [N, 16, 5, 8, 8], `labels` [N], `mean` and `std` [16]."""
    clips, labels = draw_clips(seed)
    vae.eval()
    latents, conditions = [], []
    for start in range(0, len(clips), BATCH):
        batch = clips[start : start + BATCH].float() / 127.5 - 1.0
        with torch.autocast("cpu", torch.bfloat16):
            both = vae.encode(torch.cat((batch, first_frame_only(batch)))).latent_dist.mean.float()
        latents.append(both[: len(batch)])
        conditions.append(both[len(batch) :])
    latents_all = torch.cat(latents)
    mean, std = latents_all.mean(dim=(0, 2, 3, 4)), latents_all.std(dim=(0, 2, 3, 4))
    shift, scale = mean.view(1, -1, 1, 1, 1), std.view(1, -1, 1, 1, 1)
    return {
        "latents": (latents_all - shift) / scale,
        "conditions": (torch.cat(conditions) - shift) / scale,
        "labels": labels,
        "mean": mean,
        "std": std,
    }
