"""Patterns of names, and which scheme names are of."""

from __future__ import annotations

import pytest

from wan_core.errors import IntegrityError
from wan_core.weights.schemes import Scheme, detect_scheme, spell
from wan_core.weights.transformer_names import known_names

KNOWN = known_names(2)


@pytest.mark.parametrize(
    ("pattern", "index", "names"),
    [
        pytest.param("proj_out.weight", None, ("proj_out.weight",), id="a plain name"),
        pytest.param("blocks.*.norm", 12, ("blocks.12.norm",), id="an index"),
        pytest.param("b.*.to_{q,k}.weight", 3, ("b.3.to_q.weight", "b.3.to_k.weight"), id="alternatives"),
    ],
)
def test_a_pattern_is_spelled_out(pattern: str, index: int | None, names: tuple[str, ...]) -> None:
    assert spell(pattern, index) == names


@pytest.mark.parametrize("scheme", Scheme)
def test_a_scheme_is_told_by_its_names(scheme: Scheme) -> None:
    assert detect_scheme(KNOWN[scheme], KNOWN, "file") is scheme


@pytest.mark.parametrize(
    ("key", "scheme"),
    [
        pytest.param("scale_shift_table", Scheme.DIFFUSERS, id="diffusers"),
        pytest.param("head.modulation", Scheme.WAN, id="Wan"),
        pytest.param("model.diffusion_model.patch_embedding.bias", Scheme.COMFYUI, id="ComfyUI"),
    ],
)
def test_one_name_that_no_other_scheme_has_is_enough(key: str, scheme: Scheme) -> None:
    assert detect_scheme({key, "patch_embedding.weight", "something"}, KNOWN, "file") is scheme


def test_names_of_two_schemes_in_one_are_refused_with_one_of_each() -> None:
    with pytest.raises(IntegrityError) as caught:
        detect_scheme({"scale_shift_table", "head.modulation"}, KNOWN, "file")
    assert caught.value.message == (
        "file: names of several schemes are mixed: scale_shift_table is diffusers's, head.modulation is wan's"
    )


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        pytest.param({"lm_head"}, "the first is lm_head", id="another model's"),
        pytest.param(set(), "there are none", id="nothing"),
        pytest.param({"patch_embedding.weight"}, "the first is patch_embedding.weight", id="in two schemes"),
    ],
)
def test_names_that_tell_no_scheme_are_refused(keys: set[str], told: str) -> None:
    with pytest.raises(IntegrityError, match=told):
        detect_scheme(keys, KNOWN, "file")
