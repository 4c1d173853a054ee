from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.wan_core.pipeline.films import make_latents, nothing
from wan_core.plan.request import Request

pytestmark = pytest.mark.slow  # imports diffusers

WAITS = ("_local_scalar_dense", "is_nonzero", "nonzero", "equal", "item")
"""What a host must wait for a device to tell (aten's names)."""


def test_nothing_is_read_back_between_the_first_step_and_the_last(
    studio_for: Callable[..., Any], request_for: Callable[..., Request]
) -> None:
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    from wan_core.pipeline.video import denoise, encode_text

    class Reads(TorchDispatchMode):
        def __init__(self) -> None:
            super().__init__()
            self.seen: list[str] = []

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            self.seen.append(func.__name__.split(".")[0])
            return func(*args, **(kwargs or {}))

    request = request_for(steps=6)
    studio = studio_for("t2v", request)
    prompts = encode_text(studio, request)
    at_step: list[int] = []
    with Reads() as reads:
        denoise(studio, request, prompts, None, lambda _n: at_step.append(len(reads.seen)), nothing)
    between = reads.seen[at_step[0] : at_step[-1]]
    assert len(at_step) == 6
    assert not set(between) & set(WAITS)
    assert set(reads.seen[at_step[-1] :]) & set(WAITS)  # the last look, whether all is finite, would be seen
    assert isinstance(studio.schedule[0].timestep, float)
    assert torch.is_tensor(prompts.positive)


def test_each_text_is_projected_once_by_each_expert(
    studio_for: Callable[..., Any], request_for: Callable[..., Request]
) -> None:
    request = request_for(steps=8)
    studio = studio_for("t2v", request)
    projected: list[str] = []
    for name in ("transformer", "transformer_2"):
        expert = studio.residency.parts[name]
        expert.text_in.register_forward_hook(lambda _m, _a, _o, name=name: projected.append(name))
    make_latents(studio, request)
    assert projected == ["transformer", "transformer", "transformer_2", "transformer_2"]


PASSES: dict[str, tuple[tuple[str, ...], int]] = {
    "guided": (("bf16", "resident"), 2),
    "guided, batched": (("bf16", "resident", "guidance-batching"), 1),
}


@pytest.mark.parametrize("name", PASSES)
def test_a_scale_of_one_takes_one_pass(
    name: str, studio_for: Callable[..., Any], request_for: Callable[..., Request]
) -> None:
    techniques, guided = PASSES[name]
    request = request_for(steps=8, guidance_low=1.0)
    studio = studio_for("t2v", request, *techniques)
    passes = {"transformer": 0, "transformer_2": 0}

    def count(name: str) -> Callable[..., None]:
        def see(*_: Any) -> None:
            passes[name] += 1

        return see

    for name in passes:
        studio.residency.parts[name].register_forward_hook(count(name))
    make_latents(studio, request)
    high = sum(step.timestep >= 875 for step in studio.schedule)
    assert 0 < high < 8
    assert passes == {"transformer": guided * high, "transformer_2": 8 - high}


def test_the_boundary_divides_the_steps(
    studio_for: Callable[..., Any], request_for: Callable[..., Request]
) -> None:
    from wan_core.pipeline.denoise import divide

    for steps in (1, 2, 9, 40):
        request = request_for(steps=steps)
        phases = divide(studio_for("t2v", request), request)
        assert sum((phase.steps for phase in phases), ()) == studio_for("t2v", request).schedule
        assert [phase.first for phase in phases] == [0, len(phases[0].steps)][: len(phases)]
        for phase in phases:
            high = phase.expert == "transformer"
            assert all((step.timestep >= 875) == high for step in phase.steps)


def test_a_first_frame_has_a_time_of_its_own(
    studio_for: Callable[..., Any], request_for: Callable[..., Request]
) -> None:
    from wan_core.pipeline.denoise import expand_timesteps

    schedule = studio_for("t2v", request_for()).schedule
    alone, framed = expand_timesteps(schedule, 0, 4), expand_timesteps(schedule, 1, 4)
    assert alone.shape == (3, 1, 1)
    assert framed.shape == (3, 1, 4)
    assert (framed[:, :, 0] == 0).all()
    assert (framed[:, :, 1:] == alone).all()


def test_noise_is_drawn_on_the_cpu_in_float32() -> None:
    import torch

    from wan_core.pipeline.denoise import draw_noise

    with torch.device("meta"):  # whatever the device at hand
        noise = draw_noise((1, 4, 2, 3, 3), 7)
    expected = torch.randn((1, 4, 2, 3, 3), generator=torch.Generator().manual_seed(7))
    assert noise.device.type == "cpu"
    assert torch.equal(noise, expected)


def test_a_gpus_step_is_told_when_it_is_done_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """The host launches a step ahead; a stream that records what is asked of it stands for CUDA's."""
    import torch

    from wan_core.pipeline.denoise import Pace

    story: list[str] = []

    class Event:
        def __init__(self, number: int) -> None:
            self.number = number

        def synchronize(self) -> None:
            story.append(f"waited for {self.number}")

    class Stream:
        def __init__(self) -> None:
            self.events = 0

        def record_event(self) -> Event:
            self.events += 1
            return Event(self.events)

    stream = Stream()
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _device: stream)
    pace = Pace(torch.device("cuda"), lambda n: story.append(f"told {n}"))
    for number in (1, 2, 3):
        story.append(f"launched {number}")
        pace.launched(number)
    pace.finish()
    assert story == [
        *("launched 1", "launched 2", "waited for 1", "told 1"),
        *("launched 3", "waited for 2", "told 2", "waited for 3", "told 3"),
    ]
