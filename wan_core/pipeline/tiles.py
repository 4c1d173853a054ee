"""Latents to pixels through diffusers' decoder: one latent frame at a time, whole or by overlapping tiles.

To the bit what its `AutoencoderKLWan.decode` makes (0.42.1), which keeps the video on the device, or all
tiles and the video several times. Here pixels leave the device as they come, and of tiles the host keeps two
rows.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from diffusers import AutoencoderKLWan
from diffusers.models.autoencoders.autoencoder_kl_wan import unpatchify
from torch import Tensor


def wants_tiles(vae: AutoencoderKLWan, latents: Tensor) -> bool:
    """Whether tiling is on, and these are larger than a tile."""
    height, width = (cells * vae.spatial_compression_ratio for cells in latents.shape[-2:])
    return vae.use_tiling and (height > vae.tile_sample_min_height or width > vae.tile_sample_min_width)


def decode_frames(vae: AutoencoderKLWan, latents: Tensor) -> Iterator[Tensor]:
    """The frames that each latent frame makes, where the VAE is; [1, C, f, h, w] as the decoder leaves it."""
    vae.clear_cache()
    for number in range(latents.shape[2]):
        vae._conv_idx = [0]
        frame = vae.post_quant_conv(latents[:, :, number : number + 1])
        yield vae.decoder(frame, feat_cache=vae._feat_map, feat_idx=vae._conv_idx, first_chunk=number == 0)
    vae.clear_cache()


def decode_rows(vae: AutoencoderKLWan, latents: Tensor) -> Iterator[Tensor]:
    """Rows of the video from the top down, by tiles: [1, C, F, h, W] as decoded, on the host."""
    ratio, height, width = vae.spatial_compression_ratio, *latents.shape[-2:]
    down, right = vae.tile_sample_stride_height // ratio, vae.tile_sample_stride_width // ratio
    tall, wide = vae.tile_sample_min_height // ratio, vae.tile_sample_min_width // ratio
    above: list[Tensor] = []
    for top in range(0, height, down):
        tiles = (latents[..., top : top + tall, left : left + wide] for left in range(0, width, right))
        row = [torch.cat([frames.cpu() for frames in decode_frames(vae, tile)], dim=2) for tile in tiles]
        yield join(vae, row, above)
        above = row


def join(vae: AutoencoderKLWan, row: list[Tensor], above: list[Tensor]) -> Tensor:
    """A row of tiles, each blended with that above it and its left neighbour, and cut to what it adds.

    The tiles are changed: the next row is blended with what these have become.
    """
    fold = vae.config.patch_size or 1  # pixels a side that lie in channels
    down, right = vae.tile_sample_stride_height // fold, vae.tile_sample_stride_width // fold
    below, beside = vae.tile_sample_min_height // fold - down, vae.tile_sample_min_width // fold - right
    parts = []
    for number, tile in enumerate(row):
        if above:
            vae.blend_v(above[number], tile, below)
        if number:
            vae.blend_h(row[number - 1], tile, beside)
        parts.append(tile[..., :down, :right])
    return torch.cat(parts, dim=-1)


def unfold(vae: AutoencoderKLWan, decoded: Tensor) -> Tensor:
    """What the decoder leaves to pixels: [1, 3, F, H, W], -1..1."""
    return unpatchify(decoded, vae.config.patch_size or 1).clamp(-1, 1)
