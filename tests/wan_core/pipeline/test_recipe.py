from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wan_core.errors import InvalidInput
from wan_core.plan.request import Request

pytestmark = pytest.mark.slow  # imports diffusers


def test_on_a_cpu_nothing_is_measured_or_compiled(
    studio_for: Callable[..., Any], request_for: Callable[..., Request]
) -> None:
    studio = studio_for("t2v", request_for())
    assert studio.recipe.to_dict() == {
        "name": "wan_core",
        "ops": "torch",
        "attention": {"name": "sdpa", "source": "only"},
        "guidance": {"name": "sequential", "source": "plan"},
        "compiled": False,
        "recorded": False,
        "tf32": False,
    }


def test_what_is_fixed_by_hand_is_what_runs(
    studio_for: Callable[..., Any], request_for: Callable[..., Request]
) -> None:
    studio = studio_for("t2v", request_for(), attention="math", compiled=True)
    told = studio.recipe.to_dict()
    assert told["attention"] == {"name": "math", "source": "fixed"}
    assert told["compiled"] is True
    assert studio.parts.transformer.blocks[0].self_attention.attend is studio.recipe.attend
    assert studio.recipe.attend.__name__ == "math"


def test_what_was_measured_and_why_others_were_refused_is_told() -> None:
    from wan_core.kernels.picks import Pick
    from wan_core.pipeline.recipe import Recipe

    picked = Pick("cudnn", "stored", {"cudnn": 0.1, "flash": 0.2}, {"fa3": "lacks the package"})
    assert json.loads(json.dumps(Recipe(attention=picked).to_dict()))["attention"] == {
        "name": "cudnn",
        "source": "stored",
        "seconds": {"cudnn": 0.1, "flash": 0.2},
        "refused": {"fa3": "lacks the package"},
    }


REFUSED = {
    "a backend that is none": ({"attention": "mat"}, "nearest: math"),
    "a backend for GPUs": ({"attention": "cudnn"}, "does not run on cpu"),
    "operations that are none": ({"ops": "cuda"}, "there are torch and triton"),
    "TF32 where nothing may be lost": ({"tf32": True}, "TF32 is near, and spec.quality is lossless"),
    "attention in 8 bits where nothing may be lost": (
        {"attention": "sage"},
        "sage is near, and spec.quality",
    ),
    "CUDA graphs of a CPU": ({"recorded": True}, "stay on a GPU"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_said(
    name: str, studio_for: Callable[..., Any], request_for: Callable[..., Request]
) -> None:
    wishes, message = REFUSED[name]
    with pytest.raises(InvalidInput, match=message):
        studio_for("t2v", request_for(), **wishes)


def work_for(folder: Path, request: Request, **fields: Any) -> Any:
    from dataclasses import replace

    from wan_core.pipeline.video import plan_work
    from wan_core.plan.techniques import Plan

    plan = Plan(model="wan-tiny", device="cpu", techniques=("bf16", "resident"))
    return replace(plan_work(folder, plan, request), **fields)


@pytest.mark.parametrize(
    ("kind", "grid"),
    [("t2v", (2, 2, 3)), ("i2v", (2, 2, 3)), ("ti2v", (2, 1, 2))],
    ids=["t2v", "i2v", "ti2v"],
)
def test_work_is_counted_in_tokens(
    kind: str,
    grid: tuple[int, int, int],
    model_folder: Callable[[str], Path],
    request_for: Callable[..., Request],
) -> None:
    width, height = (48, 32) if kind != "ti2v" else (64, 32)
    work = work_for(model_folder(kind), request_for(width=width, height=height))
    assert work.grid == grid
    assert work.tokens == grid[0] * grid[1] * grid[2]


@pytest.mark.parametrize(
    ("techniques", "guided", "guidance", "shape"),
    [
        pytest.param((), True, "sequential", (1, 8192, 8192), id="one after the other"),
        pytest.param(("guidance-batching",), True, "batched", (2, 8192, 8192), id="both at once"),
        pytest.param(("guidance-batching",), False, "sequential", (1, 8192, 8192), id="there is but one"),
        pytest.param(("sliced-attention",), True, "sequential", (1, 4096, 8192), id="by slices"),
        pytest.param(
            ("sliced-attention", "guidance-batching"), True, "batched", (1, 4096, 8192), id="slices of both"
        ),
    ],
)
def test_the_plan_says_how_a_guided_step_runs_and_what_attention_is_measured_at(
    techniques: tuple[str, ...],
    guided: bool,
    guidance: str,
    shape: tuple[int, int, int],
    model_folder: Callable[[str], Path],
    request_for: Callable[..., Request],
) -> None:
    from dataclasses import replace

    from wan_core.pipeline.recipe import Wishes, choose_recipe
    from wan_core.pipeline.video import plan_work
    from wan_core.plan.techniques import Plan

    plan = Plan.model_construct(model="wan-tiny", device="cpu", techniques=("bf16", "resident", *techniques))
    request = request_for() if guided else request_for(guidance_high=1.0, guidance_low=1.0)
    work = replace(plan_work(model_folder("t2v"), plan, request), grid=(2, 64, 64))
    assert work.attention[:3] == shape
    assert choose_recipe(work, Wishes(), None).guidance.name == guidance


@pytest.mark.parametrize(
    ("streamed", "grid", "compiled", "recorded"),
    [
        pytest.param(False, (2, 2, 3), True, True, id="few tokens"),
        pytest.param(False, (2, 64, 65), True, False, id="many tokens"),
        pytest.param(True, (2, 2, 3), True, False, id="weights that move"),
        pytest.param(False, (2, 2, 3), False, False, id="not compiled"),
    ],
)
def test_small_shapes_are_recorded_on_a_gpu(
    streamed: bool,
    grid: tuple[int, int, int],
    compiled: bool,
    recorded: bool,
    model_folder: Callable[[str], Path],
    request_for: Callable[..., Request],
) -> None:
    import torch

    from wan_core.pipeline.recipe import may_record

    work = work_for(
        model_folder("t2v"), request_for(), streamed=streamed, grid=grid, device=torch.device("cuda")
    )
    assert may_record(work, compiled) is recorded
