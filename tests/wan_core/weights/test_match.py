"""A tensor that is missing, unexpected or misshapen is named, with both shapes and the nearest name."""

from __future__ import annotations

import pytest

from wan_core.errors import IntegrityError
from wan_core.weights.match import check_tensors
from wan_core.weights.shards import Shape

EXPECTED: dict[str, Shape] = {"blocks.0.norm1": (4,), "blocks.0.ffn": (8, 4), "head": (2,)}


def test_what_is_expected_passes() -> None:
    check_tensors(dict(EXPECTED), EXPECTED, "file")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        pytest.param({"blocks.0.ffn": (4, 8)}, "blocks.0.ffn is [4, 8], not [8, 4]", id="misshapen"),
        pytest.param({"head": None}, "head [2] is missing", id="missing"),
        pytest.param(
            {"head": None, "heads": (3,)},
            "head [2] is missing, nearest: heads [3]; heads [3] is not of this model, nearest: head [2]",
            id="misspelt",
        ),
        pytest.param({"zzz": (1,)}, "zzz [1] is not of this model", id="unexpected, and near to nothing"),
        pytest.param(
            {"blocks.0.norm2": (4,)},
            "blocks.0.norm2 [4] is not of this model, nearest: blocks.0.norm1 [4]",
            id="unexpected",
        ),
    ],
)
def test_a_difference_is_named(change: dict[str, Shape | None], told: str) -> None:
    found = {name: shape for name, shape in {**EXPECTED, **change}.items() if shape is not None}
    with pytest.raises(IntegrityError) as caught:
        check_tensors(found, EXPECTED, "file")
    assert caught.value.message == f"file: {told}"


def test_of_many_differences_the_first_are_named_and_the_rest_counted() -> None:
    with pytest.raises(IntegrityError, match=r"; and 15 more$"):
        check_tensors({}, {f"tensor.{i}": (1,) for i in range(20)}, "file")
