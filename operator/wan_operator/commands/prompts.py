"""How many tokens the prompts have, and what the text encoder will not read.

Counted by the runner's package, with the tokenizer of a model's folder or of the tiny models; else estimated.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from wan_core.catalog.architecture import ModelCard
from wan_core.errors import InvalidInput
from wan_core.plan.prompt_length import TextCount, estimate, squeeze, tell_cut, texts_of
from wan_core.plan.request import Request
from wan_operator.commands.checks import find_check, need_check

Tokenizer = Annotated[
    Path | None,
    typer.Option("--tokenizer", metavar="DIR", help="Count prompts by the tokenizer in this model's folder."),
]
TOKENIZER = "tokenizer"


def count_prompts(request: Request, card: ModelCard, folder: Path | None) -> dict[str, TextCount]:
    """The tokens of each text that is read, by field. Raises InvalidInput if `folder` is no model's."""
    texts = texts_of(request)
    look = find_check("prompt") if folder is None else need_check("prompt", "--tokenizer")
    if folder is not None and not (folder / TOKENIZER).is_dir():
        raise InvalidInput(f"--tokenizer: {folder} holds no folder {TOKENIZER}, as models of diffusers do")
    counted = {field: look(text, card, folder) if look else None for field, text in texts.items()}
    return {field: counted[field] or estimate(text, card) for field, text in texts.items()}


def tell_prompts(request: Request, counts: Mapping[str, TextCount]) -> list[str]:
    """What is cut, and from which word on: the reader has the text anyway."""
    lines = []
    for field, text in texts_of(request).items():
        count, squeezed = counts[field], squeeze(text)
        known = squeezed if len(squeezed) == count.characters else None  # cleaning changed more than spaces
        lines.append(tell_cut(field, count, known))
    return [line for line in lines if line]


def words_of_count(count: TextCount) -> str:
    """`9 of 512 tokens, counted`."""
    tokens = str(count.low) if count.low == count.high else f"{count.low} to {count.high}"
    return f"{tokens} of {count.limit} tokens, {count.basis}"
