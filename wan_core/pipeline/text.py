"""A prompt to the states that the transformer attends to: umT5's, and zeros behind its last token.

Cleaned, cut and padded as diffusers' Wan pipelines do. Not covered: several prompts, weights of words.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from wan_core.pipeline.cleaning import clean
from wan_core.pipeline.known_texts import TEXT_LENGTH, Text
from wan_core.pipeline.studio import Studio
from wan_core.plan.request import Request


@dataclass(frozen=True)
class Prompts:
    """Text states [1, 512, E]; `negative` is None without guidance. Tokens as counted before the cut."""

    positive: torch.Tensor
    negative: torch.Tensor | None
    tokens: int
    cut: bool


def encode_text(studio: Studio, request: Request) -> Prompts:
    """Prompt and, where guidance asks for it, negative prompt to text states on the device."""
    positive, *negative = (know_text(studio, text) for text in texts_of(request))
    tokens = positive.tokens
    return Prompts(positive.states, negative[0].states if negative else None, tokens, tokens > TEXT_LENGTH)


def texts_of(request: Request) -> tuple[str, ...]:
    """What is to be encoded, cleaned: the prompt, and the negative one where guidance asks for it."""
    return (clean(request.prompt), *([clean(request.negative_prompt)] if request.guided else []))


def know_text(studio: Studio, text: str) -> Text:
    """The states of a cleaned text on the device: those that were kept, or made now."""

    def encode() -> Text:
        return Text(encode_prompt(studio, text), count_tokens(studio, text))

    if studio.texts is None:
        return encode()
    known = studio.texts.get_or_encode(text, encode, lambda: studio.parts.seconds["text_encoder"])
    return Text(known.states.to(studio.residency.device), known.tokens)


@torch.no_grad()
def encode_prompt(studio: Studio, text: str) -> torch.Tensor:
    """States [1, 512, E] of a cleaned text, in the text encoder's dtype."""
    assert studio.parts.text_encoder is not None, "loaded without, for texts that were known"
    studio.residency.bring("text_encoder")
    tokens = studio.parts.tokenizer(
        text, padding="max_length", max_length=TEXT_LENGTH, truncation=True, return_tensors="pt"
    ).to(studio.residency.device_of("text_encoder"))
    states = studio.parts.text_encoder(tokens.input_ids, tokens.attention_mask).last_hidden_state
    behind = tokens.attention_mask[..., None] == 0
    return states.masked_fill(behind, 0).to(studio.residency.device)


def count_tokens(studio: Studio, text: str) -> int:
    """Of a cleaned text; its end counts too."""
    return len(studio.parts.tokenizer(text).input_ids)
