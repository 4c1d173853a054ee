"""diffusers' transformer for a card of the catalogue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wan_core.catalog.architecture import Transformer

if TYPE_CHECKING:
    from diffusers import WanTransformer3DModel


def build_transformer(shape: Transformer) -> WanTransformer3DModel:
    """Of random weights; within `torch.device("meta")` of none."""
    from diffusers import WanTransformer3DModel

    return WanTransformer3DModel(
        patch_size=shape.patch,
        num_attention_heads=shape.heads,
        attention_head_dim=shape.dim // shape.heads,
        in_channels=shape.in_channels,
        out_channels=shape.out_channels,
        text_dim=shape.text_dim,
        freq_dim=shape.freq_dim,
        ffn_dim=shape.ffn_dim,
        num_layers=shape.layers,
    )
