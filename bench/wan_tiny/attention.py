"""Attention for training only: plain matrix products, and a bias on the text rows.

At 80 tokens the CPU's fused attention is slow backwards; two matrix products and a softmax take about half
the time. The bias makes one zero row count as many (text.py). Inference uses diffusers' own processor.
"""

import threading

import torch
from diffusers import WanTransformer3DModel
from torch import Tensor


class TextBias(threading.local):
    """The current batch's bias [B, L], shared by all cross-attentions; each thread has its own batch."""

    rows: Tensor | None = None


def rotate(heads: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """diffusers' rotary embedding of [B, L, H, D]: neighbours (2i, 2i + 1) turn together."""
    even, odd = heads.unflatten(-1, (-1, 2)).unbind(-1)
    cos, sin = cos[..., 0::2], sin[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2).to(heads.dtype)


class PlainAttention:
    """A processor for `WanAttention`; `text_bias` is None for self-attention."""

    def __init__(self, text_bias: TextBias | None) -> None:
        self.text_bias = text_bias

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, rotary_emb=None):
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query = attn.norm_q(attn.to_q(hidden_states)).unflatten(2, (attn.heads, -1))
        key = attn.norm_k(attn.to_k(context)).unflatten(2, (attn.heads, -1))
        value = attn.to_v(context).unflatten(2, (attn.heads, -1))
        if rotary_emb is not None:
            query, key = rotate(query, *rotary_emb), rotate(key, *rotary_emb)
        query, key, value = (x.transpose(1, 2) for x in (query, key, value))
        logits = (query @ key.transpose(2, 3)) * query.shape[-1] ** -0.5
        if self.text_bias is not None:
            logits = logits + self.text_bias.rows[:, None, None]
        mixed = (logits.softmax(dim=-1).to(value.dtype) @ value).transpose(1, 2).flatten(2, 3)
        return attn.to_out[0](mixed)


def use_plain_attention(transformer: WanTransformer3DModel, text_bias: TextBias) -> None:
    for block in transformer.blocks:
        block.attn1.set_processor(PlainAttention(None))
        block.attn2.set_processor(PlainAttention(text_bias))
