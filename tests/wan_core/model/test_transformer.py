"""What holds for the transformer whatever its weights: no other implementation is needed to see it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from tests.wan_core.model.variants import (
    SMALL,
    VARIANTS,
    build_ours,
    draw_inputs,
    inputs_of,
    relative_l2,
    run_ours,
)
from wan_core.kernels.ops import TORCH, rms_norm
from wan_core.model.transformer import (
    LayerNorm,
    RMSNorm,
    WanTransformer,
    embed_timestep,
    patchify,
    unpatchify,
)

PATCHES = st.tuples(st.integers(1, 2), st.integers(1, 3), st.integers(1, 3))
TOKENS = st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3))


@given(PATCHES, TOKENS, st.integers(1, 2), st.integers(1, 5))
def test_patches_put_together_again_are_the_latents(
    patch: tuple[int, int, int], tokens: tuple[int, int, int], batch: int, channels: int
) -> None:
    size = tuple(p * n for p, n in zip(patch, tokens, strict=True))
    latents = torch.randn(batch, channels, *size)
    patches = patchify(latents, patch)  # channels come first in a patch, in the head's patches last
    assert patches.shape == (
        batch,
        tokens[0] * tokens[1] * tokens[2],
        channels * patch[0] * patch[1] * patch[2],
    )
    turned = patches.unflatten(-1, (channels, -1)).transpose(-1, -2).flatten(2)
    assert torch.equal(unpatchify(turned, latents.shape[2:], patch), latents)


def test_a_patch_is_what_a_convolution_of_its_size_sees() -> None:
    latents, weight = torch.randn(2, 3, 4, 6, 8), torch.randn(5, 3, 2, 2, 4)
    expected = F.conv3d(latents, weight, stride=(2, 2, 4)).flatten(2).transpose(1, 2)
    found = patchify(latents, (2, 2, 4)) @ weight.flatten(1).T
    torch.testing.assert_close(found, expected)


@given(st.integers(1, 4), st.integers(0, 10**6))
@settings(max_examples=20)
def test_a_sample_does_not_see_the_others_of_its_batch(batch: int, seed: int) -> None:
    model = build_ours(SMALL)
    inputs = draw_inputs(SMALL, batch=batch, seed=seed)
    with torch.no_grad():
        together = run_ours(model, inputs)
        for i in range(batch):
            alone = replace(
                inputs,
                latents=inputs.latents[i : i + 1],
                timestep=inputs.timestep[i : i + 1],
                states=inputs.states[i : i + 1],
            )
            assert relative_l2(run_ours(model, alone)[0], together[i]) <= 1e-5


def test_frames_that_share_a_timestep_are_as_if_it_were_given_once() -> None:
    model, inputs = build_ours(SMALL), draw_inputs(SMALL)
    each = replace(inputs, timestep=inputs.timestep.repeat(1, 4))
    with torch.no_grad():
        assert relative_l2(run_ours(model, each), run_ours(model, inputs)) <= 1e-6


def test_rows_of_zeros_behind_a_prompt_are_attended_to() -> None:
    """Cutting them would change the function: diffusers and Wan pad text states with zeros to 512."""
    model, inputs = build_ours(SMALL), draw_inputs(SMALL)
    padded = replace(inputs, states=F.pad(inputs.states, (0, 0, 0, 12)))
    with torch.no_grad():
        assert relative_l2(run_ours(model, padded), run_ours(model, inputs)) > 1e-3


@pytest.mark.parametrize("name", VARIANTS)
def test_gradients_reach_every_parameter(name: str) -> None:
    model = build_ours(VARIANTS[name])
    run_ours(model, inputs_of(name)).square().mean().backward()
    without = [
        key
        for key, parameter in model.named_parameters()
        if parameter.grad is None or not parameter.grad.any()
    ]
    assert without == []


def test_gradients_reach_latents_and_text() -> None:
    inputs = draw_inputs(SMALL)
    inputs.latents.requires_grad_()
    inputs.states.requires_grad_()
    run_ours(build_ours(SMALL), inputs).square().mean().backward()
    assert inputs.latents.grad.abs().min() > 0
    assert inputs.states.grad.any(-1).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_a_layer_norm_leaves_mean_0_and_variance_1(dtype: torch.dtype) -> None:
    x = (5 + 3 * torch.randn(2, 7, 256)).to(dtype)
    found = LayerNorm(256, 1e-6)(x)
    assert found.dtype is dtype
    accuracy = torch.finfo(dtype).eps * 4
    assert found.float().mean(-1).abs().max() <= accuracy
    assert (found.float().var(-1, correction=0) - 1).abs().max() <= accuracy


def test_a_modulated_norm_has_its_shift_as_mean_and_its_scale_as_deviation() -> None:
    x, scale, shift = 2 + torch.randn(2, 6, 256), torch.randn(2, 3, 1), torch.randn(2, 3, 1)
    found = TORCH.modulated_norm(x, scale.expand(2, 3, 256), shift.expand(2, 3, 256), 1e-6).unflatten(
        1, (3, 2)
    )
    torch.testing.assert_close(found.mean(-1), shift.expand(2, 3, 2))
    torch.testing.assert_close(found.std(-1, correction=0), (1 + scale).abs().expand(2, 3, 2))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_an_rms_norm_leaves_a_mean_square_of_1(dtype: torch.dtype) -> None:
    found = RMSNorm(256, 1e-6)((5 + 3 * torch.randn(2, 7, 256)).to(dtype))
    assert found.dtype is dtype
    assert (found.float().square().mean(-1) - 1).abs().max() <= torch.finfo(dtype).eps * 4


def test_an_rms_norm_is_the_formula() -> None:
    x, weight = torch.randn(3, 64, dtype=torch.float64), torch.randn(64, dtype=torch.float64)
    expected = x / (x.square().mean(-1, keepdim=True) + 1e-2).sqrt() * weight
    torch.testing.assert_close(rms_norm(x, weight, 1e-2), expected)


def test_a_timestep_is_cosines_then_sines_from_frequency_1_to_almost_1_in_10000() -> None:
    found = embed_timestep(torch.tensor([[0.0, 250.0]]), 8)
    angles = 250 * 10_000 ** (-torch.arange(4) / 4)
    assert torch.equal(found[0, 0], torch.tensor([1.0] * 4 + [0.0] * 4))
    torch.testing.assert_close(found[0, 1], torch.cat((angles.cos(), angles.sin())), atol=3e-5, rtol=0)


def test_it_is_built_without_memory_where_it_is_told() -> None:
    with torch.device("meta"):
        model = WanTransformer(VARIANTS["t2v-A14B"])
    assert {tensor.device.type for tensor in model.state_dict().values()} == {"meta"}
    assert list(model.buffers()) == []
