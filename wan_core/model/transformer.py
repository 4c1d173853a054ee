"""WanTransformer: noise, a timestep and a text to a velocity, for t2v, i2v, ti2v of Wan 2.2 and t2v of 2.1.

Shape suffixes: B samples, C latent channels, T x H x W latents, L = T/pt * H/ph * W/pw tokens, N groups of
L / N tokens that share a timestep (1, or one for each latent frame), D channels, S = 512 rows of text.
Weights and matrix products are in the dtype of the model; what `FP32` names stays float32, and so do norms,
modulation and rotary positions. Text keeps its 512 rows: Wan attends to the zeros behind a short prompt too.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wan_core.kernels.attention import Attend, sdpa
from wan_core.kernels.ops import TORCH, Ops, rotate
from wan_core.model.config import TransformerConfig
from wan_core.model.rope import Rope

FP32 = ("time_in", "time_out", "time_projection", "modulation", "norm", "norm_q", "norm_k")
"""Elements of a parameter's path that keep it in float32, whatever the model's dtype."""


def stays_fp32(path: str) -> bool:
    """Whether the parameter of this path stays in float32."""
    return not set(FP32).isdisjoint(path.split("."))


class WanTransformer(nn.Module):
    """The denoiser. `ops` and `attend` say how it computes, never what."""

    def __init__(self, config: TransformerConfig, ops: Ops = TORCH, attend: Attend = sdpa) -> None:
        super().__init__()
        self.config = config
        dim = config.dim
        self.patch_embedding = nn.Linear(config.in_channels * config.patch_size, dim)
        self.time_in = nn.Linear(config.freq_dim, dim)
        self.time_out = nn.Linear(dim, dim)
        self.time_projection = nn.Linear(dim, 6 * dim)
        self.text_in = nn.Linear(config.text_dim, dim)
        self.text_out = nn.Linear(dim, dim)
        self.blocks = nn.ModuleList(self.build_block(ops, attend) for _ in range(config.layers))
        self.head = self.build_head(ops)

    def build_block(self, ops: Ops, attend: Attend) -> Block:
        return Block(self.config, ops, attend)

    def build_head(self, ops: Ops) -> Head:
        return Head(self.config, ops)

    def prepare_text(self, states_BSE: Tensor) -> Tensor:
        """Keys and values of a prompt for all layers: [layers, 2, B, S, heads, head_dim]. Once a prompt."""
        text_BSD = self.text_out(F.gelu(self.text_in(states_BSE), approximate="tanh"))
        return torch.stack([block.cross_attention.project_text(text_BSD) for block in self.blocks])

    def forward(self, latents_BCTHW: Tensor, timestep_BN: Tensor, text: Tensor, rope: Rope) -> Tensor:
        """The velocity [B, C, T, H, W]. `text` as `prepare_text` makes it; timesteps in 0..1000."""
        x_BLD = self.patch_embedding(patchify(latents_BCTHW, self.config.patch))
        time_BND = self.time_out(F.silu(self.time_in(embed_timestep(timestep_BN, self.config.freq_dim))))
        modulation_BN6D = self.time_projection(F.silu(time_BND)).unflatten(-1, (6, -1))
        for block, text_kv in zip(self.blocks, text, strict=True):
            x_BLD = block(x_BLD, modulation_BN6D, text_kv, rope)  # S2V adds its audio after some of these
        return unpatchify(self.head(x_BLD, time_BND), latents_BCTHW.shape[2:], self.config.patch)


class Block(nn.Module):
    """Self-attention, cross-attention to the text, feed-forward. Each of `COMPILED` becomes one graph."""

    COMPILED: ClassVar[tuple[str, ...]] = ("forward",)

    def __init__(self, config: TransformerConfig, ops: Ops, attend: Attend) -> None:
        super().__init__()
        dim, self.eps = config.dim, config.eps
        self.modulated_norm, self.gated_residual, self.gelu = ops.modulated_norm, ops.gated_residual, ops.gelu
        self.modulation = nn.Parameter(torch.randn(6, dim) / dim**0.5)
        self.self_attention = SelfAttention(config, ops, attend)
        self.norm = LayerNorm(dim, config.eps) if config.cross_attn_norm else nn.Identity()
        self.cross_attention = CrossAttention(config, ops, attend)
        self.ffn_in = nn.Linear(dim, config.ffn_dim)
        self.ffn_out = nn.Linear(config.ffn_dim, dim)

    def forward(self, x_BLD: Tensor, modulation_BN6D: Tensor, text_kv: Tensor, rope: Rope) -> Tensor:
        modulation = (self.modulation + modulation_BN6D).unbind(2)
        shift_msa, scale_msa, gate_msa, shift_ffn, scale_ffn, gate_ffn = modulation  # [B, N, D] each

        normed_BLD = self.modulated_norm(x_BLD, scale_msa, shift_msa, self.eps)
        x_BLD = self.gated_residual(x_BLD, self.self_attention(normed_BLD, rope), gate_msa)
        del normed_BLD  # else it would be alive beside the hidden layer

        x_BLD = self.read(x_BLD, text_kv)  # Animate's faces join after this

        return self.feed(x_BLD, shift_ffn, scale_ffn, gate_ffn)

    def read(self, x_BLD: Tensor, text_kv: Tensor) -> Tensor:
        """Cross-attention."""
        return x_BLD + self.cross_attention(self.norm(x_BLD), text_kv)

    def feed(self, x_BLD: Tensor, shift_BND: Tensor, scale_BND: Tensor, gate_BND: Tensor) -> Tensor:
        """Feed-forward."""
        normed_BLD = self.modulated_norm(x_BLD, scale_BND, shift_BND, self.eps)
        return self.gated_residual(x_BLD, self.ffn_out(self.gelu(self.ffn_in(normed_BLD))), gate_BND)


class SelfAttention(nn.Module):
    """Every token to every token, with rotary positions."""

    def __init__(self, config: TransformerConfig, ops: Ops, attend: Attend) -> None:
        super().__init__()
        self.attend = attend
        self.qkv = nn.Linear(config.dim, 3 * config.dim)
        self.split = (NormedHeads if config.qk_norm else PlainHeads)(config, ops)
        self.out = nn.Linear(config.dim, config.dim)

    def forward(self, x_BLD: Tensor, rope: Rope) -> Tensor:
        # One expression: q, k and v are gone before `out`, where they would make the peak of a forward.
        return self.out(self.attend(*self.split(self.qkv(x_BLD), rope)).flatten(2))


class NormedHeads(nn.Module):
    """The fused projection to q, k and v: q and k normed over all channels, then rotated."""

    def __init__(self, config: TransformerConfig, ops: Ops) -> None:
        super().__init__()
        self.heads, self.eps, self.qk_norm_rope = config.heads, config.eps, ops.qk_norm_rope
        self.norm_q = nn.Parameter(torch.ones(config.dim))
        self.norm_k = nn.Parameter(torch.ones(config.dim))

    def forward(self, qkv_BLE: Tensor, rope: Rope) -> tuple[Tensor, Tensor, Tensor]:
        return self.qk_norm_rope(qkv_BLE, self.norm_q, self.norm_k, rope.cos, rope.sin, self.heads, self.eps)


class PlainHeads(nn.Module):
    """The same for models without norms of q and k."""

    def __init__(self, config: TransformerConfig, _: Ops) -> None:
        super().__init__()
        self.heads = config.heads

    def forward(self, qkv_BLE: Tensor, rope: Rope) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = qkv_BLE.chunk(3, dim=-1)
        q, k = (rotate(x.float(), rope.cos, rope.sin, self.heads).to(x.dtype) for x in (q, k))
        return q, k, v.unflatten(-1, (self.heads, -1))


class CrossAttention(nn.Module):
    """Every token to the text. Wan 2.1's image-to-video adds CLIP's tokens here, with keys of their own."""

    def __init__(self, config: TransformerConfig, ops: Ops, attend: Attend) -> None:
        super().__init__()
        self.heads, self.attend = config.heads, attend
        self.q = nn.Linear(config.dim, config.dim)
        self.kv = nn.Linear(config.dim, 2 * config.dim)
        self.norm_q = RMSNorm(config.dim, config.eps, ops) if config.qk_norm else nn.Identity()
        self.norm_k = RMSNorm(config.dim, config.eps, ops) if config.qk_norm else nn.Identity()
        self.out = nn.Linear(config.dim, config.dim)

    def project_text(self, text_BSD: Tensor) -> Tensor:
        """[2, B, S, heads, head_dim]"""
        k_BSD, v_BSD = self.kv(text_BSD).chunk(2, dim=-1)
        return torch.stack((self.norm_k(k_BSD), v_BSD)).unflatten(-1, (self.heads, -1))

    def forward(self, x_BLD: Tensor, text_kv: Tensor) -> Tensor:
        q_BLHd = self.norm_q(self.q(x_BLD)).unflatten(-1, (self.heads, -1))
        return self.out(self.attend(q_BLHd, *text_kv.unbind(0)).flatten(2))


class Head(nn.Module):
    """Tokens to patches of latents."""

    def __init__(self, config: TransformerConfig, ops: Ops) -> None:
        super().__init__()
        self.eps, self.modulated_norm = config.eps, ops.modulated_norm
        self.modulation = nn.Parameter(torch.randn(2, config.dim) / config.dim**0.5)
        self.projection = nn.Linear(config.dim, config.patch_size * config.out_channels)

    def forward(self, x_BLD: Tensor, time_BND: Tensor) -> Tensor:
        shift_BND, scale_BND = (self.modulation + time_BND[:, :, None]).unbind(2)
        return self.projection(self.modulated_norm(x_BLD, scale_BND, shift_BND, self.eps))


class LayerNorm(nn.LayerNorm):
    """With weights, computed in float32, rounded once."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.float()).to(input.dtype)


