"""Any way of cutting bytes into requests covers them once and folds to the checksum of the whole."""

from __future__ import annotations

import os
from collections.abc import Sequence

import pytest
from awscrt import checksums
from hypothesis import given
from hypothesis import strategies as st

from tests.wan_runner.store.downloads import listed, unlisted
from wan_core.errors import IntegrityError
from wan_runner.store.blob import Blob
from wan_runner.store.chunks import Ledger, Piece, Span, choose_bytes, find_gaps, fold, split_chunks

DATA = os.urandom(1000)
sizes = st.integers(0, len(DATA))
cuts = st.lists(st.integers(1, len(DATA) - 1), max_size=12, unique=True).map(sorted)


def span_of(data: bytes, start: int, end: int) -> Span:
    return Span(start, end, checksums.crc64nvme(data[start:end]))


def spans_at(data: bytes, ends: Sequence[int]) -> list[Span]:
    return [span_of(data, start, end) for start, end in zip([0, *ends], [*ends, len(data)], strict=True)]


def fill(ledger: Ledger, data: bytes, workers: int) -> list[Piece]:
    """Takes and adds until nothing is missing; returns what was taken."""
    taken = []
    while (piece := ledger.take(workers)) is not None:
        taken.append(piece)
        ledger.add(span_of(data, *piece))
    return taken


@given(cuts)
def test_any_spans_fold_to_the_checksum_of_the_whole(ends: list[int]) -> None:
    assert fold(spans_at(DATA, ends)) == checksums.crc64nvme(DATA)


