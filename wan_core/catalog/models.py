"""The models, as data: those of the architecture that the runner has, and others that it cannot run.

A model that cannot run yet is in the table all the same, with the reason: its id is right, its time is not.
Plans, memory and time are reckoned from `MODELS` alone; `OTHERS` are told about.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from wan_core.catalog.architecture import Card, ModelCard, OtherCard
from wan_core.catalog.others import ANIMATEDIFF, SVD, SVD_XT
from wan_core.catalog.tiny import WAN_TINY, WAN_TINY_I2V
from wan_core.catalog.wan import (
    ANIMATE_14B,
    I2V_A14B,
    S2V_14B,
    T2V_1_3B,
    T2V_A14B,
    TI2V_5B,
    UMT5_XXL,
    VAE_21,
    VAE_22,
)

__all__ = [
    "ENTRIES",
    "I2V_A14B",
    "MODELS",
    "OTHERS",
    "T2V_1_3B",
    "T2V_A14B",
    "TI2V_5B",
    "UMT5_XXL",
    "VAE_21",
    "VAE_22",
    "WAN_TINY",
    "WAN_TINY_I2V",
]

MODELS: Mapping[str, ModelCard] = MappingProxyType(
    {
        card.id: card
        for card in (T2V_A14B, I2V_A14B, TI2V_5B, T2V_1_3B, S2V_14B, ANIMATE_14B, WAN_TINY, WAN_TINY_I2V)
    }
)
OTHERS: Mapping[str, OtherCard] = MappingProxyType({card.id: card for card in (SVD, SVD_XT, ANIMATEDIFF)})
ENTRIES: Mapping[str, Card] = MappingProxyType({**MODELS, **OTHERS})