class RMSNorm(nn.Module):
    """Over all heads together, computed in float32, rounded once."""

    def __init__(self, dim: int, eps: float, ops: Ops = TORCH) -> None:
        super().__init__()
        self.eps, self.rms_norm = eps, ops.rms_norm
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        return self.rms_norm(x, self.weight, self.eps)


def embed_timestep(timestep: Tensor, freq_dim: int) -> Tensor:
    """Cosines, then sines, of t at frequencies from 1 to 1/10000: float32 [..., freq_dim]."""
    half = freq_dim // 2
    exponent = torch.arange(half, dtype=torch.float32, device=timestep.device) / half
    angle = timestep.float()[..., None] * torch.exp(-math.log(10_000) * exponent)
    return torch.cat((angle.cos(), angle.sin()), dim=-1)


def patchify(latents_BCTHW: Tensor, patch: tuple[int, int, int]) -> Tensor:
    """[B, L, C * pt * ph * pw]: tokens by time, then height, then width."""
    pt, ph, pw = patch
    b, c, t, h, w = latents_BCTHW.shape
    grid = latents_BCTHW.view(b, c, t // pt, pt, h // ph, ph, w // pw, pw)
    return grid.permute(0, 2, 4, 6, 1, 3, 5, 7).flatten(4).flatten(1, 3)


def unpatchify(patches_BLP: Tensor, size: torch.Size, patch: tuple[int, int, int]) -> Tensor:
    """[B, L, pt * ph * pw * C] to [B, C, T, H, W]."""
    (t, h, w), (pt, ph, pw) = size, patch
    grid = patches_BLP.view(patches_BLP.shape[0], t // pt, h // ph, w // pw, pt, ph, pw, -1)
    return grid.permute(0, 7, 1, 4, 2, 5, 3, 6).flatten(6, 7).flatten(4, 5).flatten(2, 3)