@given(sizes, st.integers(1, 300), st.integers(1, 80), st.integers(1, 64))
def test_pieces_cover_every_byte_once_within_one_chunk_each(
    size: int, chunk: int, piece: int, workers: int
) -> None:
    ledger = Ledger(listed(DATA[:size], chunk), "x", piece_bytes=piece)
    taken = fill(ledger, DATA, workers)
    assert ledger.complete
    assert [each.start for each in taken] == [0, *(each.end for each in taken)][: len(taken)]
    assert sum(each.bytes for each in taken) == size
    assert all(each.start // chunk == (each.end - 1) // chunk for each in taken)


@given(st.integers(1, 10**12), st.integers(1, 64))
def test_requests_are_an_even_share_of_the_rest_within_bounds(unassigned: int, workers: int) -> None:
    size = choose_bytes(unassigned, workers, 64 * 2**20, 8 * 2**20)
    assert 8 * 2**20 <= size <= 64 * 2**20
    assert size == 64 * 2**20 or size * workers >= unassigned


def test_the_tail_is_split_so_that_no_worker_waits_for_a_whole_chunk() -> None:
    ledger = Ledger(Blob("x", 6 * 64, chunk_bytes=64), "x", piece_bytes=8)
    taken = [piece.bytes for piece in iter(lambda: ledger.take(4), None)]
    assert taken[:3] == [64, 64, 64]
    assert taken[-4:] == [8, 8, 8, 8]


@given(st.lists(st.integers(0, 100), min_size=0, max_size=8, unique=True).map(sorted))
def test_gaps_are_what_no_span_covers(ends: list[int]) -> None:
    pairs = zip(ends[::2], ends[1::2], strict=False)
    spans = [Span(start, end, 0) for start, end in pairs]
    gaps = find_gaps(Piece(0, 100), spans)
    held = {at for span in spans for at in range(span.start, span.end)}
    assert {at for gap in gaps for at in range(gap.start, gap.end)} == set(range(100)) - held


@given(st.data(), st.integers(1, 300), st.integers(1, 9))
def test_what_is_given_back_is_taken_again(data: st.DataObject, chunk: int, workers: int) -> None:
    """Workers that stop half-way, in any order, still get every byte together, each once."""
    ledger = Ledger(listed(DATA, chunk), "x", piece_bytes=16)
    open_pieces: list[Piece] = []
    for _ in range(data.draw(st.integers(0, 30))):
        if open_pieces and data.draw(st.booleans()):
            piece = open_pieces.pop(data.draw(st.integers(0, len(open_pieces) - 1)))
            reached = data.draw(st.integers(piece.start, piece.end))
            ledger.give_back(Piece(reached, piece.end))
            if reached > piece.start:
                assert ledger.add(span_of(DATA, piece.start, reached)) is None
        elif (piece := ledger.take(workers)) is not None:
            open_pieces.append(piece)
    for piece in open_pieces:
        ledger.give_back(piece)
    assert ledger.unassigned == len(DATA) - ledger.here
    fill(ledger, DATA, workers)
    assert ledger.complete


@given(st.data(), st.integers(1, 300))
def test_what_is_here_from_before_is_not_asked_for(data: st.DataObject, chunk: int) -> None:
    pieces = [piece for each in split_chunks(len(DATA), chunk) for piece in halves(each)]
    here = [span_of(DATA, *piece) for piece in pieces if data.draw(st.booleans())]
    ledger = Ledger(listed(DATA, chunk), "x", here, piece_bytes=16)
    taken = fill(ledger, DATA, 3)
    assert ledger.complete
    assert sum(piece.bytes for piece in taken) == len(DATA) - sum(span.end - span.start for span in here)


def halves(piece: Piece) -> list[Piece]:
    middle = (piece.start + piece.end) // 2
    return [each for each in (Piece(piece.start, middle), Piece(middle, piece.end)) if each.bytes]


@given(st.integers(0, len(DATA) - 1), st.integers(1, 300), st.integers(1, 9))
def test_one_wrong_byte_costs_its_chunk(at: int, chunk: int, workers: int) -> None:
    wrong = DATA[:at] + bytes([DATA[at] ^ 1]) + DATA[at + 1 :]
    ledger = Ledger(listed(DATA, chunk), "x", piece_bytes=16)
    forgotten = []
    while not forgotten and (piece := ledger.take(workers)) is not None:
        lost = ledger.add(span_of(wrong, *piece))
        forgotten += [lost] if lost else []
    assert forgotten == [split_chunks(len(DATA), chunk)[at // chunk]]
    fill(ledger, DATA, workers)
    assert ledger.complete


@pytest.mark.parametrize(
    ("blob", "said"),
    [
        pytest.param(listed(DATA, 300), r"chunk 0 of 4 \(bytes 0 to 299\)", id="manifest"),
        pytest.param(unlisted(DATA, '"e"'), "the whole object", id="checksum"),
    ],
)
def test_the_same_bytes_wrong_twice_are_an_integrity_error(blob: Blob, said: str) -> None:
    ledger = Ledger(blob, "s3://b/k", piece_bytes=100)
    with pytest.raises(IntegrityError, match=f"s3://b/k: {said} arrived 2 times"):
        fill(ledger, bytes(len(DATA)), 1)


def test_without_any_checksum_all_bytes_are_taken_as_they_come() -> None:
    ledger = Ledger(unlisted(DATA, '"e"', checksum=False), "x")
    fill(ledger, bytes(len(DATA)), 1)
    assert ledger.complete


@pytest.mark.parametrize(
    "blob",
    [
        pytest.param(Blob("x", 10, (1,), 2, chunk_bytes=10), id="chunks that do not make the whole"),
        pytest.param(Blob("x", 11, (1,), chunk_bytes=10), id="too few chunks"),
        pytest.param(Blob("x", 0, crc64nvme=1), id="no bytes with a checksum"),
    ],
)
def test_what_contradicts_itself_is_refused(blob: Blob) -> None:
    with pytest.raises(IntegrityError, match="s3://b/k"):
        Ledger(blob, "s3://b/k")


@pytest.mark.parametrize(
    ("blob", "tier"),
    [
        (listed(DATA), "manifest"),
        (listed(b""), "manifest"),
        (unlisted(DATA, '"e"'), "checksum"),
        (unlisted(DATA, '"e"', checksum=False), "etag"),
    ],
    ids=["manifest", "manifest, no bytes", "checksum", "etag"],
)
def test_a_blob_says_how_far_it_can_be_verified(blob: Blob, tier: str) -> None:
    assert blob.tier == tier
