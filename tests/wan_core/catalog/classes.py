"""diffusers' transformer for a card of the catalogue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wan_core.catalog.architecture import ModelCard
from wan_core.weights.configs import config_of, write_config

if TYPE_CHECKING:
    from diffusers import WanTransformer3DModel


def build_transformer(card: ModelCard) -> WanTransformer3DModel:
    """Of random weights; within `torch.device("meta")` of none."""
    from diffusers import WanTransformer3DModel

    return WanTransformer3DModel.from_config(write_config(config_of(card)))
