"""Whatever a crash leaves of a journal is read as claims that were made, and only true ones count."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import pytest
from awscrt import checksums
from hypothesis import given
from hypothesis import strategies as st

from tests.wan_runner.store.downloads import listed
from wan_runner.store.chunks import Piece, Span
from wan_runner.store.journal import Journal, choose_newest, find_true, parse

DATA = os.urandom(1000)
BLOB = listed(DATA, 100)
WRITTEN = [Span(0, 100, 1), Span(100, 150, 2), Span(900, 1000, 2**64 - 1), Span(150, 200, 0)]
spans = st.tuples(st.integers(0, 999), st.integers(1, 100)).map(
    lambda pair: Span(pair[0], min(pair[0] + pair[1], 1000), checksums.crc64nvme(DATA[pair[0] : sum(pair)]))
)


def write(path: Path, claims: list[Span]) -> bytes:
    with Journal(path, BLOB) as journal:
        for claim in claims:
            journal.claim(claim)
    return path.read_bytes()


def read(path: Path) -> list[Span]:
    with Journal(path, BLOB) as journal:
        return journal.claims


def test_what_is_claimed_is_read_again(tmp_path: Path) -> None:
    write(tmp_path / "j", WRITTEN)
    assert read(tmp_path / "j") == WRITTEN


def test_a_journal_goes_on_where_it_ended(tmp_path: Path) -> None:
    write(tmp_path / "j", WRITTEN[:2])
    write(tmp_path / "j", WRITTEN[2:])
    assert read(tmp_path / "j") == WRITTEN


def test_every_torn_prefix_is_a_prefix_of_the_claims(tmp_path: Path) -> None:
    data = write(tmp_path / "j", WRITTEN)
    for length in range(len(data) + 1):
        claims, sound = parse(data[:length], BLOB)
        assert claims == WRITTEN[: len(claims)]
        assert sound <= length
    assert claims == WRITTEN


def test_a_torn_record_does_not_spoil_those_that_follow_later(tmp_path: Path) -> None:
    data = write(tmp_path / "j", WRITTEN[:2])
    (tmp_path / "j").write_bytes(data[:-3])
    write(tmp_path / "j", WRITTEN[2:])
    assert read(tmp_path / "j") == [WRITTEN[0], *WRITTEN[2:]]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write(tmp_path_factory.mktemp("journal") / "j", WRITTEN)


@given(st.data())
def test_a_damaged_byte_ends_the_journal_there(written: bytes, data: st.DataObject) -> None:
    whole = bytearray(written)
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    claims, sound = parse(bytes(whole), BLOB)
    assert claims == WRITTEN[: len(claims)]
    assert sound <= at


@given(st.binary(max_size=200))
def test_any_bytes_are_a_journal_or_none(data: bytes) -> None:
    assert parse(data, BLOB) == ([], 0)


def test_what_is_disclaimed_counts_no_more(tmp_path: Path) -> None:
    write(tmp_path / "j", WRITTEN)
    with Journal(tmp_path / "j", BLOB) as journal:
        journal.disclaim(Piece(100, 200))
        journal.claim(Span(100, 200, 5))
    assert read(tmp_path / "j") == [WRITTEN[0], WRITTEN[2], Span(100, 200, 5)]


def test_the_journal_of_another_blob_counts_for_nothing(tmp_path: Path) -> None:
    write(tmp_path / "j", WRITTEN)
    with Journal(tmp_path / "j", listed(DATA, 101)) as journal:
        assert journal.claims == []
    assert read(tmp_path / "j") == []  # and it is gone


@given(st.lists(spans, max_size=20))
def test_of_claims_that_overlap_the_newest_is_chosen(claims: list[Span]) -> None:
    chosen = choose_newest(claims)
    assert all(left.end <= right.start for left, right in pairwise(chosen))
    assert set(chosen) <= set(claims)
    if claims:
        assert claims[-1] in chosen


@given(st.lists(spans, max_size=20), st.integers(0, 999))
def test_only_claims_that_the_bytes_bear_out_are_true(claims: list[Span], damaged: int) -> None:
    handle = os.memfd_create("part")
    try:
        os.pwrite(handle, DATA[:damaged] + bytes([DATA[damaged] ^ 1]) + DATA[damaged + 1 :], 0)
        true = find_true(claims, handle, lambda: False)
    finally:
        os.close(handle)
    assert true == [claim for claim in choose_newest(claims) if not claim.start <= damaged < claim.end]


def test_bytes_that_are_not_there_are_not_true() -> None:
    handle = os.memfd_create("part")
    try:
        assert find_true([Span(0, 10, 0)], handle, lambda: False) == []
    finally:
        os.close(handle)
