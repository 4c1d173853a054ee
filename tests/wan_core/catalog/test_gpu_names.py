"""What people call a GPU."""

from __future__ import annotations

import pytest

from wan_core.catalog.gpu_card import GpuCard
from wan_core.catalog.gpu_names import find_gpu_name, read_gpu_name
from wan_core.catalog.gpus import GPUS
from wan_core.errors import InvalidInput


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("4090", "RTX 4090"),
        ("rtx 4090", "RTX 4090"),
        ("RTX4090", "RTX 4090"),
        ("2080ti", "RTX 2080 Ti"),
        ("4090 laptop", "RTX 4090 Laptop"),
        ("3080-12", "RTX 3080 12GB"),
        ("RTX 4060 Ti 16GB", "RTX 4060 Ti 16GB"),
        ("h100", "H100 SXM"),
        ("H100-80", "H100 SXM"),
        ("H100-94", "H100 NVL"),
        ("h100 nvl", "H100 NVL"),
        ("A100-80", "A100 SXM 80GB"),
        ("A100-40", "A100 SXM 40GB"),
        ("v100-32", "V100 SXM 32GB"),
        ("L4-24", "L4"),
        ("NVIDIA-L4", "L4"),
        ("NVIDIA-H100-80GB-HBM3", "H100 SXM"),
        ("rtx pro 6000", "RTX PRO 6000 Blackwell"),
        ("6000 ada", "RTX 6000 Ada"),
        ("dgx spark", "GB10"),
        ("mi300x", "MI300X"),
        ("b580", "Arc B580"),
        ("h100 3g.40gb", "H100 SXM 3g.40gb"),
        ("A100-80 MIG 1g.10gb", "A100 SXM 80GB 1g.10gb"),
    ],
)
def test_a_name_is_read_as_people_write_it(text: str, name: str) -> None:
    assert read_gpu_name(text, "--gpus").name == name


@pytest.mark.parametrize("card", GPUS, ids=lambda card: card.name)
def test_the_tables_own_name_is_read(card: GpuCard) -> None:
    assert read_gpu_name(card.name, "--gpus") is card
    assert read_gpu_name(card.name.lower().replace(" ", "-"), "--gpus") is card


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a100", r'--gpus: "a100" could be A100 SXM 40GB, A100 SXM 80GB: write which'),
        ("3080", "could be RTX 3080 10GB, RTX 3080 12GB"),
        ("RTX 5095", "is not in the table of GPUs; nearest: RTX 5090"),
        ("rtx 6000", "nearest: .*RTX 6000 Ada"),
        ("Apple M3 Max", "nothing here runs on Apple's GPUs"),
        ("m2", "nothing here runs on Apple's GPUs"),
        ("h100 9g.90gb", "H100 SXM has no slice"),
        ("zzz", '"zzz" is not in the table of GPUs$'),
    ],
)
def test_what_is_ambiguous_or_unknown_is_refused_with_names(text: str, told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        read_gpu_name(text, "--gpus")


def test_an_unknown_name_may_be_asked_for() -> None:
    assert find_gpu_name("zzz", "--gpus") is None
