"""What a rung says of itself."""

from __future__ import annotations

import pytest

from tests.wan_core.plan.worlds import inventory_of, request_of
from wan_core.api.status import Verdict
from wan_core.plan.ladder import build_ladder
from wan_core.plan.rungs import Cure, MeasuredNeed, Rung

L4, H100 = "NVIDIA-L4", "NVIDIA-H100-80GB-HBM3"
LADDER = build_ladder([request_of("t2v-A14B", quality="near")], inventory_of(L4, H100))
RUNG = LADDER.runnable[0]
MORE = RUNG.memory.model_copy(update={"denoise_gib": RUNG.memory.denoise_gib + 9})


def measured_on(product: str) -> Rung:
    need = MeasuredNeed(product=product, memory=MORE)
    return RUNG.model_copy(update={"measured": (need,), "product": H100})


@pytest.mark.parametrize(
    ("product", "corrected"),
    [
        pytest.param("NVIDIA-L4", True, id="as the label has it"),
        pytest.param("NVIDIA L4", True, id="as the driver has it"),
        pytest.param("l4", True, id="as people write it"),
        pytest.param("NVIDIA-L4-SHARED", True, id="where it is shared"),
        pytest.param("NVIDIA-L40S", False, id="another product"),
        pytest.param("", False, id="none"),
    ],
)
def test_what_was_measured_on_a_product_holds_there_however_it_is_written(
    product: str, corrected: bool
) -> None:
    assert measured_on(L4).need_on(product) == (MORE if corrected else RUNG.memory)


def test_the_need_is_that_on_its_own_product() -> None:
    assert measured_on(H100).need == MORE
    assert measured_on(L4).need == RUNG.memory


def test_what_travels_to_a_runner_is_what_it_binds_by() -> None:
    rung = LADDER.rungs[0]
    bare = rung.bare()
    kept = (rung.plan, rung.memory, rung.measured, rung.tier)
    assert (bare.plan, bare.memory, bare.measured, bare.tier) == kept
    assert (bare.time, bare.cost, bare.cures, bare.notes, bare.job) == (None, None, (), (), None)
    assert len(bare.model_dump_json(by_alias=True, exclude_none=True)) < 1024


def test_what_would_make_it_fit_is_said_in_the_words_of_its_cures() -> None:
    cures = tuple(Cure(kind="frames", value=n, text=f"frames: {n}") for n in (5, 9))
    assert RUNG.model_copy(update={"cures": cures}).would_fit_if == ("frames: 5", "frames: 9")


def test_seconds_are_the_middle_of_the_time_or_unknown() -> None:
    assert RUNG.time is not None
    assert RUNG.seconds == (RUNG.time.total.low + RUNG.time.total.high) / 2
    assert RUNG.model_copy(update={"time": None}).seconds is None


def test_what_can_run_is_what_fits_now_or_later_in_order() -> None:
    verdicts = (Verdict.FITS_LATER, Verdict.NEVER, Verdict.FITS_NOW)
    rungs = tuple(RUNG.model_copy(update={"verdict": verdict}) for verdict in verdicts)
    assert LADDER.model_copy(update={"rungs": rungs}).runnable == (rungs[0], rungs[2])
