"""The Triton operations against their references, where Triton can run: `test_triton_ops` calls this in
Triton's interpreter, which a process must choose before Triton is imported. On a machine with a GPU:
`python -m pytest tests/wan_core/kernels/check_triton_ops.py`.

A bfloat16 result may be at most 1.05 times as far from float32 arithmetic as that of torch's operation is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wan_core.kernels.ops import TORCH
from wan_core.kernels.triton_ops import find_ops
from wan_core.model.compiled import compile_blocks
from wan_core.model.config import TransformerConfig
from wan_core.model.rope import build_rope
from wan_core.model.transformer import WanTransformer

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
TRITON = find_ops("triton", DEVICE)
EPS = 1e-6
MARGIN = 1.05

sizes = st.fixed_dictionaries(
    {
        "samples": st.integers(1, 2),
        "groups": st.integers(1, 3),
        "tokens_each": st.integers(1, 3),
        "heads": st.sampled_from([1, 2, 3, 12]),
        "head_dim": st.sampled_from([2, 12, 64, 128]),
        "dtype": st.sampled_from([torch.float32, torch.bfloat16, torch.float16]),
        "seed": st.integers(0, 1000),
    }
)
many = settings(max_examples=15, deadline=None)


@pytest.fixture(autouse=True, scope="module")
def nearest_rounding() -> Iterator[None]:
    """Triton's interpreter cuts bits off where a GPU rounds to the nearest bfloat16: let it round, too."""
    if DEVICE.type != "cpu":
        yield
        return
    from triton import language as tl
    from triton.runtime.interpreter import InterpreterBuilder, TensorHandle

    def create_fp_trunc(self: InterpreterBuilder, source: TensorHandle, kind: tl.dtype) -> TensorHandle:
        if kind.scalar != tl.bfloat16:
            return self.cast_impl(source, kind)
        rounded = torch.from_numpy(np.ascontiguousarray(source.data)).bfloat16()
        return TensorHandle(rounded.view(torch.int16).numpy().view(np.uint16), kind.scalar)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(InterpreterBuilder, "create_fp_trunc", create_fp_trunc)
        yield


