from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._subclasses import FakeTensorMode

from wan_core.kernels import attention
from wan_core.kernels.attention import BACKENDS, BackendLacks, UnknownBackend, build_attention, find_backend

CPU = torch.device("cpu")
IN_SLICES = partial(attention.sliced, score_bytes=4 * 2 * 5 * 7)  # 7 of 12 queries of one head at a time
ON_CPU = {"sdpa": attention.sdpa, "math": attention.math, "sliced": IN_SLICES}


class Attention(torch.nn.Module):
    """What torch.export takes."""

    def __init__(self, attend: attention.Attend) -> None:
        super().__init__()
        self.attend = attend

    def forward(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return self.attend(q, k, v)


def make(samples: int, queries: int, keys: int, heads: int, head_dim: int) -> tuple[torch.Tensor, ...]:
    rng = torch.Generator().manual_seed(queries * 1000 + keys)
    return tuple(torch.randn(samples, rows, heads, head_dim, generator=rng) for rows in (queries, keys, keys))


def formula(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """softmax(q k^T / sqrt(d)) v in float64 (arXiv 1706.03762)."""
    q, k, v = (x.double().transpose(1, 2) for x in (q, k, v))
    return (torch.softmax(q @ k.mT / q.shape[-1] ** 0.5, dim=-1) @ v).transpose(1, 2)


@pytest.mark.parametrize("name", ON_CPU)
def test_a_backend_is_the_formula(name: str) -> None:
    q, k, v = make(2, 12, 5, 3, 64)
    torch.testing.assert_close(ON_CPU[name](q, k, v).double(), formula(q, k, v), rtol=0, atol=2e-6)


@pytest.mark.parametrize("name", ON_CPU)
def test_a_backend_takes_views_of_one_fused_projection(name: str) -> None:
    q, k, v = make(2, 12, 36, 3, 64)[1].unflatten(1, (12, 3)).unbind(2)
    torch.testing.assert_close(ON_CPU[name](q, k, v).double(), formula(q, k, v), rtol=0, atol=2e-6)


@pytest.mark.parametrize("name", ON_CPU)
def test_a_backend_compiles_without_a_break_and_exports(name: str) -> None:
    inputs = make(2, 12, 5, 3, 64)
    expected = ON_CPU[name](*inputs)
    with torch.no_grad():
        compiled = torch.compile(ON_CPU[name], fullgraph=True, backend="aot_eager")(*inputs)
        exported = torch.export.export(Attention(ON_CPU[name]), inputs).module()(*inputs)
    torch.testing.assert_close(compiled, expected)
    torch.testing.assert_close(exported, expected)


@pytest.mark.parametrize("name", ON_CPU)
def test_a_backend_can_be_differentiated(name: str) -> None:
    inputs = [x.double().requires_grad_() for x in make(1, 3, 2, 2, 4)]
    assert torch.autograd.gradcheck(ON_CPU[name], inputs)


@given(
    size=st.tuples(*(st.integers(1, bound) for bound in (2, 40, 40, 5))),
    head_dim=st.sampled_from([2, 64]),
    score_bytes=st.integers(1, 20_000),
)
@settings(max_examples=60)
def test_slices_of_any_size_add_up_to_the_whole(
    size: tuple[int, int, int, int], head_dim: int, score_bytes: int
) -> None:
    q, k, v = make(*size, head_dim)
    found = attention.sliced(q, k, v, score_bytes)
    torch.testing.assert_close(found, attention.math(q, k, v), rtol=1e-5, atol=1e-6)


@given(
    queries=st.integers(1, 300),
    heads=st.integers(1, 12),
    query_bytes=st.integers(1, 2000),
    score_bytes=st.integers(1, 100_000),
)
def test_slices_cover_every_query_of_every_head_once_and_keep_within_their_bytes(
    queries: int, heads: int, query_bytes: int, score_bytes: int
) -> None:
    parts = attention.divide(queries, heads, query_bytes, score_bytes)
    sizes = [(rows.stop - rows.start) * (some.stop - some.start) for rows, some in parts]
    assert max(sizes) * query_bytes <= max(score_bytes, query_bytes)
    assert sum(sizes) == queries * heads
    covered = torch.zeros(queries, heads)
    for part in parts:
        covered[part] += 1
    assert covered.eq(1).all()


@pytest.mark.parametrize("name", BACKENDS)
def test_a_backend_is_traced_with_fake_tensors_of_a_gpu(name: str) -> None:
    with FakeTensorMode():
        q, k, v = torch.empty(1, 64, 3, 4, 128, device="cuda", dtype=torch.bfloat16).unbind(2)
        found = BACKENDS[name].attend(q, k, v)
    assert found.shape == (1, 64, 4, 128)
    assert (found.dtype, found.device.type) == (torch.bfloat16, "cuda")


def test_only_sage_is_not_lossless() -> None:
    assert [name for name, backend in BACKENDS.items() if backend.tier != "lossless"] == ["sage"]


@pytest.mark.parametrize("name", ["sdpa", "math", "sliced"])
def test_what_runs_anywhere_is_built_for_a_cpu(name: str) -> None:
    assert build_attention(name, CPU, torch.float32) is BACKENDS[name].attend


def test_xformers_is_another_name_of_efficient() -> None:
    assert find_backend("xformers") is BACKENDS["efficient"]


@pytest.mark.parametrize(("wrong", "nearest"), [("cudn", "cudnn"), ("FA3", "fa3"), ("xformer", "xformers")])
def test_an_unknown_name_is_told_with_the_nearest_and_all(wrong: str, nearest: str) -> None:
    with pytest.raises(
        UnknownBackend, match=f"no attention backend '{wrong}'; nearest: {nearest}; all: sdpa, "
    ):
        find_backend(wrong)


@pytest.mark.parametrize(
    ("name", "dtype", "words"),
    [
        (
            "cudnn",
            torch.bfloat16,
            "cudnn does not run on cpu; it needs cuda; bfloat16 or float16; sm_8x, sm_9x",
        ),
        ("xformers", torch.float32, "efficient does not run on cpu; it needs cuda or rocm"),
        ("math", torch.float64, "math does not take float64"),
        ("fa4", torch.bfloat16, r"sm_9x, sm_10x; the package flash_attn\.cute"),
    ],
)
def test_a_backend_that_cannot_run_says_what_it_lacks(name: str, dtype: torch.dtype, words: str) -> None:
    with pytest.raises(BackendLacks, match=words):
        build_attention(name, CPU, dtype)


@pytest.mark.parametrize(
    ("name", "capability", "lacking"),
    [
        ("flash", (9, 0), ""),
        ("flash", (7, 5), "does not run on sm_75"),
        ("fa3", (12, 0), "does not run on sm_120"),
        ("fa3", (9, 0), "lacks the package flash_attn_interface"),
        ("fa4", (10, 0), "lacks the package flash_attn.cute"),
        ("sage", (8, 9), "lacks the package sageattention"),
        ("efficient", (5, 0), ""),
    ],
)
def test_a_gpu_is_asked_for_its_architecture_before_packages_are_sought(
    name: str, capability: tuple[int, int], lacking: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(attention.util, "find_spec", lambda package: None)
    assert attention.lacks(BACKENDS[name], torch.device("cuda"), torch.bfloat16) == lacking


def test_a_package_that_cannot_be_imported_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when flash_attn was built for another torch: its submodules cannot even be sought."""
    (tmp_path / "built_for_another").mkdir()
    (tmp_path / "built_for_another" / "__init__.py").write_text("raise ImportError('undefined symbol')")
    monkeypatch.syspath_prepend(tmp_path)
    backend = replace(BACKENDS["fa4"], devices=("cpu",), package="built_for_another.cute")
    expected = "cannot import the package built_for_another.cute: undefined symbol"
    assert attention.lacks(backend, CPU, torch.bfloat16) == expected


@pytest.mark.parametrize("fault", [ImportError("undefined symbol"), RuntimeError("does not expose kernels")])
def test_a_package_that_is_there_and_cannot_be_loaded_is_told(
    fault: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def activate(_name: str) -> None:
        raise fault

    broken = replace(BACKENDS["fa3"], devices=("cpu",), architectures=(), package="")
    monkeypatch.setattr(attention, "BACKENDS", {"fa3": broken})
    monkeypatch.setattr(attention.torch_attention, "activate_flash_attention_impl", activate)
    with pytest.raises(BackendLacks, match=f"fa3 cannot be loaded: {fault}"):
        build_attention("fa3", CPU, torch.bfloat16)
