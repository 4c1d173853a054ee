"""The torch references against their formulas in float64, token by token."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wan_core.kernels import ops

EPS = 1e-3
sizes = st.tuples(
    st.integers(1, 2), st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.sampled_from([2, 6, 8])
)
many = settings(max_examples=30)


def normal(seed: int, *size: int) -> torch.Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def groups_of(values_BND: torch.Tensor, tokens_each: int) -> torch.Tensor:
    """[B, L, D]: to each token that of its group."""
    return values_BND.repeat_interleave(tokens_each, dim=1)


@many
@given(size=sizes)
def test_modulated_norm_is_the_formula(size: tuple[int, ...]) -> None:
    samples, groups, each, heads, head_dim = size
    dim = heads * head_dim
    x, scale, shift = (
        normal(1, samples, groups * each, dim),
        normal(2, samples, groups, dim),
        normal(3, samples, groups, dim),
    )
    centred = x - x.mean(-1, keepdim=True)
    normed = centred / (centred.square().mean(-1, keepdim=True) + EPS).sqrt()
    expected = normed * (1 + groups_of(scale, each)) + groups_of(shift, each)
    found = ops.modulated_norm(x.float(), scale.float(), shift.float(), EPS)
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-4)


@many
@given(size=sizes)
def test_gated_residual_is_the_formula(size: tuple[int, ...]) -> None:
    samples, groups, each, heads, head_dim = size
    x, y = normal(1, 2, samples, groups * each, heads * head_dim)
    gate = normal(2, samples, groups, heads * head_dim)
    found = ops.gated_residual(x.float(), y.float(), gate.float())
    torch.testing.assert_close(found.double(), x + y * groups_of(gate, each), rtol=1e-5, atol=1e-5)


@many
@given(size=sizes)
def test_qk_norm_rope_turns_pairs_as_complex_numbers(size: tuple[int, ...]) -> None:
    samples, _, tokens, heads, head_dim = size
    dim = heads * head_dim
    qkv, weights = normal(1, samples, tokens, 3 * dim), normal(2, 2, dim)
    angle = normal(3, tokens, head_dim // 2)
    expected = []
    for x, weight in zip(qkv.chunk(3, dim=-1), weights, strict=False):
        normed = x / (x.square().mean(-1, keepdim=True) + EPS).sqrt() * weight
        pairs = torch.view_as_complex(normed.view(samples, tokens, heads, head_dim // 2, 2).contiguous())
        turned = pairs * torch.polar(torch.ones_like(angle), angle)[:, None]
        expected.append(torch.view_as_real(turned).flatten(-2))
    expected.append(qkv[..., 2 * dim :].view(samples, tokens, heads, head_dim))
    args = (*weights.float(), angle.cos().float(), angle.sin().float(), heads, EPS)
    for found, wanted in zip(ops.qk_norm_rope(qkv.float(), *args), expected, strict=True):
        torch.testing.assert_close(found.double(), wanted, rtol=1e-5, atol=1e-5)


def test_gelu_is_the_tanh_formula() -> None:
    x = torch.linspace(-6, 6, 101, dtype=torch.float64)
    expected = 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    torch.testing.assert_close(ops.gelu(x), expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_a_result_is_float32_arithmetic_rounded_once(dtype: torch.dtype) -> None:
    x, y = normal(1, 2, 2, 6, 24).to(dtype)
    scale, shift = normal(2, 2, 2, 3, 24).float()
    qkv, weight = normal(3, 2, 6, 72).to(dtype), normal(4, 24).float()
    angle = normal(5, 6, 4).float()
    norms = (weight, weight, angle.cos(), angle.sin(), 3, EPS)
    pairs = [
        (ops.modulated_norm(x, scale, shift, EPS), ops.modulated_norm(x.float(), scale, shift, EPS)),
        (ops.gated_residual(x, y, scale), ops.gated_residual(x.float(), y.float(), scale)),
        (ops.rms_norm(x, weight, EPS), ops.rms_norm(x.float(), weight, EPS)),
        *zip(ops.qk_norm_rope(qkv, *norms), ops.qk_norm_rope(qkv.float(), *norms), strict=True),
    ]
    for found, exact in pairs:
        assert torch.equal(found, exact.to(dtype))


def test_every_reference_can_be_differentiated() -> None:
    x, y, scale = (normal(seed, 1, 2, 8).float().requires_grad_() for seed in range(3))
    weight, angle = torch.ones(8, requires_grad=True), normal(4, 2, 2).float()
    out = ops.gated_residual(
        ops.modulated_norm(x, scale[:, :1], scale[:, 1:], EPS), ops.gelu(y), scale[:, :1]
    )
    q, k, v = ops.qk_norm_rope(out.repeat(1, 1, 3), weight, weight, angle.cos(), angle.sin(), 2, EPS)
    (q * k + v).square().sum().backward()
    assert all(tensor.grad is not None and tensor.grad.abs().sum() > 0 for tensor in (x, y, scale, weight))
