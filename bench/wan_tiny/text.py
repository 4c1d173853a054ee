"""The tokenizer and the text encoder: a small vocabulary of whole words, and a frozen random UMT5.

The encoder is never trained; the video transformer learns to read it. A word in lower, Capital and UPPER case
has the same embedding, so case does not matter. Any other ASCII text is spelled in single characters.
"""

import string

import torch
from torch import Tensor
from transformers import T5Tokenizer, UMT5Config, UMT5EncoderModel

from bench.wan_tiny.clips import vocabulary

TextModels = tuple[T5Tokenizer, UMT5EncoderModel]

SEED = 7
PADDED_ROWS = 512  # what diffusers' Wan pipelines pad text states to, with zeros and without a mask
CONFIG = {
    "d_model": 64,
    "d_kv": 16,
    "num_heads": 4,
    "d_ff": 128,
    "num_layers": 2,
    "feed_forward_proj": "gated-gelu",
    "relative_attention_num_buckets": 32,
    "relative_attention_max_distance": 128,
}


def word_forms(word: str) -> tuple[str, str, str]:
    return word, word.capitalize(), word.upper()


def pieces() -> list[tuple[str, float]]:
    """Unigram pieces with their log-probabilities; a whole word always beats its spelling."""
    characters = [character for character in string.printable if character.isprintable() and character != " "]
    forms = [form for word in vocabulary() for form in dict.fromkeys(word_forms(word))]
    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -8.0)]
    words = [(f"▁{form}", -2.0) for form in forms]
    return special + words + [(character, -10.0) for character in characters]


def build_tokenizer() -> T5Tokenizer:
    return T5Tokenizer(vocab=pieces(), extra_ids=0, model_max_length=PADDED_ROWS)


def build_text_encoder(tokenizer: T5Tokenizer) -> UMT5EncoderModel:
    """Random weights, rounded to bfloat16 (as they are stored) and held in float32."""
    torch.manual_seed(SEED)
    encoder = UMT5EncoderModel(UMT5Config(vocab_size=len(tokenizer), **CONFIG)).eval().requires_grad_(False)
    for block in encoder.encoder.block:  # wide enough that the order of words shows
        block.layer[0].SelfAttention.relative_attention_bias.weight.normal_(std=1.0)
    share_case(encoder, tokenizer)
    return encoder.bfloat16().float()


def share_case(encoder: UMT5EncoderModel, tokenizer: T5Tokenizer) -> None:
    rows = encoder.shared.weight
    for word in vocabulary():
        ids = tokenizer.convert_tokens_to_ids([f"▁{form}" for form in word_forms(word)])
        rows[ids] = rows[ids[0]].clone()


@torch.no_grad()
def encode_prompts(
    tokenizer: T5Tokenizer, encoder: UMT5EncoderModel, prompts: list[str]
) -> tuple[Tensor, Tensor]:
    """States [B, L + 1, D] and attention bias [B, L + 1], equal to the pipeline's zero-padded 512 rows.

    The pipeline gives every prompt of n tokens 512 - n rows of zeros. One zero row has exactly their effect
    when its attention logit is raised by log(512 - n). Rows past a prompt's end get -inf.
    """
    tokens = tokenizer(prompts, padding=True, return_tensors="pt")
    mask = tokens.attention_mask
    states = encoder(tokens.input_ids, mask).last_hidden_state * mask[..., None]
    zero_row = states.new_zeros(len(prompts), 1, states.shape[2])
    bias = torch.zeros(mask.shape).masked_fill(mask == 0, float("-inf"))
    count = (PADDED_ROWS - mask.sum(dim=1, keepdim=True)).float()
    return torch.cat((states, zero_row), dim=1), torch.cat((bias, count.log()), dim=1)
