"""How many floating-point operations a request takes, by what computes them. A multiply-add counts as two.

Not counted: norms, activations, rotations, softmax. They are bound by memory, and what they take is in the
efficiency of the linear layers beside them.
"""

from __future__ import annotations

from dataclasses import dataclass

from wan_core.catalog.architecture import ModelCard, Transformer
from wan_core.plan.request import Request
from wan_core.plan.shapes import count_tokens


@dataclass(frozen=True)
class Operations:
    """Of one forward: those of linear layers, and those of attention."""

    linear: float
    attention: float

    @property
    def total(self) -> float:
        return self.linear + self.attention


def count_operations(model: Transformer, tokens: int) -> Operations:
    """All blocks: projections, feed-forward, what the text is projected by; attention to itself and to it."""
    d, text = model.dim, model.text_len
    linear = 12 * tokens * d * d + 4 * text * d * d + 4 * tokens * d * model.ffn_dim
    attention = 4 * tokens * tokens * d + 4 * tokens * text * d
    return Operations(float(model.layers * linear), float(model.layers * attention))


def step_operations(card: ModelCard, request: Request) -> Operations:
    """Of one step: two forwards where either scale guides."""
    one, times = count_operations(card.transformer, count_tokens(card, request)), request.passes
    return Operations(times * one.linear, times * one.attention)


def text_flops(card: ModelCard) -> float:
    """Operations of encoding prompt and negative prompt, padded; an embedding table computes nothing."""
    encoder = card.text_encoder
    weights = encoder.parameters - encoder.vocabulary * encoder.dim
    return 2.0 * 2 * weights * card.transformer.text_len
