"""A whole generation with compiled blocks: one compile, none in a second one, the same latents."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from wan_core.plan.request import Request

pytestmark = pytest.mark.slow  # imports diffusers, and Inductor compiles

TECHNIQUES = {
    "resident": ("bf16", "resident"),
    "component-offload": ("bf16", "component-offload"),
    "block-streaming": ("bf16", "block-streaming"),
    "block-streaming, by slices": ("bf16", "block-streaming", "sliced-attention"),
}


@pytest.fixture(autouse=True)
def _fresh_dynamo() -> Iterator[None]:
    import torch

    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    yield
    torch._dynamo.reset()


def denoise(studio: Any, request: Request) -> Any:
    from PIL import Image

    from wan_core.pipeline.video import denoise, encode_text

    image = Image.new("RGB", (request.width, request.height), (200, 30, 30)) if request.image else None
    return denoise(studio, request, encode_text(studio, request), image, lambda _step: None, lambda: None)


def compiles() -> int:
    import torch

    counters = torch._dynamo.utils.counters
    assert not counters["graph_break"]
    return counters["stats"].get("unique_graphs", 0)


@pytest.mark.parametrize("placement", TECHNIQUES)
def test_two_generations_of_one_shape_compile_once(placement: str, studio_for: Any, request_for: Any) -> None:
    """Two experts, guidance, 12 steps; the seed, the prompt and the scales differ in the second."""
    import torch

    request = request_for(steps=12)
    plain = denoise(studio_for("t2v", request), request)
    studio = studio_for("t2v", request, *TECHNIQUES[placement], compiled=True)
    found = denoise(studio, request)
    assert compiles() == (2 if "sliced-attention" in TECHNIQUES[placement] else 1)  # graphs a block
    before = compiles()
    denoise(studio, request_for(steps=12, seed=8, prompt="a blue square", guidance_low=1.1))
    assert compiles() == before
    torch.testing.assert_close(found, plain, rtol=1e-4, atol=1e-4)


def test_an_image_of_ti2v_compiles_once(studio_for: Any, request_for: Any) -> None:
    request = request_for(image="s3://inputs/x.png", steps=4)
    studio = studio_for("ti2v", request, compiled=True)
    for _ in range(2):
        denoise(studio, request)
    assert compiles() == 1
