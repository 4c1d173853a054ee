"""Tokens as the model's own tokenizer counts them, and how far the rule is off."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wan_core.plan.worlds import request_of
from wan_core.catalog.models import MODELS
from wan_core.errors import IntegrityError
from wan_core.pipeline.cleaning import clean
from wan_core.plan.prompt_length import estimate
from wan_runner.prompt_check import count, prompt_warnings
from wan_runner.tiny import model_files

CARD = MODELS["wan-tiny"]
TOKENIZER = model_files("wan-tiny")["tokenizer/tokenizer.json"]
# What the tiny tokenizer has pieces for: its words, and printable ASCII.
TEXTS = st.lists(
    st.sampled_from(["a red circle", "moving right", "Blue", "xylophone,", "42", "(a)", "it's", "SQUARE"])
    | st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=12),
    max_size=60,
).map(" ".join)


def counted(text: str) -> int:
    found = count(text, CARD)
    assert found is not None
    return found.high


@pytest.mark.slow
def test_it_counts_as_the_pipeline_does() -> None:
    """By transformers' own class, which the pipeline reads the same file with."""
    from wan_core.pipeline.load import load_tokenizer

    tokenizer = load_tokenizer(TOKENIZER.parent)
    for text in ("", "a red circle moving right", "xylophone & it's &amp; done  \n", "a " * 700, "红色 ✂ é"):
        assert counted(text) == len(tokenizer(clean(text)).input_ids)


def test_what_is_kept_is_what_the_encoder_reads() -> None:
    text = "a red circle moving right, " * 120
    found = count(text, CARD)
    assert found is not None
    assert (found.low, found.high, found.limit, found.cut) == (found.high, found.high, 512, True)
    kept = clean(text)[: found.kept[0]]
    assert found.characters == len(clean(text))
    assert counted(kept) == 512
    assert counted(clean(text)[: found.kept[0] + 2]) > 512


@given(TEXTS)
def test_the_rule_for_a_vocabulary_that_spells_holds(text: str) -> None:
    found, ruled = counted(text), estimate(clean(text), CARD)
    assert ruled.low <= found <= ruled.high


def test_without_a_tokenizer_nothing_is_counted(tmp_path: Path) -> None:
    assert count("a corgi", MODELS["t2v-A14B"]) is None
    assert count("a corgi", CARD, tmp_path) is None


def test_a_broken_tokenizer_is_told(tmp_path: Path) -> None:
    (tmp_path / "tokenizer").mkdir()
    (tmp_path / "tokenizer" / "tokenizer.json").write_text("{}")
    with pytest.raises(IntegrityError, match="is no tokenizer"):
        count("a corgi", CARD, tmp_path)


def test_an_attempt_warns_of_what_its_model_does_not_read_and_shows_no_word_of_it(tmp_path: Path) -> None:
    (tmp_path / "tokenizer").symlink_to(TOKENIZER.parent)
    request = request_of("wan-tiny", prompt="a red circle " * 300, negative_prompt="blue " * 600)
    prompt, negative = prompt_warnings(request, CARD, tmp_path)
    assert prompt == (
        "spec.prompt: has 901 tokens; the text encoder reads 512: the first 2211 of 3899 characters are read"
    )
    assert negative.startswith("spec.negativePrompt: has 601 tokens; ")
    assert "circle" not in prompt


def test_a_negative_prompt_that_nothing_reads_is_not_counted(tmp_path: Path) -> None:
    request = request_of("wan-tiny", negative_prompt="blue " * 600, guidance={"high": 1, "low": 1})
    assert prompt_warnings(request, CARD, tmp_path) == ()
