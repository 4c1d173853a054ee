"""A prompt is prepared once, and never taken for another one."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from tests.wan_core.model.variants import SMALL, build_ours
from wan_core.model.transformer import WanTransformer
from wan_core.pipeline.prepared import PreparedTexts


@pytest.fixture(autouse=True)
def _no_grad() -> Iterator[None]:
    with torch.no_grad():
        yield


class Counted:
    """Texts of a model, and how often one was prepared."""

    def __init__(self) -> None:
        self.times = 0
        self.model = build_ours(SMALL)
        self.texts = PreparedTexts()
        self.model.text_in.register_forward_hook(self._count)

    def prepare(self, states: Tensor) -> Tensor:
        return self.texts.prepare(self.model, states)

    def _count(self, *_: object) -> None:
        self.times += 1


def draw_states(seed: int = 0) -> Tensor:
    return torch.randn(1, 20, SMALL.text_dim, generator=torch.Generator().manual_seed(seed))


def test_each_prompt_is_prepared_once() -> None:
    counted, prompts = Counted(), [draw_states(1), draw_states(2)]
    for _step in range(3):
        for states in prompts:
            assert torch.equal(counted.prepare(states), build_ours(SMALL).prepare_text(states))
    assert counted.times == 2


def written_to(_model: WanTransformer, states: Tensor) -> None:
    states.mul_(-1)


def written_to_in_inference_mode(_model: WanTransformer, states: Tensor) -> None:
    with torch.inference_mode():
        states.mul_(-1)


def given_other_memory(_model: WanTransformer, states: Tensor) -> None:
    states.set_(draw_states(1))


def weights_written_to(model: WanTransformer, _states: Tensor) -> None:
    model.blocks[1].cross_attention.kv.weight.mul_(2)


def weights_replaced(model: WanTransformer, _states: Tensor) -> None:
    model.load_state_dict({name: tensor * 1.5 for name, tensor in model.state_dict().items()}, assign=True)


CHANGES = (written_to, written_to_in_inference_mode, given_other_memory, weights_written_to, weights_replaced)


@pytest.mark.parametrize("change", CHANGES)
def test_it_is_prepared_anew_after(change: Callable[[WanTransformer, Tensor], None]) -> None:
    counted, states = Counted(), draw_states()
    before = counted.prepare(states)
    change(counted.model, states)
    after = counted.prepare(states)
    assert not torch.equal(after, before)
    assert torch.equal(after, counted.model.prepare_text(states))


def test_a_prompt_at_the_address_of_one_that_is_gone_is_another_prompt() -> None:
    counted, addresses = Counted(), set()
    for seed in range(500):
        states = draw_states(seed)
        came_back = id(states) in addresses
        addresses.add(id(states))
        assert torch.equal(counted.prepare(states), build_ours(SMALL).prepare_text(states))
        del states
        if came_back and seed >= 20:
            break
    assert counted.times == seed + 1
    assert came_back, "no address came back: this run tells nothing"


def test_nothing_is_kept_of_a_prompt_that_is_gone() -> None:
    counted, states = Counted(), draw_states()
    counted.prepare(states)
    assert len(counted.texts._held) == 1
    del states
    assert len(counted.texts._held) == 0


def test_gradients_are_never_taken_through_a_kept_prompt() -> None:
    counted, states = Counted(), draw_states()
    counted.prepare(states)
    with torch.enable_grad():
        for _ in range(2):
            counted.prepare(states).square().mean().backward()
    assert counted.times == 3


def test_a_tensor_whose_writes_are_not_counted_is_prepared_every_time() -> None:
    counted = Counted()
    with torch.inference_mode():
        states = draw_states()
        before = counted.prepare(states)
        states.mul_(-1)
        assert not torch.equal(counted.prepare(states), before)
