"""The manifest of a model: what it may name, and that its digest names exactly its content."""

from __future__ import annotations

import json
from pathlib import PurePosixPath
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wan_core.errors import IntegrityError, TrustRemoteCode
from wan_runner.store.blob import CHUNK_BYTES, Blob
from wan_runner.store.digests import Digests, chunk_sizes, digest_of, fold
from wan_runner.store.manifest import MANIFEST_MAX_BYTES, File, Manifest, path_problems, read_manifest

SHA, CRC = "0" * 64, "0" * 16
names = st.text("abz09_", min_size=1, max_size=8)
paths = st.builds(
    lambda folders, name, suffix: "/".join([*folders, name + suffix]),
    st.lists(names, max_size=3),
    names,
    st.sampled_from([".safetensors", ".json", ".txt", ".model", ".md"]),
)


@st.composite
def digests(draw: st.DrawFn) -> Digests:
    """Of bytes that exist nowhere: up to three chunks, the last one of any length."""
    sizes = chunk_sizes(draw(st.integers(0, 3 * CHUNK_BYTES)))
    chunks = draw(st.lists(st.integers(0, 2**64 - 1), min_size=len(sizes), max_size=len(sizes)))
    sha256 = draw(st.binary(min_size=32, max_size=32)).hex()
    return Digests(sum(sizes), sha256, fold(zip(chunks, sizes, strict=True)), tuple(chunks))


files = st.builds(File.of, paths, digests())
manifests = st.builds(
    Manifest,
    model=st.text(min_size=1, max_size=20),
    source=st.text(max_size=20),
    files=st.lists(files, min_size=1, max_size=6, unique_by=lambda file: file.sha256).filter(
        lambda fs: not path_problems([f.path for f in fs])
    ),
)


def file(path: Any, **changes: Any) -> dict[str, Any]:
    """A file without bytes, as a manifest has it."""
    return {"path": path, "bytes": 0, "sha256": SHA, "crc64nvme": CRC, "chunks": []} | changes


def document(**changes: Any) -> bytes:
    return json.dumps({"version": 2, "model": "m", "files": [file("vae/config.json")]} | changes).encode()


def one(path: Any) -> bytes:
    return document(files=[file(path)])


@settings(max_examples=40)  # building manifests is slow
@given(manifests)
def test_a_manifest_read_back_is_the_same_model(manifest: Manifest) -> None:
    again = read_manifest(manifest.canonical(), "here")
    assert again.digest() == manifest.digest()
    assert sorted(again.files, key=lambda f: f.path) == sorted(manifest.files, key=lambda f: f.path)


@settings(max_examples=40)  # building manifests is slow
@given(manifests, st.randoms(use_true_random=False))
def test_the_digest_does_not_depend_on_the_order_of_files(manifest: Manifest, random: Any) -> None:
    shuffled = list(manifest.files)
    random.shuffle(shuffled)
    assert manifest.model_copy(update={"files": tuple(shuffled)}).digest() == manifest.digest()


@settings(max_examples=40)  # building manifests is slow
@given(manifests, digests())
def test_the_digest_changes_with_every_file(manifest: Manifest, other: Digests) -> None:
    first = File.of(manifest.files[0].path, other)
    changed = manifest.model_copy(update={"files": (first, *manifest.files[1:])})
    assert (changed.digest() == manifest.digest()) == (changed == manifest)


