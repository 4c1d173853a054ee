from __future__ import annotations

from typing import Any

import pytest

from wan_core.errors import IntegrityError

pytestmark = pytest.mark.slow  # imports diffusers

UNIPC = {
    "_class_name": "UniPCMultistepScheduler",
    "prediction_type": "flow_prediction",
    "use_flow_sigmas": True,
}
CONFIGS: dict[str, dict[str, Any]] = {
    "UniPC": UNIPC,
    "UniPC of order 3": {**UNIPC, "solver_order": 3},
    "UniPC without its corrector at first": {**UNIPC, "disable_corrector": [0, 1]},
    "Euler": {"_class_name": "FlowMatchEulerDiscreteScheduler"},
}


def speak(latents: Any, step: int) -> Any:
    """A velocity that depends on what it is told."""
    import torch

    return torch.sin(3 * latents + step)


@pytest.mark.parametrize("steps", [1, 2, 3, 20, 50])
@pytest.mark.parametrize("name", CONFIGS)
def test_a_table_takes_the_steps_of_its_scheduler(name: str, steps: int) -> None:
    import torch

    from wan_core.pipeline.schedule import advance, begin, build_scheduler, read_schedule

    schedule = read_schedule(build_scheduler(CONFIGS[name], 5.0), steps)
    theirs = build_scheduler(CONFIGS[name], 5.0)
    theirs.set_timesteps(steps)
    noise = torch.randn(1, 2, 3, 4, 5, generator=torch.Generator().manual_seed(steps))
    latents, state = noise, begin(schedule, noise)
    assert [step.timestep for step in schedule] == theirs.timesteps.tolist()
    for number, timestep in enumerate(theirs.timesteps):
        latents = theirs.step(speak(latents, number), timestep, latents).prev_sample
        state = advance(schedule[number], state, speak(state[0], number))
        assert torch.dist(state[0], latents) / latents.norm() < 1e-5
    assert state[0].isfinite().all()


def test_a_step_leaves_what_it_was_given_alone() -> None:
    import torch

    from wan_core.pipeline.schedule import advance, begin, build_scheduler, read_schedule

    schedule = read_schedule(build_scheduler(UNIPC, 3.0), 3)
    state = begin(schedule, torch.ones(1, 1, 1, 2, 2))
    for step in schedule:
        before = [None if tensor is None else tensor.clone() for tensor in state]
        velocity = torch.full_like(state[0], 0.5)
        after = advance(step, state, velocity)
        assert all(b is None or torch.equal(a, b) for a, b in zip(state, before, strict=True))
        assert (velocity == 0.5).all()
        state = after


@pytest.mark.parametrize("shift", [1.0, 3.0, 12.0])
def test_the_shift_is_the_requests(shift: float) -> None:
    from wan_core.pipeline.schedule import build_scheduler, read_schedule

    middle = read_schedule(build_scheduler({**UNIPC, "flow_shift": 7.0}, shift), 2)[1].timestep
    assert middle == pytest.approx(1000 * shift * 0.5 / (1 + (shift - 1) * 0.5), abs=2)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "another class": ({"_class_name": "DDIMScheduler"}, "DDIMScheduler"),
    "no class": ({}, "is a None"),
    "clipping": ({**UNIPC, "thresholding": True}, "thresholding is True"),
    "another length of noise": (
        {**UNIPC, "num_train_timesteps": 500},
        "num_train_timesteps is 500, not 1000",
    ),
    "no number of timesteps": ({**CONFIGS["Euler"], "num_train_timesteps": "many"}, 'is "many", not 1000'),
    "noise that is said": ({**UNIPC, "prediction_type": "epsilon"}, 'is "epsilon", not "flow_prediction"'),
    "nothing that is said": ({"_class_name": "UniPCMultistepScheduler"}, 'prediction_type is "epsilon"'),
    "what the class refuses": ({**UNIPC, "solver_type": "fnord"}, "scheduler: .*fnord"),
    "noise": ({**CONFIGS["Euler"], "stochastic_sampling": True}, "stochastic_sampling"),
}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        pytest.param({**UNIPC, "solver_order": "two"}, "sequence", id="an order that is no number"),
        pytest.param({**UNIPC, "use_exponential_sigmas": True}, "not finite", id="no numbers"),
        pytest.param({**CONFIGS["Euler"], "invert_sigmas": True}, "timesteps that rise", id="to noise"),
    ],
)
def test_a_scheduler_that_makes_no_steps_is_refused(config: dict[str, Any], message: str) -> None:
    from wan_core.pipeline.schedule import build_scheduler, read_schedule

    with pytest.raises(IntegrityError, match=f"^scheduler: .*{message}"):
        read_schedule(build_scheduler(config, 3.0), 3)


@pytest.mark.parametrize("name", REFUSED)
def test_a_scheduler_that_is_no_table_is_refused(name: str) -> None:
    from wan_core.pipeline.schedule import build_scheduler

    config, message = REFUSED[name]
    with pytest.raises(IntegrityError, match=message):
        build_scheduler(config, 3.0)
