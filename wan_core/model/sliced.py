"""The transformer by slices of tokens: fewer rows are alive at a time, and every sum is that of the whole.

Of all tokens only the stream and q, k and v are kept. Norms, projections, the attention of a slice's queries
to all keys, cross-attention and feed-forward see one slice of one sample. Not for training: the stream is
written where it lies. Suffixes are those of `transformer`; R rows are a slice's, M its groups of timesteps.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import ClassVar

from torch import Tensor

from wan_core.kernels.attention import Attend
from wan_core.kernels.ops import Ops
from wan_core.model.rope import Rope
from wan_core.model.transformer import Block, Head, WanTransformer

SLICE_TOKENS = 4096
"""Rows of a slice at most. Products of 4,096 rows by the narrowest model's 1,536 channels are 384 tiles of
128 x 128, enough for every GPU's multiprocessors (RTX 5090: 170) twice over; and what is alive of a slice of
the widest, 0.5 GiB, is less than the two blocks of weights beside it while they are streamed. Not measured.
"""

Place = tuple[slice, slice, slice]
"""Of a slice: its sample, its tokens, and the groups of timesteps that they belong to."""


class SlicedTransformer(WanTransformer):
    """WanTransformer with the same weights and results, blocks and head by slices."""

    def build_block(self, ops: Ops, attend: Attend) -> Block:
        return SlicedBlock(self.config, ops, attend)

    def build_head(self, ops: Ops) -> Head:
        return SlicedHead(self.config, ops)


class SlicedBlock(Block):
    """First q, k and v of every slice; then, slice by slice, all that comes after them."""

    COMPILED: ClassVar[tuple[str, ...]] = ("project", "finish")

    def forward(self, x_BLD: Tensor, modulation_BN6D: Tensor, text_kv: Tensor, rope: Rope) -> Tensor:
        places = list(divide(*x_BLD.shape[:2], modulation_BN6D.shape[1], SLICE_TOKENS))
        shape = (*x_BLD.shape[:2], self.cross_attention.heads, -1)
        q, k, v = (x_BLD.new_empty(x_BLD.shape).view(shape) for _ in range(3))
        for sample, rows, groups in places:
            here, modulation = x_BLD[sample, rows], modulation_BN6D[sample, groups]
            tables = Rope(rope.cos[rows], rope.sin[rows])
            _keep((q[sample, rows], k[sample, rows], v[sample, rows]), self.project(here, modulation, tables))
        for sample, rows, groups in places:
            here, modulation = x_BLD[sample, rows], modulation_BN6D[sample, groups]
            heads = (q[sample, rows], k[sample], v[sample])
            _keep((here,), (self.finish(here, *heads, modulation, text_kv[:, sample]),))
        return x_BLD

    def project(self, x_BRD: Tensor, modulation_BM6D: Tensor, rope: Rope) -> tuple[Tensor, Tensor, Tensor]:
        """q, k and v of a slice, [B, R, H, d] each."""
        shift_BMD, scale_BMD = (self.modulation + modulation_BM6D).unbind(2)[:2]
        attention = self.self_attention
        return attention.split(
            attention.qkv(self.modulated_norm(x_BRD, scale_BMD, shift_BMD, self.eps)), rope
        )

    def finish(
        self,
        x_BRD: Tensor,
        q_BRHd: Tensor,
        k_BLHd: Tensor,
        v_BLHd: Tensor,
        modulation_BM6D: Tensor,
        text_kv: Tensor,
    ) -> Tensor:
        """The slice after its attention to all keys, to the text, and its feed-forward."""
        modulation = (self.modulation + modulation_BM6D).unbind(2)
        attended_BRD = self.self_attention.attend(q_BRHd, k_BLHd, v_BLHd).flatten(2)
        x_BRD = self.gated_residual(x_BRD, self.self_attention.out(attended_BRD), modulation[2])
        x_BRD = self.read(x_BRD, text_kv)
        return self.feed(x_BRD, *modulation[3:])


class SlicedHead(Head):
    """Slice by slice."""

    def forward(self, x_BLD: Tensor, time_BND: Tensor) -> Tensor:
        patches_BLP = x_BLD.new_empty(*x_BLD.shape[:2], self.projection.out_features)
        for sample, rows, groups in divide(*x_BLD.shape[:2], time_BND.shape[1], SLICE_TOKENS):
            patches_BLP[sample, rows] = super().forward(x_BLD[sample, rows], time_BND[sample, groups])
        return patches_BLP


def divide(samples: int, tokens: int, groups: int, most: int) -> Iterator[Place]:
    """Slices of at most `most` tokens, each of one sample; of whole groups, or of a part of one group.

    As even as they come: a size of its own is a compile of its own.
    """
    length = tokens // groups
    pieces = even(length, most)
    size = -(-length // pieces)
    together = -(-groups // even(groups, max(1, most // length)))
    for sample in range(samples):
        for group in range(0, groups, together):
            end = min(group + together, groups)
            for row in range(group * length, end * length, together * size):
                rows = slice(row, min(row + together * size, end * length))
                yield slice(sample, sample + 1), rows, slice(group, end)


def even(length: int, most: int) -> int:
    """The fewest parts of at most `most`; up to twice as many where those, and no fewer, are equal."""
    fewest = -(-length // most)
    return next((parts for parts in range(fewest, 2 * fewest + 1) if length % parts == 0), fewest)


def _keep(places: Iterable[Tensor], made: Iterable[Tensor]) -> None:
    """Copied by a call of its own, so that what was made is gone before the next slice is."""
    for place, tensor in zip(places, made, strict=True):
        place.copy_(tensor)
