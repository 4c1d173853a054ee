"""What a model's files may contain."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import SafetensorError
from safetensors.numpy import load, save

from tests.wan_runner.store.models import files_of, safetensors, written
from wan_core.errors import IntegrityError, TrustRemoteCode, WanError
from wan_runner.store.contents import check_contents


def with_header(header: object, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def test_an_ordinary_model_passes(tmp_path: Path) -> None:
    check_contents(written(tmp_path, files_of()), "m")


def test_what_the_library_writes_passes(tmp_path: Path) -> None:
    data = save({"w": np.ones((2, 3), np.float32), "b": np.zeros(0, np.float32)}, metadata={"format": "pt"})
    check_contents(written(tmp_path, {"a.safetensors": data}), "m")


@given(data=st.binary(max_size=64), cut=st.integers(0, 200))
def test_no_damaged_file_passes_that_the_library_then_refuses_by_size(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, cut: int
) -> None:
    whole = safetensors(data + b"\0" * (-len(data) % 4))
    damaged = whole[: max(0, len(whole) - cut)]
    try:
        load(damaged)
        loads = True
    except SafetensorError:
        loads = False
    files = written(tmp_path_factory.mktemp("m"), {"a.safetensors": damaged})
    if loads:
        check_contents(files, "m")
    else:
        with pytest.raises(IntegrityError):
            check_contents(files, "m")


def tensor_at(begin: int, end: int) -> bytes:
    return with_header({"w": {"data_offsets": [begin, end]}}, b"12345678")


def tensor(data: int = 8, **fields: object) -> bytes:
    """A tensor of two float32, but for what is said otherwise."""
    return with_header({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} | fields}, b"\0" * data)


def tensors(*places: tuple[int, int]) -> bytes:
    """Tensors of float32 that lie there."""
    header = {
        f"w{begin}": {"dtype": "F32", "shape": [(end - begin) // 4], "data_offsets": [begin, end]}
        for begin, end in places
    }
    return with_header(header, b"\0" * max(end for _, end in places))


WEIGHTS, SETTINGS, TOKENIZER, INDEX = (
    "a.safetensors",
    "config.json",
    "t/tokenizer_config.json",
    "model_index.json",
)


@pytest.mark.parametrize(
    ("name", "data", "error", "said"),
    [
        pytest.param(WEIGHTS, b"", IntegrityError, "file of 0", id="empty"),
        pytest.param(WEIGHTS, b"\xff" * 8, IntegrityError, "is not safetensors", id="endless header"),
        pytest.param(WEIGHTS, with_header(b"not json"), IntegrityError, "not JSON", id="no JSON"),
        pytest.param(WEIGHTS, with_header([]), IntegrityError, "not a JSON object", id="no object"),
        pytest.param(WEIGHTS, with_header(b"[" * 100_000), IntegrityError, "not JSON", id="nested"),
        pytest.param(WEIGHTS, with_header({"w": {}}), IntegrityError, "data_offsets", id="no offsets"),
        pytest.param(WEIGHTS, tensor_at(8, 4), IntegrityError, "8..4", id="backwards"),
        pytest.param(WEIGHTS, tensor_at(-4, 4), IntegrityError, "-4..4", id="before"),
        pytest.param(WEIGHTS, tensor_at(0, 12), IntegrityError, "0..12 of 8", id="beyond"),
        pytest.param(WEIGHTS, tensor(dtype=["F32"]), IntegrityError, "dtype", id="a list for dtype"),
        pytest.param(WEIGHTS, tensor(dtype="F7"), IntegrityError, "'F7' is none of", id="unknown dtype"),
        pytest.param(WEIGHTS, tensor(dtype=None), IntegrityError, "dtype", id="no dtype"),
        pytest.param(WEIGHTS, tensor(shape=[3]), IntegrityError, "12 bytes, and has 8", id="too large"),
        pytest.param(WEIGHTS, tensor(shape=[2**62, 2**62]), IntegrityError, "and has 8", id="huge shape"),
        pytest.param(WEIGHTS, tensor(shape=[-2, -1]), IntegrityError, "no shape", id="negative shape"),
        pytest.param(WEIGHTS, tensor(shape=2), IntegrityError, "no shape", id="a number for shape"),
        pytest.param(WEIGHTS, tensor(shape=[1] * 64 + [2]), IntegrityError, "65 dim", id="dimensions"),
        pytest.param(WEIGHTS, tensor(data=16), IntegrityError, "end at 8 of 16", id="bytes of no tensor"),
        pytest.param(WEIGHTS, tensors((0, 8), (4, 8)), IntegrityError, "begins at 4", id="overlap"),
        pytest.param(WEIGHTS, tensors((0, 4), (8, 12)), IntegrityError, "begins at 8", id="gap"),
        pytest.param(SETTINGS, b"{", IntegrityError, "not JSON", id="broken settings"),
        pytest.param(
            SETTINGS, b'{"trust_remote_code": true}', TrustRemoteCode, "trust_remote_code", id="asks"
        ),
        pytest.param(TOKENIZER, b'{"auto_map": {"A": "x.Y"}}', TrustRemoteCode, "auto_map", id="tokenizer"),
        pytest.param(INDEX, b'{"vae": ["my_vae", "Vae"]}', TrustRemoteCode, "vae", id="foreign part"),
        pytest.param(INDEX, b'{"_class_name": ["mine", "P"]}', TrustRemoteCode, "_class_name", id="foreign"),
    ],
)
def test_a_file_that_is_not_what_its_name_says_is_refused_by_name(
    tmp_path: Path, name: str, data: bytes, error: type[WanError], said: str
) -> None:
    with pytest.raises(error) as caught:
        check_contents(written(tmp_path, {name: data}), "s3://weights/m")
    assert "s3://weights/m" in caught.value.message
    assert name in caught.value.message
    assert said in caught.value.message


def test_absent_parts_and_plain_settings_are_no_foreign_code(tmp_path: Path) -> None:
    index = {
        "_class_name": "WanPipeline",
        "image_encoder": [None, None],
        "boundary_ratio": None,
        "size": [1, 2],
    }
    config = {"auto_map": None, "trust_remote_code": False}
    files = {"model_index.json": json.dumps(index).encode(), "config.json": json.dumps(config).encode()}
    check_contents(written(tmp_path, files), "m")
