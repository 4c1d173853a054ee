from __future__ import annotations

from dataclasses import replace

import pytest

from tests.wan_core.model.variants import SMALL


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        pytest.param({"heads": 5}, "dim 24 is not 5 heads of an even size", id="heads do not divide"),
        pytest.param({"heads": 8}, "dim 24 is not 8 heads of an even size", id="an odd head"),
    ],
)
def test_sizes_that_contradict_each_other_are_refused(sizes: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(SMALL, **sizes)


def test_sizes_that_follow_are_told() -> None:
    assert (SMALL.head_dim, SMALL.patch_size) == (12, 4)
