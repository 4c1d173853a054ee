from __future__ import annotations

import pytest

from bench.planning.cases import PLANS, SHAPES, Case, list_cases
from wan_core.catalog.models import MODELS
from wan_core.plan.host import rounding_bytes
from wan_core.plan.memory import hold, host_bytes
from wan_core.plan.techniques import TECHNIQUES


def test_ten_shapes_and_more_of_each_model_are_counted_and_every_technique_with_each() -> None:
    for model, shapes in SHAPES.items():
        assert len(set(shapes)) >= 10
        for every, count in ((False, len(shapes)), (True, len(shapes) * len(PLANS))):
            cases = list(list_cases([model], every))
            assert len(set(cases)) == count
            used = {technique for case in cases for technique in case.techniques}
            assert used == set(TECHNIQUES)


@pytest.mark.slow
@pytest.mark.parametrize(
    "case",
    [
        pytest.param(
            Case("t2v-1.3B", "832x480x17", ("bf16", "resident", "guidance-batching")), id="1.3B resident"
        ),
        pytest.param(
            Case(
                "ti2v-5B",
                "512x320x9",
                ("bf16", "block-streaming", "text-encoder-cpu", "sliced-attention", "vae-tiling"),
                image=True,
            ),
            id="5B streamed, sliced, tiled",
        ),
        pytest.param(Case("i2v-A14B", "832x480x9", ("bf16", "component-offload")), id="A14B by turns"),
    ],
)
def test_estimates_are_within_3_percent_of_our_modules_and_not_1_below(case: Case) -> None:
    from bench.planning.fake import count, fake_gpu
    from bench.planning.studio import count_phases, read_steps

    steps = read_steps(case)
    with fake_gpu():
        found = count_phases(case, steps, count)
    for phase, counted in found.items():
        assert 0.99 * counted["cuda"] <= case.estimate(phase) <= 1.03 * counted["cuda"], phase
    card = MODELS[case.model]
    held = hold("cuda", case.techniques, card)
    while_loading = held.packing + (rounding_bytes(card, held.work.number_bytes) if held.streamed else 0)
    on_host = max(counted.get("cpu", 0) for counted in found.values())
    estimated = host_bytes(held, card, case.request)
    assert on_host * 0.99 <= estimated <= on_host * 1.05 + while_loading + 2**28
