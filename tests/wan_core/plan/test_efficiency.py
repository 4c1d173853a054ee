"""Each share has a source, belongs to a card that there is, and is a share."""

from __future__ import annotations

import pytest

from wan_core.catalog.gpu_card import GpuCard
from wan_core.catalog.gpus import GPUS, find_gpu
from wan_core.plan.efficiency import PUBLISHED, class_of, find_efficiency

NAMES = {gpu.name: gpu for gpu in GPUS}


@pytest.mark.parametrize("key", PUBLISHED, ids="/".join)
def test_a_published_row_is_of_cards_of_the_table_in_its_class(key: tuple[str, str, str]) -> None:
    row = PUBLISHED[key]
    assert row.source
    assert len({NAMES[name].profile for name in row.cards}) == 1
    for name in row.cards:
        assert class_of(NAMES[name]) == key[0]
        found = find_efficiency(NAMES[name], key[1])
        assert (found.basis, found.backend) == ("published", key[2])
        assert (found.linear, found.attention) == (row.linear, row.attention)


@pytest.mark.parametrize("gpu", GPUS, ids=lambda gpu: gpu.name)
def test_every_card_has_shares_of_its_peak_with_a_source(gpu: GpuCard) -> None:
    found = find_efficiency(gpu, "fp32" if gpu.profile == "older" else "bf16")
    for share in (found.linear, found.attention):
        assert 0 < share.low <= share.high <= 1
    assert found.source
    if found.basis == "unmeasured":
        assert not found.linear.is_point
        assert not found.attention.is_point


@pytest.mark.parametrize(
    ("product", "words"),
    [
        pytest.param("NVIDIA-L4", "of RTX 4090 and RTX 4090 D, and down to x0.6", id="another of the class"),
        pytest.param("NVIDIA-GeForce-RTX-3090", "published of Ada/Ampere", id="another of the profile"),
        pytest.param("Tesla-T4", "assumed of older in bf16", id="nothing published"),
    ],
)
def test_a_guess_says_what_it_is_made_of(product: str, words: str) -> None:
    gpu = find_gpu(product)
    assert gpu is not None
    found = find_efficiency(gpu, "bf16")
    assert found.basis == "unmeasured"
    assert words in found.source


def test_a_guess_holds_all_that_is_published_of_its_profile() -> None:
    gpu = find_gpu("NVIDIA-GeForce-RTX-3090")
    assert gpu is not None
    guess = find_efficiency(gpu, "bf16")
    kin = [row for row in PUBLISHED.values() if NAMES[min(row.cards)].profile == gpu.profile]
    assert len(kin) > 1
    for row in kin:
        assert guess.linear.low <= row.linear.low
        assert row.attention.high <= guess.attention.high
