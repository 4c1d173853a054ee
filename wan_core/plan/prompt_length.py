"""Whether the text encoder reads all of a prompt: how many tokens it has, and what is cut off.

The encoder takes so many tokens, one of which ends the text. Where its tokenizer is not at hand, the number
is a range by rule: letters by the word, Chinese, Japanese and Korean by the character, digits and signs one
by one. The rates of umT5 are assumed, for its tokenizer was not at hand; those of the tiny models are bounds,
held against their tokenizer by a test. Of the pipeline's cleaning only that of white space is done here.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import accumulate
from math import ceil
from typing import Literal

from wan_core.api.model import Document
from wan_core.api.words import printable
from wan_core.catalog.architecture import ModelCard
from wan_core.plan.request import Request

WIDE = r"\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
PIECES = re.compile(rf"(?P<wide>[{WIDE}])|(?P<word>(?:(?![{WIDE}])[^\W\d_])+)|(?P<digit>\d)|(?P<sign>\S)")

# Tokens of a text to umT5, whose vocabulary has 256,384 pieces for 107 languages: the fewest and the most
# that are likely. Assumed, not measured.
LETTERS_A_TOKEN = (8, 3)
WIDE_TOKENS = (0.5, 1.0)
DIGIT_TOKENS = (0.25, 1.0)
SIGN_TOKENS = (0.5, 1.0)
RARE_SIGN_TOKENS = (0.5, 4.0)  # beyond U+FFFF, as emoji: four bytes, where no piece has it
# With a vocabulary smaller than this a word is known as a whole or spelled, and so is all else.
SPELLED_BELOW = 1000

SHOWN_CHARACTERS = 40  # of what is kept and of what is cut
# Texts whose estimate is kept: an operator asks at each look, and most share a negative prompt.
KEPT_MAX = 512


FIELDS = ("spec.prompt", "spec.negativePrompt")


class TextCount(Document):
    """`low` to `high` tokens, the end counted, of which `limit` are read; of `characters` the first `kept`
    (fewest, most). Both are the same where the tokens were counted.
    """

    low: int
    high: int
    limit: int
    basis: Literal["counted", "estimated"]
    characters: int
    kept: tuple[int, int]

    @property
    def cut(self) -> bool | None:
        """Whether something is not read; None: it may be."""
        if self.high <= self.limit:
            return False
        return True if self.low > self.limit else None


def texts_of(request: Request) -> dict[str, str]:
    """The texts that the encoder is given, by field. Without guidance the negative prompt is not."""
    both = dict(zip(FIELDS, (request.prompt, request.negative_prompt), strict=True))
    return both if request.guided else {FIELDS[0]: request.prompt}


def squeeze(text: str) -> str:
    """Each run of white space as one space, as a prompt is before it is counted."""
    return " ".join(text.split())


def estimate(text: str, card: ModelCard) -> TextCount:
    """The range of tokens that the text has for the card's text encoder, by the rule above."""
    return _estimate(text, card.transformer.text_len, card.text_encoder.vocabulary < SPELLED_BELOW)


@lru_cache(maxsize=KEPT_MAX)
def _estimate(text: str, limit: int, spelled: bool) -> TextCount:
    squeezed = squeeze(text)
    pieces = list(PIECES.finditer(squeezed))
    costs = [_cost(piece, spelled) for piece in pieces]
    sums = [list(accumulate(cost[side] for cost in costs)) for side in (0, 1)]
    ends = [piece.end() for piece in pieces]
    kept = [_kept(total, ends, limit - 1) for total in sums]
    low, high = (ceil(total[-1]) + 1 if total else 1 for total in sums)
    return TextCount(
        low=low,
        high=high,
        limit=limit,
        basis="estimated",
        characters=len(squeezed),
        kept=(kept[1], kept[0]),
    )


def tell_cut(field: str, count: TextCount, text: str | None = None) -> str:
    """One line about what is cut or may be; empty if nothing is.

    With `text`, squeezed or cleaned as it was counted, the last words kept and the first cut are shown. A
    status, a log and an Event are told without: they are kept for longer than prompts should be.
    """
    if count.cut is False:
        return ""
    if count.basis == "counted":
        where = f"the first {count.kept[0]} of {count.characters} characters are read"
        head = f"{field}: has {count.high} tokens; the text encoder reads {count.limit}: {where}"
        return head + (_words(text, count.kept[0]) if text is not None else "")
    where = f"about the first {count.kept[0]} to {count.kept[1]} of {count.characters} characters are read"
    if count.cut is None:
        first = f"{count.kept[0]} of {count.characters} characters"
        where = f"what comes after about the first {first} may be cut"
    head = f"{field}: has {count.low} to {count.high} tokens by estimate, as its tokenizer is not at hand; "
    head += f"the text encoder reads {count.limit}: {where}"
    return head + (_words(text, count.kept[0]) if text is not None else "")


def _words(text: str, kept: int) -> str:
    before, behind = text[:kept][-SHOWN_CHARACTERS:], text[kept:][:SHOWN_CHARACTERS]
    return f', up to "...{printable(before)}"; cut from "{printable(behind.lstrip())}..." on'


def _cost(piece: re.Match[str], spelled: bool) -> tuple[float, float]:
    """The fewest and the most tokens of a piece; a spelled one may have one for the space before it."""
    letters = piece.end() - piece.start()
    if spelled:
        return 1 if piece.lastgroup == "word" else 0, letters + 1
    if piece.lastgroup == "word":
        return ceil(letters / LETTERS_A_TOKEN[0]), ceil(letters / LETTERS_A_TOKEN[1])
    if piece.lastgroup == "wide":
        return WIDE_TOKENS
    if piece.lastgroup == "digit":
        return DIGIT_TOKENS
    return SIGN_TOKENS if piece[0] <= "\uffff" else RARE_SIGN_TOKENS


def _kept(sums: list[float], ends: list[int], room: int) -> int:
    """The end of the last piece that has room."""
    fitting = [end for end, total in zip(ends, sums, strict=True) if total <= room]
    return fitting[-1] if fitting else 0
