from __future__ import annotations

import pytest

from tests.wan_core.plan.worlds import inventory_of, request_of
from wan_core.api.spec import Quality
from wan_core.api.status import Verdict
from wan_core.plan.explain import ladder_rows, why_this, words_of_seconds
from wan_core.plan.ladder import build_ladder

TINY = build_ladder([request_of("wan-tiny")], inventory_of(host_gib=23))
LARGE = build_ladder([request_of("t2v-A14B")], inventory_of("NVIDIA-H100-80GB-HBM3"))
NONE = build_ladder([request_of("t2v-A14B")], inventory_of())


def test_rows_stand_in_the_order_of_the_ladder() -> None:
    rows = ladder_rows(LARGE)
    assert [row.rank for row in rows] == [1, 2, 3, 4]
    assert [row.plan for row in rows] == [rung.plan.label for rung in LARGE.rungs]
    assert rows[0].verdict is Verdict.NEVER
    assert (rows[0].peak_phase, rows[0].decode_gib) == ("decode", 84.8)
    assert (rows[0].seconds, rows[1].seconds) == ("", "25 min")


def test_a_plan_on_an_unknown_gpu_is_called_unmeasured() -> None:
    ladder = build_ladder([request_of("wan-tiny")], inventory_of("an 8 GB card"))
    assert ladder_rows(ladder)[0].seconds == "unmeasured"


def test_what_a_plan_loses_is_said_for_the_techniques_that_lose_something() -> None:
    rows = ladder_rows(build_ladder([request_of("t2v-A14B", quality="near")], inventory_of()))
    assert {row.tier.value for row in rows} == {"lossless", "near"}
    for row in rows:
        assert bool(row.loses) == (row.tier is not Quality.LOSSLESS)
        assert all(
            loss.startswith("vae-tiling: ") and loss.endswith("quality: unmeasured") for loss in row.loses
        )


def test_the_plan_taken_is_explained_in_one_sentence() -> None:
    assert why_this(TINY) == (
        "wan-tiny/cpu/bf16+resident: the only plan that fits; "
        "needs 1.1 GiB, the CPU of node-1 has 23.0 GiB free, about 1.1 s once loaded"
    )
    assert why_this(LARGE).startswith(
        "t2v-A14B/cuda/bf16+component-offload: best of 3 that fit; needs 38.0 GiB"
    )
    assert why_this(NONE) == ""


@pytest.mark.parametrize(
    ("seconds", "words"), [(1.24, "1.2 s"), (95, "95 s"), (1507, "25 min"), (12345, "3.4 h")]
)
def test_seconds_are_told_in_fitting_units(seconds: float, words: str) -> None:
    assert words_of_seconds(seconds) == words
