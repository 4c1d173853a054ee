"""Whatever the sizes and the variant, names go from one scheme to any other and back without losing a bit."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.wan_core.weights.models import draw, same_bytes, shapes_in
from wan_core.model.config import TransformerConfig
from wan_core.model.transformer import WanTransformer
from wan_core.weights.schemes import Scheme, detect_scheme
from wan_core.weights.transformer import from_ours, to_ours
from wan_core.weights.transformer_names import known_names, shapes_of

CONFIGS = st.builds(
    lambda heads, pairs, **sizes: TransformerConfig(dim=heads * pairs * 2, heads=heads, **sizes),
    heads=st.integers(1, 3),
    pairs=st.integers(1, 3),
    ffn_dim=st.integers(1, 9),
    layers=st.integers(1, 3),
    in_channels=st.integers(1, 5),
    out_channels=st.integers(1, 5),
    text_dim=st.integers(1, 5),
    freq_dim=st.sampled_from([2, 4]),
    patch=st.tuples(*[st.integers(1, 2)] * 3),
    qk_norm=st.booleans(),
    cross_attn_norm=st.booleans(),
)
DTYPES = st.sampled_from([torch.float32, torch.bfloat16, torch.float16])


@settings(max_examples=20, deadline=None)
@given(CONFIGS, DTYPES, st.sampled_from(Scheme), st.sampled_from(Scheme))
def test_a_state_dict_survives_two_schemes(
    config: TransformerConfig, dtype: torch.dtype, one: Scheme, other: Scheme
) -> None:
    state = draw(shapes_of(config, one), dtype)
    there = from_ours(to_ours(state, config, one), config, other)
    back = from_ours(to_ours(there, config, other), config, one)
    assert same_bytes(back, state)


@settings(max_examples=20, deadline=None)
@given(CONFIGS, st.sampled_from(Scheme))
def test_ours_are_the_tensors_of_the_model(config: TransformerConfig, scheme: Scheme) -> None:
    with torch.device("meta"):
        model = WanTransformer(config)
    ours = to_ours(draw(shapes_of(config, scheme)), config, scheme)
    assert shapes_in(ours) == shapes_in(model.state_dict())


@settings(max_examples=20, deadline=None)
@given(CONFIGS, st.sampled_from(Scheme))
def test_names_tell_their_scheme(config: TransformerConfig, scheme: Scheme) -> None:
    assert detect_scheme(shapes_of(config, scheme), known_names(config.layers), "model") is scheme