@given(
    st.one_of(st.text(max_size=40), paths, st.lists(st.sampled_from(["..", ".", "", "a", "/"])).map("/".join))
)
def test_no_path_that_is_accepted_leaves_its_folder_or_hides(path: str) -> None:
    if not path_problems([path]):
        parts = PurePosixPath(path).parts
        assert "/".join(parts) == path
        assert not any(part.startswith((".", "/")) for part in parts)
        assert path.isprintable()


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd.json",
        "../x.json",
        "a/../b.json",
        "./a.json",
        "a//b.json",
        "a/",
        ".hidden.json",
        "a/.git/b.json",
        "a\\b.json",
        "a\0.json",
        "a\n.json",
        "",
        "~/x.json",
        "C:/x.json",
        "é.json",
        "manifest.json",
        "Manifest.JSON",
        "a/" * 8 + "b.json",
        "a" * 256 + ".json",
        "x" * 600 + ".json",
    ],
    ids=lambda path: repr(path)[:24],
)
def test_a_manifest_that_names_a_path_outside_its_folder_is_refused(path: str) -> None:
    with pytest.raises(IntegrityError, match="weights/m is not a manifest"):
        read_manifest(one(path), "weights/m")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        pytest.param(b"", "is not a manifest: Invalid JSON", id="empty"),
        pytest.param(b"\xff\xfe", "is not a manifest", id="not text"),
        pytest.param(b"[]", "is not a manifest", id="not an object"),
        pytest.param(document(version=3), "version", id="a later version"),
        pytest.param(document(files=[]), "files", id="no files"),
        pytest.param(document(extra=1), "extra", id="unknown field"),
        pytest.param(document(model=""), "model", id="no model"),
        pytest.param(document(files=[file("a.json", bytes=-1)]), "bytes", id="negative size"),
        pytest.param(document(files=[file("a.json", sha256="F" * 64)]), "sha256", id="no digest"),
        pytest.param(document(files=[file("a.json", crc64nvme="0")]), "crc64nvme", id="no checksum"),
        pytest.param(document(files=[file("a.json", bytes=1)]), "0 chunks cannot be", id="no chunks"),
        pytest.param(
            document(files=[file("a.json", bytes=1, chunks=["f" * 16])]), "not that of its chunks", id="sum"
        ),
        pytest.param(one(7), "path", id="path is a number"),
        pytest.param(b" " * (MANIFEST_MAX_BYTES + 1), "a manifest has at most", id="huge"),
        pytest.param(b"[" * 100_000, "is not a manifest", id="nested"),
    ],
)
def test_what_is_no_manifest_is_refused_with_the_field(data: bytes, said: str) -> None:
    with pytest.raises(IntegrityError, match=said):
        read_manifest(data, "weights/m")


@pytest.mark.parametrize(
    ("names", "said"),
    [
        pytest.param(["a.json", "a.json"], "named twice", id="twice"),
        pytest.param(["a.json", "A.json"], "named twice", id="twice on a Mac"),
        pytest.param(["a.json", "a.json/b.json"], "both a file and a folder", id="file and folder"),
    ],
)
def test_files_that_cannot_lie_side_by_side_are_refused(names: list[str], said: str) -> None:
    with pytest.raises(IntegrityError, match=said):
        read_manifest(document(files=[file(name) for name in names]), "weights/m")


def test_one_digest_is_of_one_content() -> None:
    files = [file("a.json"), file("b.json", bytes=1, chunks=["0" * 16], crc64nvme="0" * 16)]
    with pytest.raises(IntegrityError, match="files of one sha256"):
        read_manifest(document(files=files), "weights/m")


def test_a_manifest_of_the_first_version_is_refused_with_the_command_that_publishes_again() -> None:
    old = {"version": 1, "model": "m", "files": [{"path": "a.json", "bytes": 2, "sha256": SHA}]}
    with pytest.raises(IntegrityError, match="is of version 1") as caught:
        read_manifest(json.dumps(old).encode(), "s3://weights/m/manifest.json")
    assert caught.value.advice == "Publish it again: `wan weights publish SRC s3://weights/m`."


def test_a_file_is_a_blob_that_is_verified_by_chunk() -> None:
    blob = File.of("a.json", digest_of(b"123456789")).blob()
    name = "sha256-15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"
    assert blob == Blob(name, 9, (0xAE8B14860A799888,), 0xAE8B14860A799888)
    assert blob.tier == "manifest"


@pytest.mark.parametrize(
    "name", ["unet.bin", "a.pt", "a.pth", "m.ckpt", "x.pkl", "vae/model.py", "a.so", "noending"]
)
def test_a_manifest_that_names_code_or_pickles_is_refused_by_name(name: str) -> None:
    with pytest.raises(TrustRemoteCode, match=f"'{name}'"):
        read_manifest(one(name), "weights/m")