class Drawn:
    """Random inputs of one size. Modulation is float32 and lies as in the model: views of [B, N, 6, D]."""

    def __init__(self, samples, groups, tokens_each, heads, head_dim, dtype, seed) -> None:  # type: ignore[no-untyped-def]
        rng = torch.Generator().manual_seed(seed)
        tokens, dim = groups * tokens_each, heads * head_dim

        def normal(*size: int) -> torch.Tensor:
            return torch.randn(size, generator=rng).to(DEVICE)

        self.heads, self.dtype = heads, dtype
        self.x, self.y, self.x_f = (normal(samples, tokens, dim).to(dtype) for _ in range(3))
        self.qkv = normal(samples, tokens, 3 * dim).to(dtype)
        self.scale, self.shift, self.gate = normal(samples, groups, 6, dim).unbind(2)[1:4]
        self.weight_q, self.weight_k = normal(dim), normal(dim)
        angle = normal(tokens, head_dim // 2)
        self.cos, self.sin = angle.cos(), angle.sin()


def error(found: torch.Tensor, exact: torch.Tensor) -> float:
    return ((found.double() - exact.double()).norm() / exact.double().norm().clamp_min(1e-30)).item()


def check(found: torch.Tensor, torchs: torch.Tensor, exact: torch.Tensor) -> None:
    assert (found.dtype, found.shape) == (torchs.dtype, exact.shape)
    bound = 5e-7 if found.dtype == torch.float32 else MARGIN * error(torchs, exact)
    assert error(found, exact) <= bound


@many
@given(size=sizes)
def test_modulated_norm(size: dict) -> None:  # type: ignore[type-arg]
    d = Drawn(**size)
    args = d.scale, d.shift, EPS
    before = d.x.clone()
    check(
        TRITON.modulated_norm(d.x, *args),
        TORCH.modulated_norm(d.x, *args),
        TORCH.modulated_norm(d.x.float(), *args),
    )
    assert torch.equal(d.x, before)


@many
@given(size=sizes)
def test_gated_residual_in_place(size: dict) -> None:  # type: ignore[type-arg]
    d = Drawn(**size)
    exact = TORCH.gated_residual(d.x.float(), d.y.float(), d.gate)
    torchs = TORCH.gated_residual(d.x, d.y, d.gate)
    found = TRITON.gated_residual(d.x, d.y, d.gate)
    check(found, torchs, exact)
    assert found.data_ptr() == d.x.data_ptr()


@many
@given(size=sizes)
def test_qk_norm_rope_in_place(size: dict) -> None:  # type: ignore[type-arg]
    d = Drawn(**size)
    args = d.weight_q, d.weight_k, d.cos, d.sin, d.heads, EPS
    exact = TORCH.qk_norm_rope(d.qkv.float(), *args)
    torchs = [x.clone() for x in TORCH.qk_norm_rope(d.qkv, *args)]
    found = TRITON.qk_norm_rope(d.qkv, *args)
    for one in zip(found, torchs, exact, strict=True):
        check(*one)
    assert torch.equal(found[2], torchs[2])
    assert all(x.untyped_storage().data_ptr() == d.qkv.untyped_storage().data_ptr() for x in found)


@many
@given(size=sizes)
def test_rms_norm_also_of_a_half_of_a_projection(size: dict) -> None:  # type: ignore[type-arg]
    d = Drawn(**size)
    half = d.qkv.chunk(3, dim=-1)[1]
    before = half.clone()
    check(
        TRITON.rms_norm(half, d.weight_k, EPS),
        TORCH.rms_norm(half, d.weight_k, EPS),
        TORCH.rms_norm(half.float(), d.weight_k, EPS),
    )
    assert torch.equal(half, before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_gelu_is_torchs_bit_for_bit_and_in_place(dtype: torch.dtype) -> None:
    x = torch.randn(2, 5, 64, device=DEVICE).to(dtype)
    expected = TORCH.gelu(x)
    found = TRITON.gelu(x)
    assert torch.equal(found, expected)
    assert found.data_ptr() == x.data_ptr()


@pytest.mark.parametrize("dim", [1536, 3072, 5120])
def test_the_widths_of_wan(dim: int) -> None:
    d = Drawn(
        samples=1, groups=1, tokens_each=2, heads=dim // 128, head_dim=128, dtype=torch.bfloat16, seed=dim
    )
    args = d.weight_q, d.weight_k, d.cos, d.sin, d.heads, EPS
    exact = TORCH.qk_norm_rope(d.qkv.float(), *args)
    torchs = [x.clone() for x in TORCH.qk_norm_rope(d.qkv, *args)]
    for one in zip(TRITON.qk_norm_rope(d.qkv, *args), torchs, exact, strict=True):
        check(*one)
    args = d.scale, d.shift, EPS
    check(
        TRITON.modulated_norm(d.x, *args),
        TORCH.modulated_norm(d.x, *args),
        TORCH.modulated_norm(d.x.float(), *args),
    )


@pytest.mark.parametrize("far", [1e4, 1e-4, 0.0], ids=["large", "small", "zero"])
def test_norms_of_extreme_tokens_are_torchs(far: float) -> None:
    d = Drawn(samples=1, groups=1, tokens_each=2, heads=2, head_dim=64, dtype=torch.float32, seed=0)
    x = d.x * far
    args = d.scale, d.shift, EPS
    torch.testing.assert_close(
        TRITON.modulated_norm(x, *args), TORCH.modulated_norm(x, *args), rtol=1e-5, atol=1e-5
    )
    torch.testing.assert_close(
        TRITON.rms_norm(x, d.weight_q, EPS), TORCH.rms_norm(x, d.weight_q, EPS), rtol=1e-5, atol=1e-6
    )


def test_groups_that_do_not_divide_the_tokens_are_refused() -> None:
    x, scale = torch.zeros(1, 5, 4, device=DEVICE), torch.zeros(1, 2, 4, device=DEVICE)
    with pytest.raises(ValueError, match="5 tokens are not 2 groups of the same size"):
        TRITON.modulated_norm(x, scale, scale, EPS)


def test_what_cannot_be_written_in_place_is_refused() -> None:
    x, gate = torch.zeros(1, 4, 5, device=DEVICE).mT, torch.zeros(1, 1, 4, device=DEVICE)
    with pytest.raises(ValueError, match=r"\[1, 5, 4\] is written in place but lies by strides \[20, 1, 5\]"):
        TRITON.gated_residual(x, x, gate)


IN_PLACE = {
    "gated_residual": lambda d, _: TRITON.gated_residual(d.x, d.y, d.gate),
    "qk_norm_rope": lambda d, args: TRITON.qk_norm_rope(d.qkv, *args),
}


@pytest.mark.parametrize("name", IN_PLACE)
@pytest.mark.parametrize("wanted", ["tokens", "weights"])
def test_what_is_written_in_place_refuses_to_lose_a_gradient(name: str, wanted: str) -> None:
    d = Drawn(samples=1, groups=1, tokens_each=2, heads=2, head_dim=64, dtype=torch.float32, seed=0)
    for tensor in (d.x, d.qkv) if wanted == "tokens" else (d.gate, d.weight_k):
        tensor.requires_grad_()
    args = d.weight_q, d.weight_k, d.cos, d.sin, d.heads, EPS
    before = d.x.clone(), d.qkv.clone()
    with pytest.raises(RuntimeError, match=r"no gradient: compute within torch\.no_grad\(\), or with"):
        IN_PLACE[name](d, args)
    assert torch.equal(before[0], d.x)
    assert torch.equal(before[1], d.qkv)
    with torch.no_grad():
        IN_PLACE[name](d, args)


CONFIG = TransformerConfig(
    dim=128, ffn_dim=256, heads=2, layers=2, in_channels=4, out_channels=4, text_dim=16
)


def as_one_graph(model: WanTransformer) -> WanTransformer:
    model.forward = torch.compile(model.forward, fullgraph=True, backend="aot_eager")
    return model


WAYS = {
    "eager": lambda model: model,
    "one graph": as_one_graph,
    "a graph a block": lambda model: compile_blocks(model, backend="aot_eager"),
}


@pytest.mark.parametrize("build", WAYS.values(), ids=WAYS)
def test_a_transformer_of_them_is_the_same_function(
    build: Callable[[WanTransformer], WanTransformer],
) -> None:
    torch.manual_seed(0)
    plain = WanTransformer(CONFIG).to(DEVICE).eval()
    fused = WanTransformer(CONFIG, TRITON).to(DEVICE).eval()
    fused.load_state_dict(plain.state_dict())
    latents = torch.randn(2, 4, 2, 4, 6, device=DEVICE)
    timestep = torch.tensor([[0.0, 900.0], [0.0, 120.0]], device=DEVICE)
    text = torch.randn(2, 7, 16, device=DEVICE)
    rope = build_rope((2, 2, 3), 64, DEVICE)
    with torch.no_grad():
        expected = plain(latents, timestep, plain.prepare_text(text), rope)
        found = build(fused)(latents, timestep, fused.prepare_text(text), rope)
    assert error(found, expected) <= 1e-6
