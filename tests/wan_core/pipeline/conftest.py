from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.wan_core.pipeline.models import KINDS, save_model
from wan_core.plan.request import Request
from wan_core.plan.techniques import Plan


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """`model_folder("t2v")`: made once a session."""
    made: dict[str, Path] = {}

    def get(kind: str) -> Path:
        if kind not in made:
            made[kind] = save_model(tmp_path_factory.mktemp(kind), **KINDS[kind])
        return made[kind]

    return get


@pytest.fixture
def request_for() -> Callable[..., Request]:
    """A small request; arguments replace its fields."""

    def build(**fields: Any) -> Request:
        small = {
            "model": "wan-tiny",
            "prompt": "a red circle",
            "negative_prompt": "",
            "width": 32,
            "height": 32,
            "frames": 5,
            "fps": 8,
            "steps": 3,
            "guidance_high": 2.0,
            "guidance_low": 1.5,
            "shift": 3.0,
            "seed": 7,
        }
        return Request(**{**small, **fields})

    return build


@pytest.fixture
def studio_for(model_folder: Callable[[str], Path]) -> Callable[..., Any]:
    """`studio_for(kind, request)`: techniques that are for GPUs run too, with the CPU in the GPU's place."""

    def build(kind: str, request: Request, *techniques: str, **wishes: Any) -> Any:
        from wan_core.pipeline.recipe import Wishes
        from wan_core.pipeline.video import load

        plan = Plan.model_construct(
            model="wan-tiny", device="cpu", techniques=techniques or ("bf16", "resident")
        )
        return load(model_folder(kind), plan, request, lambda _d, _t: None, wishes=Wishes(**wishes))

    return build
