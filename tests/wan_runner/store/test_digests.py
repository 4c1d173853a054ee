"""Digests of a file: the same for whatever way its bytes arrive, and what S3 says of the same bytes."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from awscrt import checksums
from hypothesis import given
from hypothesis import strategies as st

from wan_runner.store import digests
from wan_runner.store.digests import digest_file, digest_of, fold, from_base64, to_base64, to_hex


def test_the_checksum_is_crc64nvme() -> None:
    """The check value of CRC-64/NVME in the catalogue of parametrised CRC algorithms."""
    assert to_hex(digest_of(b"123456789").crc64nvme) == "ae8b14860a799888"
    assert to_base64(digest_of(b"123456789").crc64nvme) == "rosUhgp5mIg="


def test_no_bytes_have_no_chunks() -> None:
    assert digest_of(b"").chunks == ()
    assert digest_of(b"").crc64nvme == 0


@pytest.mark.parametrize("size", [1, 9, 10, 11, 20, 25, 40], ids=str)
def test_chunks_are_of_the_same_size_but_the_last(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, size: int
) -> None:
    monkeypatch.setattr(digests, "READ_BYTES", 7)
    data, told = bytes(range(size)), []
    (tmp_path / "f").write_bytes(data)
    found = digest_file(tmp_path / "f", told.append, chunk_bytes=10)
    pieces = [data[start : start + 10] for start in range(0, size, 10)]
    assert found.chunks == tuple(map(checksums.crc64nvme, pieces))
    assert (found.crc64nvme, found.sha256) == (checksums.crc64nvme(data), hashlib.sha256(data).hexdigest())
    assert (found.bytes, found.chunk_bytes, sum(told)) == (size, 10, size)


@given(st.lists(st.binary(max_size=50), max_size=5))
def test_the_checksum_of_the_whole_is_folded_from_its_pieces(pieces: list[bytes]) -> None:
    parts = [(checksums.crc64nvme(piece), len(piece)) for piece in pieces]
    assert fold(parts) == checksums.crc64nvme(b"".join(pieces))


@given(st.integers(0, 2**64 - 1))
def test_what_s3_writes_is_read_back(crc: int) -> None:
    assert from_base64(to_base64(crc)) == crc


@pytest.mark.parametrize("text", ["", "AAAA", "not base64!", "AAAAAAAAAAAA"])
def test_what_is_no_checksum_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        from_base64(text)
