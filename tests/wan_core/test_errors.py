"""The one table of failures, and the tree that stands on it."""

from __future__ import annotations

import pytest

from wan_core import errors
from wan_core.errors import TABLE, Category, InvalidInput, WanError, category_of_exit

CLASSES = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, WanError)]
ALL = pytest.mark.parametrize("category", list(Category))


@ALL
def test_every_category_has_a_row(category):
    row = TABLE[category]
    assert row.reason.isalnum()
    assert row.advice.endswith(".")


def test_exit_codes_and_reasons_are_unique():
    assert len({row.exit_code for row in TABLE.values()}) == len(Category)
    assert len({row.reason for row in TABLE.values()}) == len(Category)


def test_exit_codes_stay_clear_of_the_shell_and_of_python():
    assert all(64 <= row.exit_code <= 113 for row in TABLE.values())


@ALL
def test_every_category_has_one_class(category):
    assert [kind for kind in CLASSES if kind is not WanError and kind.category is category] != []


def test_every_class_but_the_base_has_a_category_of_its_own():
    own = [kind.category for kind in CLASSES if kind is not WanError]
    assert len(set(own)) == len(own)


@ALL
def test_an_exit_code_names_its_category(category):
    assert category_of_exit(TABLE[category].exit_code) is category


@pytest.mark.parametrize(
    ("code", "oom_killed", "category"),
    [
        pytest.param(0, False, None, id="done"),
        pytest.param(137, True, Category.HOST_OUT_OF_MEMORY, id="killed by the kernel for memory"),
        pytest.param(137, False, Category.INTERRUPTED, id="killed by someone else"),
        pytest.param(143, False, Category.INTERRUPTED, id="terminated before the handler was set"),
        pytest.param(1, False, Category.INTERNAL, id="a Python traceback"),
        pytest.param(139, False, Category.INTERNAL, id="a segmentation fault"),
    ],
)
def test_exits_that_no_row_names(code, oom_killed, category):
    assert category_of_exit(code, oom_killed=oom_killed) is category


def test_a_retry_and_another_plan_exclude_each_other():
    assert not [row for row in TABLE.values() if row.retryable and row.other_plan]


def test_an_error_carries_the_advice_of_its_category_unless_it_knows_better():
    assert InvalidInput("a").advice == TABLE[Category.INVALID_INPUT].advice
    assert InvalidInput("a", advice="b").advice == "b"


def test_invalid_input_keeps_its_problems_apart():
    assert InvalidInput(["a", "b"]).problems == ("a", "b")
    assert InvalidInput("a").problems == ("a",)
    assert str(InvalidInput(["a", "b"])) == "a; b"
