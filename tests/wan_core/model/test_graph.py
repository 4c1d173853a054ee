"""The graph is static: captured whole, once, and never again for the same shapes."""

from __future__ import annotations

import ast
import inspect
from types import ModuleType

import pytest
import torch
from torch._dynamo.testing import CompileCounter
from torch._dynamo.utils import counters

from tests.wan_core.model.variants import (
    SMALL,
    VARIANTS,
    build_ours,
    generate,
    inputs_of,
    relative_l2,
    run_ours,
)
from wan_core.kernels import ops
from wan_core.model import transformer as model_file
from wan_core.model.transformer import WanTransformer

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("fresh_dynamo")]
DECISIONS = (ast.If, ast.IfExp, ast.While, ast.Match, ast.BoolOp, ast.Compare, ast.Try, ast.Assert)


@pytest.mark.parametrize("module", [model_file, ops], ids=["transformer", "ops"])
def test_a_forward_has_no_branch(module: ModuleType) -> None:
    """What there is to decide is decided in `__init__`."""
    nodes = ast.walk(ast.parse(inspect.getsource(module)))
    run = [node for node in nodes if isinstance(node, ast.FunctionDef) and node.name != "__init__"]
    deciding = [f.name for f in run if any(isinstance(node, DECISIONS) for node in ast.walk(f))]
    sieving = [f.name for f in run if any(getattr(node, "ifs", []) for node in ast.walk(f))]
    assert {"forward", "prepare_text"} <= {f.name for f in run} or module is ops
    assert deciding + sieving == []


@pytest.mark.parametrize("name", ["ti2v-5B", "without cross_attn_norm", "without qk_norm"])
def test_it_is_captured_as_one_graph(name: str) -> None:
    model, inputs = build_ours(VARIANTS[name]), inputs_of(name)
    text = model.prepare_text(inputs.states)
    told = torch._dynamo.explain(model)(inputs.latents, inputs.timestep, text, inputs.rope)
    assert (told.graph_count, told.graph_break_count) == (1, 0)


@torch.no_grad()
@pytest.mark.parametrize("name", ["ti2v-5B", "without cross_attn_norm", "without qk_norm"])
def test_it_is_exported_whole_and_computes_the_same(name: str) -> None:
    model, inputs = build_ours(VARIANTS[name]), inputs_of(name)
    text = model.prepare_text(inputs.states)
    exported = torch.export.export(model, (inputs.latents, inputs.timestep, text, inputs.rope))
    found = exported.module()(inputs.latents, inputs.timestep, text, inputs.rope)
    assert relative_l2(found, run_ours(model, inputs)) <= 1e-6


@torch.no_grad()
def test_preparing_text_is_exported_too() -> None:
    class Text(torch.nn.Module):
        def __init__(self, model: WanTransformer) -> None:
            super().__init__()
            self.model = model

        def forward(self, states_BSE: torch.Tensor) -> torch.Tensor:
            return self.model.prepare_text(states_BSE)

    model, states = build_ours(SMALL), torch.randn(1, 20, SMALL.text_dim)
    found = torch.export.export(Text(model), (states,)).module()(states)
    assert relative_l2(found, model.prepare_text(states)) <= 1e-6


@torch.no_grad()
@pytest.mark.parametrize("per_frame", [False, True], ids=["one timestep", "one for each frame"])
def test_two_generations_of_one_shape_compile_once(per_frame: bool) -> None:
    compiled, transformer = CompileCounter(), build_ours(SMALL)
    model = torch.compile(transformer, fullgraph=True, backend=compiled)
    for seed in (0, 1):
        generate(model, transformer, seed, per_frame=per_frame)
    assert compiled.frame_count == 1
    assert counters["stats"]["unique_graphs"] == 1
    assert not counters["graph_break"]
