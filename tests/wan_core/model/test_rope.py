"""Rotary positions: angles by axis, a rotation that keeps lengths and tells distances only."""

from __future__ import annotations

import pytest
import torch

from wan_core.kernels.ops import rotate
from wan_core.model.rope import build_rope


@pytest.mark.parametrize(
    ("head_dim", "pairs"),
    [pytest.param(128, (22, 21, 21), id="of every published model"), pytest.param(12, (2, 2, 2), id="small")],
)
def test_each_axis_has_its_own_pairs_of_channels(head_dim: int, pairs: tuple[int, int, int]) -> None:
    """Moving along one axis alone changes the angles of its pairs alone."""
    angles = torch.atan2(*reversed(build_rope((2, 2, 2), head_dim))).view(2, 2, 2, -1)
    moved = [angles[1, 0, 0], angles[0, 1, 0], angles[0, 0, 1]]
    owners = torch.repeat_interleave(torch.arange(3), torch.tensor(pairs))
    for axis, angle in enumerate(moved):
        assert ((angle - angles[0, 0, 0]).abs() > 0).eq(owners == axis).all()
        assert angle[owners == axis][0] == pytest.approx(1.0)  # the first frequency of each axis is 1


def test_tables_are_float32_in_the_order_of_tokens() -> None:
    rope = build_rope((3, 4, 5), 128)
    assert (rope.cos.shape, rope.cos.dtype) == ((60, 64), torch.float32)
    angle = torch.atan2(rope.sin, rope.cos)[2 * 20 + 3 * 5 + 1]  # t 2, h 3, w 1
    assert [float(angle[i]) for i in (0, 22, 43)] == pytest.approx([2.0, 3.0, 1.0])


def test_a_rotation_keeps_lengths() -> None:
    rope, x = build_rope((3, 4, 5), 12), torch.randn(2, 60, 24)
    turned = rotate(x, rope.cos, rope.sin, 2)
    torch.testing.assert_close(turned.norm(dim=-1), x.unflatten(-1, (2, 12)).norm(dim=-1))


def test_products_depend_on_the_distance_alone() -> None:
    """q at one token times k at another is the same wherever the pair of them stands."""
    rope, (q, k) = build_rope((4, 5, 6), 12), torch.randn(2, 1, 1, 12)
    q, k = (rotate(x.expand(1, 120, 12), rope.cos, rope.sin, 1).view(4, 5, 6, 12) for x in (q, k))
    products = (q[:-1, :-2, :-3] * k[1:, 2:, 3:]).sum(-1)
    torch.testing.assert_close(products, products[:1, :1, :1].expand_as(products))
