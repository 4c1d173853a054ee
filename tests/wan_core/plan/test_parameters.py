"""The formulas against the real classes, built without memory for their weights, in every precision.

Text encoders and VAEs are counted in tests/wan_core/catalog/test_parameters.py.
"""

from __future__ import annotations

import pytest

from tests.wan_core.catalog.classes import build_transformer
from wan_core.catalog.architecture import ModelCard
from wan_core.catalog.models import MODELS
from wan_core.plan.shapes import (
    block_bytes,
    count_parameters,
    streamed_block_bytes,
    text_projection_bytes,
    transformer_bytes,
)

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("card", [pytest.param(c, id=c.id) for c in MODELS.values() if not c.cannot_run])
def test_transformers_weigh_what_is_built(card: ModelCard) -> None:
    import torch

    from wan_core.model.transformer import FP32, WanTransformer, stays_fp32
    from wan_core.pipeline.streaming import BESIDE_FORWARD
    from wan_core.weights.configs import config_of

    t = card.transformer
    with torch.device("meta"):
        model = WanTransformer(config_of(card))
        assert sum(p.numel() for p in build_transformer(card).parameters()) == count_parameters(t).total
    kept = set(FP32)

    def weigh(module: torch.nn.Module, prefix: str = "") -> tuple[int, int]:
        named = [(set(f"{prefix}{name}".split(".")), p.numel()) for name, p in module.named_parameters()]
        return sum(n for _, n in named), sum(n for path, n in named if path & kept)

    def nbytes(module: torch.nn.Module) -> int:
        return sum(tensor.nbytes for tensor in module.parameters())

    count = count_parameters(t)
    assert weigh(model) == (count.total, count.kept_fp32)
    assert weigh(model.blocks[0]) == (count.block, count.block_kept_fp32)
    for precision, number in ((torch.bfloat16, 2), (torch.float32, 4)):
        for name, tensor in model.named_parameters():
            tensor.data = tensor.data.to(torch.float32 if stays_fp32(name) else precision)
        assert transformer_bytes(t, number) == nbytes(model)
        assert block_bytes(t, number) == nbytes(model.blocks[0])
        beside = [model.blocks[0].get_submodule(name) for name in BESIDE_FORWARD]
        assert text_projection_bytes(t, number) == sum(map(nbytes, beside))
        assert streamed_block_bytes(t, number) == nbytes(model.blocks[0]) - sum(map(nbytes, beside))
