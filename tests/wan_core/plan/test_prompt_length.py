"""How many tokens a prompt has by rule, and what is told of what is cut."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wan_core.catalog.models import MODELS
from wan_core.plan.prompt_length import TextCount, estimate, squeeze, tell_cut

CARD = MODELS["t2v-A14B"]


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        pytest.param("", 1, 1, id="nothing but the end"),
        pytest.param("a corgi surfing", 4, 7, id="words by their letters"),
        pytest.param("一只柯基在冲浪", 5, 8, id="Chinese by the character"),
        pytest.param("2026", 2, 5, id="digits one by one"),
        pytest.param("a, b; c", 5, 6, id="signs one by one"),
        pytest.param("\U0001f600" * 4, 3, 17, id="emoji by their bytes"),
        pytest.param("  a \n\t b  ", 3, 3, id="white space counts once, and as nothing"),
    ],
)
def test_the_range_follows_the_rule(text: str, low: int, high: int) -> None:
    count = estimate(text, CARD)
    assert (count.low, count.high, count.limit, count.basis) == (low, high, 512, "estimated")


@given(st.text(max_size=60), st.text(max_size=60))
@settings(max_examples=30)
def test_more_text_never_has_fewer_tokens(one: str, more: str) -> None:
    short, long = estimate(one, CARD), estimate(f"{one} {more}", CARD)
    assert short.low <= long.low
    assert short.high <= long.high
    assert short.low <= short.high


@given(st.text(max_size=3000))
def test_what_is_kept_is_a_range_within_the_text(text: str) -> None:
    count = estimate(text, CARD)
    assert 0 <= count.kept[0] <= count.kept[1] <= count.characters == len(squeeze(text))
    if count.cut is False:
        assert estimate(squeeze(text)[: count.kept[0]], CARD).high == count.high


@given(st.text(min_size=1, max_size=2000))
def test_what_certainly_fits_is_not_told(text: str) -> None:
    count = estimate(text, CARD)
    assert (tell_cut("spec.prompt", count, squeeze(text)) == "") == (count.high <= 512)


@pytest.mark.parametrize(
    ("times", "told"),
    [
        pytest.param(80, "", id="surely read"),
        pytest.param(
            160,
            "spec.prompt: has 481 to 961 tokens by estimate, as its tokenizer is not at hand; the text "
            "encoder reads 512: what comes after about the first 1361 of 2559 characters may be cut",
            id="perhaps cut",
        ),
        pytest.param(
            320,
            "spec.prompt: has 961 to 1921 tokens by estimate, as its tokenizer is not at hand; the text "
            "encoder reads 512: about the first 1361 to 2721 of 5119 characters are read",
            id="surely cut",
        ),
    ],
)
def test_an_estimate_is_told_as_a_range(times: int, told: str) -> None:
    assert tell_cut("spec.prompt", estimate("a corgi surfing " * times, CARD)) == told


def test_counted_tokens_are_told_with_the_words_around_the_cut_only_where_asked() -> None:
    count = TextCount(low=600, high=600, limit=512, basis="counted", characters=11, kept=(5, 5))
    head = "spec.prompt: has 600 tokens; the text encoder reads 512: the first 5 of 11 characters are read"
    assert tell_cut("spec.prompt", count) == head
    assert tell_cut("spec.prompt", count, "hello world") == (
        f'{head}, up to "...hello"; cut from "world..." on'
    )


def test_no_character_of_a_prompt_steers_a_terminal() -> None:
    count = TextCount(low=600, high=600, limit=512, basis="counted", characters=8, kept=(4, 4))
    assert "\x1b" not in tell_cut("spec.prompt", count, "a\x1b[1mred")
