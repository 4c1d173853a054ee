"""How many tokens a prompt has by the model's own tokenizer, and where the text encoder stops to read.

The pipeline's cleaning and the file that its tokenizer is built from, without torch or transformers. Not
covered: tokenizers that are a sentencepiece file alone, which are counted by rule.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from tokenizers import Tokenizer

from wan_core.catalog.architecture import ModelCard
from wan_core.errors import IntegrityError
from wan_core.pipeline.cleaning import clean
from wan_core.plan.prompt_length import TextCount, estimate, tell_cut, texts_of
from wan_core.plan.request import Request
from wan_runner import tiny

TOKENIZER = "tokenizer/tokenizer.json"


def count(text: str, card: ModelCard, folder: Path | None = None) -> TextCount | None:
    """The tokens of `text` by the tokenizer in a model's `folder`, or of the tiny models, which are here.

    None where there is no such file. Raises IntegrityError if it cannot be read. Places are those in the
    cleaned text, `clean(text)`.
    """
    path = find_tokenizer(card, folder)
    if path is None:
        return None
    cleaned, limit = clean(text), card.transformer.text_len
    encoding = _read(path).encode(cleaned)
    tokens = len(encoding.ids)
    ends = [end for _, end in encoding.offsets[: limit - 1]]  # the limit's last token is the end of the text
    kept = len(cleaned) if tokens <= limit else max(ends, default=0)
    return TextCount(
        low=tokens, high=tokens, limit=limit, basis="counted", characters=len(cleaned), kept=(kept, kept)
    )


def find_tokenizer(card: ModelCard, folder: Path | None) -> Path | None:
    """The file that a model's tokenizer is built from, if it is here."""
    if folder is not None:
        path = folder / TOKENIZER
        return path if path.is_file() else None
    return _tiny_tokenizer(card.id) if card.id in tiny.TINY_MODELS else None


def prompt_warnings(request: Request, card: ModelCard | None, folder: Path) -> tuple[str, ...]:
    """What the text encoder will not read of the prompts, without their words. `card`: its architecture."""
    if card is None:
        return ()
    counts = {f: count(text, card, folder) or estimate(text, card) for f, text in texts_of(request).items()}
    return tuple(told for field, counted in counts.items() if (told := tell_cut(field, counted)))


@cache
def _tiny_tokenizer(model: str) -> Path | None:
    return tiny.model_files(model).get(TOKENIZER)


@cache  # thousands of prompts may be counted at once
def _read(path: Path) -> Tokenizer:
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # what tokenizers raises is Exception itself
        raise IntegrityError(f"{path} is no tokenizer: {error}") from error
