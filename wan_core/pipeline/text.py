"""A prompt to the states that the transformer attends to: umT5's, and zeros behind its last token.

Cleaned, cut and padded as diffusers' Wan pipelines do. Not covered: several prompts, weights of words.
"""

from __future__ import annotations

import html
from dataclasses import dataclass

import ftfy
import torch

from wan_core.pipeline.studio import Studio
from wan_core.plan.request import Request

TEXT_LENGTH = 512  # tokens; text_len of every Wan config (wan/configs/shared_config.py)


@dataclass(frozen=True)
class Prompts:
    """Text states [1, 512, E]; `negative` is None without guidance. Tokens as counted before the cut."""

    positive: torch.Tensor
    negative: torch.Tensor | None
    tokens: int
    cut: bool


def encode_text(studio: Studio, request: Request) -> Prompts:
    """Prompt and, where guidance asks for it, negative prompt to text states on the device."""
    studio.residency.bring("text_encoder")
    positive = encode_prompt(studio, request.prompt)
    negative = encode_prompt(studio, request.negative_prompt) if request.guided else None
    tokens = count_tokens(studio, request.prompt)
    return Prompts(positive, negative, tokens, tokens > TEXT_LENGTH)


@torch.no_grad()
def encode_prompt(studio: Studio, prompt: str) -> torch.Tensor:
    """States [1, 512, E], in the text encoder's dtype."""
    tokens = studio.parts.tokenizer(
        clean(prompt), padding="max_length", max_length=TEXT_LENGTH, truncation=True, return_tensors="pt"
    ).to(studio.residency.device_of("text_encoder"))
    states = studio.parts.text_encoder(tokens.input_ids, tokens.attention_mask).last_hidden_state
    behind = tokens.attention_mask[..., None] == 0
    return states.masked_fill(behind, 0).to(studio.residency.device)


def count_tokens(studio: Studio, prompt: str) -> int:
    """The end of the text counts too."""
    return len(studio.parts.tokenizer(clean(prompt)).input_ids)


def clean(prompt: str) -> str:
    """Broken encodings and HTML's escapes mended, each run of white space one space."""
    return " ".join(html.unescape(html.unescape(ftfy.fix_text(prompt))).split())
