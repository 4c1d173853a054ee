"""Choosing is shown with backends of the test's own beside the real ones; timings are not asserted."""

from __future__ import annotations

import re
from pathlib import Path
from types import MappingProxyType

import pytest
import torch

from wan_core.kernels import attention
from wan_core.kernels.attention import ANYWHERE, BACKENDS, FLOAT, Backend, BackendLacks, UnknownBackend
from wan_core.kernels.attention_choice import Shape, choose_attention
from wan_core.kernels.picks import NothingWorks, Pick

CPU = torch.device("cpu")
SHAPE = Shape(samples=1, queries=96, keys=96, heads=2, head_dim=64)


def scaled_wrongly(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    return attention.sdpa(1.1 * q, k, v)


def full_of_nan(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    return torch.full_like(q, torch.nan)


def failing(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    raise RuntimeError("no kernel for this head size\nsecond line")


@pytest.fixture
def more_backends(monkeypatch: pytest.MonkeyPatch) -> None:
    """`BACKENDS` with one that is wrong, one of NaN, one that fails and one that is near."""
    extra = {
        "wrong": Backend("wrong", "lossless", scaled_wrongly, ANYWHERE, FLOAT),
        "nan": Backend("nan", "lossless", full_of_nan, ANYWHERE, FLOAT),
        "failing": Backend("failing", "lossless", failing, ANYWHERE, FLOAT),
        "rough": Backend("rough", "near", attention.sdpa, ANYWHERE, FLOAT),
    }
    monkeypatch.setattr(attention, "BACKENDS", MappingProxyType({**BACKENDS, **extra}))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_each_backend_of_a_cpu_is_right_in_every_dtype_and_measured(dtype: torch.dtype) -> None:
    found = choose_attention(SHAPE, dtype, CPU, order=("sdpa", "math", "sliced"))
    assert found.name in found.seconds
    assert (set(found.seconds), found.refused) == ({"sdpa", "math", "sliced"}, {})


@pytest.mark.usefixtures("more_backends")
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("wrong", r"is wrong: relative L2 \d\.\de-0\d to float32, more than 1e-05"),
        ("nan", "is wrong: relative L2 nan"),
        ("failing", "no kernel for this head size$"),
        ("rough", "is near, not lossless"),
        ("fa4", "does not run on cpu"),
    ],
)
def test_what_cannot_be_picked_is_told_with_the_reason(name: str, reason: str) -> None:
    found = choose_attention(SHAPE, torch.float32, CPU, order=(name, "sdpa", "math"))
    assert list(found.refused) == [name]
    assert re.search(reason, found.refused[name])
    assert set(found.seconds) == {"sdpa", "math"}


def test_scores_that_need_much_memory_are_not_tried() -> None:
    long = Shape(samples=1, queries=32_760, keys=32_760, heads=40, head_dim=128)
    found = choose_attention(long, torch.float32, CPU, order=("math", "sdpa"))
    assert found == Pick("sdpa", "only", {}, {"math": "holds 159.9 GiB of scores, more than 4 GiB"})


@pytest.mark.usefixtures("more_backends")
def test_where_none_works_the_reasons_are_told() -> None:
    with pytest.raises(NothingWorks, match=r"sage: is near.*; wrong: is wrong.*; failing: no kernel"):
        choose_attention(SHAPE, torch.float32, CPU, order=("sage", "wrong", "failing"))


def test_where_none_can_be_tried_the_reasons_are_told() -> None:
    with pytest.raises(NothingWorks, match="cudnn: does not run on cpu"):
        choose_attention(SHAPE, torch.float32, CPU, order=("cudnn",))


def test_a_pick_is_used_again_for_the_same_shape_only(tmp_path: Path) -> None:
    def choose(shape: Shape) -> Pick:
        return choose_attention(shape, torch.float32, CPU, order=("sdpa", "math"), folder=tmp_path)

    first, again, other = choose(SHAPE), choose(SHAPE), choose(SHAPE._replace(queries=40))
    assert [pick.source for pick in (first, again, other)] == ["measured", "stored", "measured"]
    assert (again.name, again.seconds) == (first.name, first.seconds)


def test_a_pick_made_in_tf32_is_not_used_where_it_is_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def choose() -> str:
        return choose_attention(SHAPE, torch.float32, CPU, order=("sdpa", "math"), folder=tmp_path).source

    sources = [choose()]
    monkeypatch.setattr(torch, "get_float32_matmul_precision", lambda: "high")
    assert [*sources, choose(), choose()] == ["measured", "measured", "stored"]


@pytest.mark.usefixtures("more_backends")
@pytest.mark.parametrize("name", ["math", "rough"])
def test_one_fixed_by_hand_is_not_measured_whatever_its_tier(name: str, tmp_path: Path) -> None:
    found = choose_attention(SHAPE, torch.float32, CPU, order=("sdpa",), folder=tmp_path, fixed=name)
    assert found == Pick(name, "fixed")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("name", "error"), [("maths", UnknownBackend), ("xformers", BackendLacks)])
def test_one_fixed_by_hand_that_cannot_be_is_an_error(name: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        choose_attention(SHAPE, torch.float32, CPU, order=("sdpa",), fixed=name)


def test_the_numbers_of_other_randomness_are_left_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    choose_attention(SHAPE, torch.float32, CPU, order=("sdpa", "math"))
    assert torch.equal(torch.rand(4), expected)
