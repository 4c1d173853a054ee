"""Activation checkpointing for those who train: less memory, each block computed twice. Not for inference.

Gradients are those of the plain model. It needs ops that can be differentiated, as `ops.TORCH` is.
"""

from __future__ import annotations

from functools import partial

from torch.utils.checkpoint import checkpoint

from wan_core.model.transformer import WanTransformer


def checkpoint_blocks(model: WanTransformer) -> WanTransformer:
    """The same model; of each block only its input is kept for the backward pass, the rest is made again."""
    for block in model.blocks:
        block.forward = partial(checkpoint, block.forward, use_reentrant=False, preserve_rng_state=False)
    return model
