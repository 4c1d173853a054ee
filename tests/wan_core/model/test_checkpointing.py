"""Activation checkpointing: the gradients of the plain model, from a block's input alone."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor

from tests.wan_core.model.variants import SMALL, VARIANTS, build_ours, draw_inputs, inputs_of, run_ours
from wan_core.model.checkpointing import checkpoint_blocks
from wan_core.model.transformer import WanTransformer


def gradients(model: WanTransformer) -> dict[str, Tensor]:
    run_ours(model, inputs_of("ti2v-5B")).square().mean().backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}


def test_gradients_equal_those_of_the_plain_model() -> None:
    plain = build_ours(VARIANTS["ti2v-5B"])
    wrapped = checkpoint_blocks(deepcopy(plain))
    expected, found = gradients(plain), gradients(wrapped)
    assert found.keys() == expected.keys()
    for name in expected:
        assert torch.equal(found[name], expected[name]), name


def test_less_is_kept_for_the_backward_pass() -> None:
    def kept(model: WanTransformer) -> int:
        """Bytes of activations that autograd holds after forward."""
        weights, held = {p.data_ptr() for p in model.parameters()}, {}

        def pack(tensor: Tensor) -> Tensor:
            if tensor.data_ptr() not in weights:
                held[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            run_ours(model, draw_inputs(SMALL))
        return sum(held.values())

    plain = build_ours(SMALL)
    assert kept(checkpoint_blocks(deepcopy(plain))) < kept(plain) / 2


def test_the_weights_keep_their_names() -> None:
    plain = build_ours(SMALL)
    assert checkpoint_blocks(deepcopy(plain)).state_dict().keys() == plain.state_dict().keys()
