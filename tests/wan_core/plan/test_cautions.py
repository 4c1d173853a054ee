"""What is correct but slow or poor, each with its number."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.wan_core.plan.worlds import inventory_of, request_of, spec_of
from wan_core.catalog.models import MODELS
from wan_core.plan.cautions import find_warnings
from wan_core.plan.inventory import Inventory
from wan_core.plan.ladder import build_ladder

H200 = inventory_of("NVIDIA-H200")
RTX4090 = inventory_of("NVIDIA-GeForce-RTX-4090")
CPU_ONLY = inventory_of()


def warnings_of(model: str, inventory: Inventory, **fields: Any) -> tuple[str, ...]:
    """Those of the request, and of the plan that this inventory would run it by."""
    request = request_of(model, **fields)
    best = next(iter(build_ladder([request], inventory).runnable), None)
    return find_warnings(MODELS[model], spec_of(model, **fields), request, best)


@pytest.mark.parametrize("model", [m for m, card in MODELS.items() if not card.cannot_run])
def test_a_models_own_settings_on_a_large_gpu_are_nothing_to_warn_of(model: str) -> None:
    assert warnings_of(model, H200) == ()


@pytest.mark.parametrize(
    ("model", "inventory", "fields", "told"),
    [
        pytest.param(
            "t2v-A14B",
            H200,
            {"resolution": "832x608"},
            "spec.resolution: 832x608 is no size that t2v-A14B was taught with; "
            "nearest: 480x832, 832x480, 720x1280, 1280x720",
            id="an untrained size",
        ),
        pytest.param(
            "i2v-A14B",
            H200,
            {"resolution": "480x480"},
            "spec.resolution: 480x480 has 42 % fewer pixels than any size that i2v-A14B was taught with; "
            "nearest: 480x832, 832x480, 720x1280, 1280x720",
            id="an untrained area, where only the area counts",
        ),
        pytest.param(
            "t2v-1.3B",
            H200,
            {"frames": 161},
            r"spec.frames: 161 are 2.0 times the 81 that t2v-1.3B was taught with, and \d\.\d times their "
            "work a step; beyond 81 motion may freeze or repeat",
            id="very many frames",
        ),
        pytest.param(
            "t2v-A14B",
            H200,
            {"steps": 8},
            "spec.steps: 8 is 20 % of the model's own 40; so few leave blur and noise",
            id="few steps",
        ),
        pytest.param(
            "ti2v-5B",
            H200,
            {"guidance": {"scale": 1}},
            "spec.guidance: at 1 the prompt is followed loosely; the model's own is 5",
            id="guidance 1",
        ),
        pytest.param(
            "t2v-A14B",
            H200,
            {"guidance": {"high": 4, "low": 1}},
            "spec.guidance: at 4 and 1 the prompt is followed loosely; the model's own is 4 and 3",
            id="guidance 1 of one expert",
        ),
        pytest.param(
            "ti2v-5B",
            H200,
            {"guidance": {"scale": 1}, "negative_prompt": "blurry"},
            "spec.negativePrompt: is not read, for no step is guided: that takes a guidance above 1",
            id="a negative prompt that nothing reads",
        ),
        pytest.param(
            "t2v-A14B",
            H200,
            {"fps": 60},
            "spec.fps: 60 shows 3.8 times as fast motion as the model's own 16: 1.4 s in all",
            id="a file that is too fast",
        ),
        pytest.param(
            "t2v-A14B",
            H200,
            {"image_fit": "crop"},
            "spec.imageFit: crop has nothing to act on, for there is no spec.image",
            id="a fit of no image",
        ),
        pytest.param(
            "t2v-A14B",
            H200,
            {"prompt": "a corgi surfing " * 200},
            "spec.prompt: has 601 to 1201 tokens by estimate, as its tokenizer is not at hand; the text "
            r"encoder reads 512: about the first 1\d+ to 2\d+ of 3199 characters are read",
            id="a prompt that is too long",
        ),
        pytest.param(
            "t2v-A14B",
            H200,
            {"deadlines": {"run": "5m"}},
            r"spec.deadlines.run: 5m is less than the \d+ min that the plan takes by estimate",
            id="a deadline that is too short",
        ),
        pytest.param(
            "wan-tiny",
            CPU_ONLY,
            {},
            r"plan: runs on the CPU, \d.* by estimate; a GPU with \d+ GiB would hold all of it",
            id="the CPU",
        ),
        pytest.param(
            "t2v-A14B",
            RTX4090,
            {"resolution": "832x480"},
            r"plan: (block-streaming|component-offload), as all of it needs \d+\.\d GiB of one GPU; "
            r"\d+\.\d GiB cross .*",
            id="forced offload",
        ),
        pytest.param(
            "t2v-1.3B",
            inventory_of("Tesla-T4"),
            {"resolution": "480x272", "frames": 5},
            r"plan: T4 \(compute capability 7.5\) has no bf16 and no flash attention, which begin with 8.0: "
            r"float32, at most [\d.]+ TFLOP/s",
            id="an old GPU",
        ),
        pytest.param(
            "t2v-1.3B",
            inventory_of("NVIDIA-A100-SXM4-80GB"),
            {"quality": "near"},
            r"plan: A100 SXM 80GB \(compute capability 8.0\) has no FP8, which begins with 8.9: bf16, at "
            r"most 312 TFLOP/s",
            id="no FP8, where the floor of quality allows it",
        ),
    ],
)
def test_it_is_told_with_its_number(
    model: str, inventory: Inventory, fields: dict[str, Any], told: str
) -> None:
    found = warnings_of(model, inventory, **fields)
    assert [text for text in found if re.fullmatch(told, text)], found


@pytest.mark.parametrize(
    ("model", "inventory", "fields"),
    [
        pytest.param("i2v-A14B", H200, {"resolution": "960x960"}, id="any aspect, where the area counts"),
        pytest.param(
            "t2v-1.3B", inventory_of("NVIDIA-A100-SXM4-80GB"), {}, id="no FP8, which nothing allows"
        ),
        pytest.param("t2v-A14B", H200, {"frames": 1, "fps": 60}, id="the pace of a still"),
        pytest.param("t2v-1.3B", H200, {"deadlines": {"run": "99h"}}, id="time enough"),
        pytest.param("t2v-1.3B", H200, {"steps": 25, "fps": 12}, id="about what is usual"),
    ],
)
def test_nothing_is_told_of_what_does_no_harm(
    model: str, inventory: Inventory, fields: dict[str, Any]
) -> None:
    assert warnings_of(model, inventory, **fields) == ()


@given(
    st.sampled_from([m for m, card in MODELS.items() if not card.cannot_run]),
    st.sampled_from([H200, RTX4090, CPU_ONLY, inventory_of("Tesla-T4"), inventory_of("Unheard-Of")]),
    st.integers(1, 200),
    st.integers(1, 120),
    st.sampled_from(["lossless", "near"]),
    st.text("ab ,一\n", min_size=1, max_size=2000).filter(str.strip),
)
@settings(max_examples=20, deadline=None)
def test_every_warning_names_a_path_and_a_number_and_no_prompt(
    model: str, inventory: Inventory, steps: int, fps: int, quality: str, text: str
) -> None:
    canary = "canarybird "
    found = warnings_of(model, inventory, steps=steps, fps=fps, quality=quality, prompt=canary * 60 + text)
    for told in found:
        assert re.match(r"(spec\.[a-zA-Z.]+|plan): ", told)
        assert re.search(r"\d", told)
        assert "canary" not in told
        assert told.isprintable()
