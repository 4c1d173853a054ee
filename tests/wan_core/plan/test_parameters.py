"""The formulas against the real classes, built without memory for their weights."""

from __future__ import annotations

import pytest

from tests.wan_core.catalog.classes import build_transformer
from wan_core.catalog.architecture import ModelCard
from wan_core.catalog.models import MODELS
from wan_core.plan.shapes import block_bytes, count_parameters, text_projection_bytes, transformer_bytes

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("card", [pytest.param(c, id=c.id) for c in MODELS.values() if not c.cannot_run])
def test_transformers_weigh_what_is_built(card: ModelCard) -> None:
    import torch

    from wan_core.model.transformer import FP32, WanTransformer
    from wan_core.weights.configs import config_of

    t = card.transformer
    with torch.device("meta"):
        model = WanTransformer(config_of(card))
        assert sum(p.numel() for p in build_transformer(card).parameters()) == count_parameters(t).total
    kept = set(FP32)

    def weigh(module: torch.nn.Module, prefix: str = "") -> tuple[int, int]:
        named = [(set(f"{prefix}{name}".split(".")), p.numel()) for name, p in module.named_parameters()]
        return sum(n for _, n in named), sum(n for path, n in named if path & kept)

    count = count_parameters(t)
    assert weigh(model) == (count.total, count.kept_fp32)
    assert weigh(model.blocks[0]) == (count.block, count.block_kept_fp32)
    assert transformer_bytes(t) == 2 * count.total + 2 * count.kept_fp32
    assert block_bytes(t) == 2 * count.block + 2 * count.block_kept_fp32
    kv, norm = (model.blocks[0].get_submodule(f"cross_attention.{name}") for name in ("kv", "norm_k"))
    beside = sum(2 * p.numel() for p in kv.parameters()) + sum(4 * p.numel() for p in norm.parameters())
    assert text_projection_bytes(t) == beside
