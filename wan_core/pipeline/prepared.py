"""A prompt's keys and values by its tensor, for callers who hand over the text states at every step.

A loop of our own calls `prepare_text` itself and needs none of this.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from wan_core.model.transformer import WanTransformer


class PreparedTexts:
    """Keys and values of the prompts in use. Owns them until the tensor of a prompt is gone.

    A tensor that was written to is prepared anew, and so is every one after weights were; one whose writes
    torch does not count (of inference mode), or for which gradients are wanted, at every call.
    """

    def __init__(self) -> None:
        self._held: WeakTensorKeyDictionary = WeakTensorKeyDictionary()

    def prepare(self, transformer: WanTransformer, states_BSE: Tensor) -> Tensor:
        """`transformer.prepare_text(states_BSE)`, once for a prompt."""
        if torch.is_grad_enabled() or states_BSE.is_inference():
            return transformer.prepare_text(states_BSE)
        state = tuple(map(_state_of, [states_BSE, *text_weights(transformer)]))
        held = self._held.get(states_BSE)
        if held is None or held[0] != state:
            held = self._held[states_BSE] = (state, transformer.prepare_text(states_BSE))
        return held[1]


def text_weights(transformer: WanTransformer) -> Iterable[Tensor]:
    """The weights on which prepared text depends."""
    for layer in (transformer.text_in, transformer.text_out):
        yield from layer.parameters()
    for block in transformer.blocks:
        yield from block.cross_attention.kv.parameters()
        yield from block.cross_attention.norm_k.parameters()


def _state_of(tensor: Tensor) -> tuple[int, int]:
    """Which tensor, and how often it was written to, where torch counts that."""
    return id(tensor), -1 if tensor.is_inference() else tensor._version
