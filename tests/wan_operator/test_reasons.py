"""The words of status.reason that are ours."""

from __future__ import annotations

import re

from wan_core.api.conditions import REASON_MAX
from wan_core.errors import TABLE
from wan_operator.reasons import Reason


def test_each_is_one_word_that_a_condition_may_carry() -> None:
    assert all(re.fullmatch("[A-Z][A-Za-z]+", reason) and len(reason) <= REASON_MAX for reason in Reason)


def test_no_reason_of_ours_is_a_categorys_too() -> None:
    assert not {reason.value for reason in Reason} & {row.reason for row in TABLE.values()}
