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
        "guidance": {"name": "sequential", "source": "only"},
        "compiled": False,
        "recorded": False,
        "tf32": False,
    }


def test_what_is_fixed_by_hand_is_what_runs(
    studio_for: Callable[..., Any], request_for: Callable[..., Request]
) -> None:
    studio = studio_for("t2v", request_for(), attention="math", guidance="batched", compiled=True)
    told = studio.recipe.to_dict()
    assert told["attention"] == {"name": "math", "source": "fixed"}
    assert told["guidance"] == {"name": "batched", "source": "fixed"}
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
    "a guidance that is none": ({"guidance": "twice"}, "guidance: twice"),
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
    return replace(plan_work(folder, plan, request, 0.0), **fields)


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


def test_both_samples_at_once_need_memory_for_both(
    model_folder: Callable[[str], Path], request_for: Callable[..., Request]
) -> None:
    from wan_core.plan.memory import forward_bytes_per_token

    work = work_for(model_folder("t2v"), request_for())
    need = work.tokens * forward_bytes_per_token(work.config.dim, work.config.ffn_dim, work.config.heads)
    for spare, guided, may in ((need, True, True), (need - 1, True, False), (need, False, False)):
        work = work_for(model_folder("t2v"), request_for(), spare_bytes=spare, guided=guided)
        assert work.may_batch is may


@pytest.mark.parametrize(
    "seconds",
    [
        pytest.param({"sequential": 1.0, "batched": 2.0}, id="one after the other"),
        pytest.param({"sequential": 2.0, "batched": 1.0}, id="both at once"),
    ],
)
def test_on_a_gpu_the_faster_way_of_guidance_is_picked_and_kept(
    seconds: dict[str, float],
    model_folder: Callable[[str], Path],
    request_for: Callable[..., Request],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """The card and its times are the test's own."""
    import torch

    from wan_core.kernels.ops import TORCH
    from wan_core.pipeline import recipe

    def took(*_: Any, passes: int, samples: int) -> Callable[[], float]:
        return lambda: seconds[{(2, 1): "sequential", (1, 2): "batched"}[passes, samples]]

    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _device: "a card")
    monkeypatch.setattr(recipe, "_measurement", took)

    def choose(spare_bytes: float) -> Any:
        cuda = torch.device("cuda")
        work = work_for(model_folder("t2v"), request_for(), device=cuda, spare_bytes=spare_bytes)
        return recipe._choose_guidance(work, TORCH, "sdpa", None, tmp_path)

    for source in ("measured", "stored"):
        found = choose(spare_bytes=1e12)
        assert (found.source, found.seconds) == (source, seconds)
        assert found.seconds[found.name] == 1.0
    assert (choose(spare_bytes=0).name, choose(spare_bytes=0).source) == ("sequential", "only")


def test_a_block_of_the_true_size_can_be_measured(
    model_folder: Callable[[str], Path], request_for: Callable[..., Request]
) -> None:
    import torch

    from wan_core.kernels.attention import sdpa
    from wan_core.kernels.ops import TORCH
    from wan_core.pipeline.recipe import _measurement, build_block

    work = work_for(model_folder("t2v"), request_for(), dtype=torch.bfloat16)
    block, inputs = build_block(work, TORCH, sdpa, samples=2)
    with torch.no_grad():
        assert block(*inputs).shape == (2, work.tokens, work.config.dim)
    assert _measurement(work, TORCH, sdpa, passes=1, samples=2)() > 0


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
