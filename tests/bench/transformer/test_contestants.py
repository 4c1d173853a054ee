"""Both transformers at small sizes behind one face."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from bench.transformer.activations import BUILDERS, count
from bench.transformer.contestants import Contestant, build_diffusers, build_ours
from bench.transformer.kernels import CALLS
from bench.transformer.report import BYTES_A_TOKEN
from bench.transformer.workloads import TI2V_704P, WORKLOADS, shrink
from wan_core.kernels.ops import Ops

CPU = torch.device("cpu")
SMALL = shrink(WORKLOADS[TI2V_704P])


@pytest.fixture(params=[build_ours, build_diffusers], ids=["ours", "diffusers"])
def contestant(request: pytest.FixtureRequest) -> Contestant:
    torch.manual_seed(0)
    return request.param(SMALL, CPU, torch.bfloat16)


@torch.no_grad()
def test_a_forward_gives_a_velocity_for_either_prompt(contestant: Contestant) -> None:
    first, second = contestant.forward(0), contestant.forward(1)
    assert first.shape == (1, SMALL.transformer.out_channels, *SMALL.latents)
    assert not torch.equal(first, second)


@torch.no_grad()
def test_one_block_runs_alone_on_what_a_forward_gives_it(contestant: Contestant) -> None:
    before = contestant.forward(0)
    assert contestant.block()().shape == (1, SMALL.tokens, SMALL.transformer.dim)
    assert torch.equal(contestant.forward(0), before)


def test_weights_are_in_the_dtypes_of_a_loaded_model(contestant: Contestant) -> None:
    dtypes = {name: parameter.dtype for name, parameter in contestant.model.named_parameters()}
    assert {dtype for name, dtype in dtypes.items() if "ffn" in name} == {torch.bfloat16}
    assert {dtype for name, dtype in dtypes.items() if "time_embedder" in name or "time_in" in name} == {
        torch.float32
    }


def test_both_have_the_same_number_of_parameters() -> None:
    ours, theirs = (build(SMALL, CPU, torch.bfloat16) for build in (build_ours, build_diffusers))
    assert sum(p.numel() for p in ours.model.parameters()) == sum(
        p.numel() for p in theirs.model.parameters()
    )


def test_every_operation_of_a_bundle_has_a_row() -> None:
    assert set(CALLS) == {field.name for field in dataclasses.fields(Ops)} - {"name"}


def test_operations_in_place_hold_less_than_their_references() -> None:
    held = {name: count(SMALL, build)["bytes_a_token"] for name, build in BUILDERS.items()}
    assert held["ours, triton"] < held["ours, torch"]


@pytest.mark.slow  # fake tensors at true sizes
@pytest.mark.parametrize("name", WORKLOADS)
def test_operations_in_place_hold_at_most_the_wanted_bytes_a_token(name: str) -> None:
    assert 0 < count(WORKLOADS[name], BUILDERS["ours, triton"])["bytes_a_token"] <= BYTES_A_TOKEN
