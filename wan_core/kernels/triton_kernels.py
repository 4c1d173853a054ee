"""The Triton kernels: one program a token, all of its channels at once.

Tokens are rows of D channels; BLOCK is the power of two that holds D. Modulation is [B, N, D] by strides:
each of N groups of `group_tokens` has its own. Arithmetic is in float32 whatever the tokens are; each result
is rounded once. Rows are counted in 64 bits: a batch of long videos has more than 2^31 values. `triton_ops`
says what is done where Triton is missing. Not measured on a GPU.
"""

import triton
import triton.language as tl


@triton.jit
def modulated_norm_kernel(
    x, scale, shift, out, tokens, group_tokens, D, eps,
    scale_b, scale_n, shift_b, shift_n, BLOCK: tl.constexpr,
):  # fmt: skip
    """out = (x - mean) / sqrt(variance + eps) * (1 + scale) + shift."""
    row = tl.program_id(0).to(tl.int64)
    sample, group = row // tokens, row % tokens // group_tokens
    channel = tl.arange(0, BLOCK)
    inside = channel < D

    value = tl.load(x + row * D + channel, inside, 0.0).to(tl.float32)
    centred = tl.where(inside, value - tl.sum(value) / D, 0.0)
    normed = centred * tl.rsqrt(tl.sum(centred * centred) / D + eps)
    factor = 1 + tl.load(scale + sample * scale_b + group * scale_n + channel, inside, 0.0)
    result = normed * factor + tl.load(shift + sample * shift_b + group * shift_n + channel, inside, 0.0)
    tl.store(out + row * D + channel, result.to(out.dtype.element_ty), inside)


@triton.jit
def gated_residual_kernel(x, y, gate, tokens, group_tokens, D, gate_b, gate_n, BLOCK: tl.constexpr):
    """x = x + y * gate, in place."""
    row = tl.program_id(0).to(tl.int64)
    sample, group = row // tokens, row % tokens // group_tokens
    channel = tl.arange(0, BLOCK)
    inside = channel < D

    value = tl.load(x + row * D + channel, inside, 0.0).to(tl.float32)
    update = tl.load(y + row * D + channel, inside, 0.0).to(tl.float32)
    result = value + update * tl.load(gate + sample * gate_b + group * gate_n + channel, inside, 0.0)
    tl.store(x + row * D + channel, result.to(x.dtype.element_ty), inside)


@triton.jit
def rms_norm_kernel(x, weight, out, D, eps, BLOCK: tl.constexpr):
    """out = x / sqrt(mean(x^2) + eps) * weight."""
    row = tl.program_id(0).to(tl.int64)
    channel = tl.arange(0, BLOCK)
    inside = channel < D
    value = tl.load(x + row * D + channel, inside, 0.0).to(tl.float32)
    scale = tl.rsqrt(tl.sum(value * value) / D + eps)
    result = value * scale * tl.load(weight + channel, inside, 0.0)
    tl.store(out + row * D + channel, result.to(out.dtype.element_ty), inside)


@triton.jit
def qk_norm_rope_kernel(qkv, weight_q, weight_k, cos, sin, tokens, D, pairs, eps, BLOCK: tl.constexpr):
    """q and k of a token: RMSNorm over all channels, then rotation; in place.

    A row of qkv is q, k and v, D channels each. Tables are [tokens, pairs]; channels 2 j and 2 j + 1 turn.
    """
    row = tl.program_id(0).to(tl.int64)
    pair = tl.arange(0, BLOCK // 2)
    angle = row % tokens * pairs + pair % pairs
    cosine = tl.load(cos + angle, pair < D // 2, 0.0)
    sine = tl.load(sin + angle, pair < D // 2, 0.0)
    norm_and_turn(qkv + row * 3 * D, weight_q, cosine, sine, D, eps, BLOCK)
    norm_and_turn(qkv + row * 3 * D + D, weight_k, cosine, sine, D, eps, BLOCK)


@triton.jit
def norm_and_turn(start, weight, cosine, sine, D, eps, BLOCK: tl.constexpr):
    """D channels from `start` on. An angle belongs to each pair of them."""
    channel = tl.arange(0, BLOCK)
    inside = channel < D
    value = tl.load(start + channel, inside, 0.0).to(tl.float32)
    scale = tl.rsqrt(tl.sum(value * value) / D + eps)
    normed = value * scale * tl.load(weight + channel, inside, 0.0)
    even, odd = tl.split(tl.reshape(normed, (BLOCK // 2, 2)))
    turned = tl.interleave(even * cosine - odd * sine, even * sine + odd * cosine)
    tl.store(start + channel, turned.to(start.dtype.element_ty), inside)
