"""What follows from a card: peaks by cores and clock, the rule that routes it, its slices."""

from __future__ import annotations

import pytest

from wan_core import devices
from wan_core.catalog.gpu_card import GpuCard, Vendor, profile_of
from wan_core.catalog.gpus import GPUS, find_gpu
from wan_core.errors import IncompatibleHardware

# As the whitepapers print them: dense, fp32 accumulation.
PRINTED = [
    ("RTX 2080 Ti", {"fp32": 13.4, "fp16": 53.8}),
    ("RTX 2080", {"fp32": 10.1, "fp16": 40.3}),
    ("RTX 3070", {"fp32": 20.3, "bf16": 40.6}),
    ("RTX 3080 10GB", {"fp32": 29.8, "tf32": 29.8, "bf16": 59.5}),
    ("RTX 3090", {"fp32": 35.6, "tf32": 35.6, "bf16": 71.0}),
    ("RTX A6000", {"fp32": 38.7, "tf32": 77.4, "bf16": 154.8}),
    ("RTX 4080", {"fp32": 48.7, "bf16": 97.5, "fp8": 194.9}),
    ("RTX 4090", {"fp32": 82.6, "tf32": 82.6, "bf16": 165.2, "fp8": 330.3}),
    ("RTX 6000 Ada", {"fp32": 91.1, "tf32": 182.1, "bf16": 364.2, "fp8": 728.5}),
    ("RTX 5080", {"fp32": 56.3, "bf16": 112.6, "fp8": 225.1, "fp4": 900.4}),
    ("RTX 5090", {"fp32": 104.8, "bf16": 209.5, "fp8": 419.0, "fp4": 1676.0}),
    ("RTX PRO 6000 Blackwell", {"fp32": 126.0, "bf16": 503.8}),
]
ROUTED = {
    "Blackwell": "Blackwell",
    "Blackwell RTX": "Blackwell",
    "Hopper": "Hopper",
    "Ada": "Ada/Ampere",
    "Ampere": "Ada/Ampere",
    "Volta or Turing": "older",
    "Maxwell or Pascal": "older",
}
CAPABILITIES = [
    (5, 0),
    (6, 1),
    (7, 0),
    (7, 5),
    (8, 0),
    (8, 6),
    (8, 9),
    (9, 0),
    (10, 0),
    (10, 3),
    (12, 0),
    (12, 1),
]


@pytest.mark.parametrize(("name", "printed"), PRINTED, ids=[name for name, _ in PRINTED])
def test_derived_peaks_are_those_that_were_printed(name: str, printed: dict[str, float]) -> None:
    card = find_gpu(name)
    assert card is not None
    assert {p: card.tflops[p] for p in printed} == pytest.approx(printed, rel=0.005)  # type: ignore[index]


@pytest.mark.parametrize("capability", CAPABILITIES, ids=str)
def test_the_profile_of_an_nvidia_gpu_is_the_rule_that_routes_it(capability: tuple[int, int]) -> None:
    assert profile_of("NVIDIA", capability) == ROUTED[devices.route_cuda(capability).name]


@pytest.mark.parametrize(("vendor", "kind"), [("AMD", "rocm"), ("Intel", "xpu"), ("CPU", "cpu")])
def test_the_profile_of_other_devices_is_the_rule_that_routes_them(vendor: Vendor, kind: str) -> None:
    assert profile_of(vendor, None) == devices.OTHERS[kind].name


def test_what_no_rule_routes_has_no_profile() -> None:
    assert profile_of("NVIDIA", (3, 7)) is None
    with pytest.raises(IncompatibleHardware):
        devices.route_cuda((3, 7))


@pytest.mark.parametrize("card", [c for c in GPUS if c.vendor == "NVIDIA"], ids=lambda card: card.name)
def test_tf32_and_bf16_are_where_the_routes_have_them(card: GpuCard) -> None:
    assert card.compute_capability is not None
    route = devices.route_cuda(card.compute_capability)
    assert route.tf32 == ("tf32" not in card.cannot)


def test_a_card_can_be_a_key() -> None:
    assert len({card: card.name for card in GPUS}) == len(GPUS)


@pytest.mark.parametrize(
    ("product", "compute", "bandwidth", "gib"),
    [
        ("NVIDIA-A100-SXM4-40GB-MIG-1g.5gb", 1 / 7, 1 / 8, 4.75),
        ("NVIDIA-A100-SXM4-80GB-MIG-3g.40gb", 3 / 7, 4 / 8, 39.25),
        ("NVIDIA-H100-80GB-HBM3-MIG-1g.10gb", 1 / 7, 1 / 8, 9.75),
        ("NVIDIA-H100-80GB-HBM3-MIG-1g.20gb", 1 / 7, 2 / 8, 19.62),
        ("NVIDIA-H100-80GB-HBM3-MIG-7g.80gb", 1.0, 1.0, 79.25),
        ("NVIDIA H200 MIG 2g.35gb", 2 / 7, 2 / 8, 34.5),
        ("NVIDIA-A30-MIG-2g.12gb.me", 2 / 4, 2 / 4, 11.8),
        ("NVIDIA-A30-MIG-1g.6gb+me", 1 / 4, 1 / 4, 5.9),
        ("NVIDIA H100 80GB HBM3 MIG 1c.3g.40gb", 1 / 7, 4 / 8, 39.5),
    ],
)
def test_a_slice_has_its_share_of_the_card(
    product: str, compute: float, bandwidth: float, gib: float
) -> None:
    part, whole = find_gpu(product), find_gpu(product.replace(" MIG", "-MIG").split("-MIG")[0])
    assert part is not None
    assert whole is not None
    assert part.bf16_tflops == pytest.approx((whole.bf16_tflops or 0) * compute, abs=0.1)
    assert part.bandwidth_gbps == pytest.approx((whole.bandwidth_gbps or 0) * bandwidth, abs=0.1)
    assert 0.9 * gib < part.memory_gib <= gib + 0.01
    assert find_gpu(part.name) == part
