"""The demo models as they ship."""

from __future__ import annotations

from pathlib import Path

import pytest

from wan_core.errors import ModelNotFound
from wan_runner.store.contents import check_contents
from wan_runner.store.manifest import path_problems, refuse_code
from wan_runner.tiny import TINY_MODELS, model_files

WEIGHTS = model_files("wan-tiny")["model_index.json"].parents[1]
MAX_BYTES = 16_000_000


@pytest.mark.parametrize("model", TINY_MODELS)
def test_a_tiny_model_is_whole_and_holds_nothing_but_data(model: str) -> None:
    files = model_files(model)
    folders = {name.split("/")[0] for name in files if "/" in name}
    assert {"scheduler", "text_encoder", "tokenizer", "transformer", "vae"} <= folders
    assert ("transformer_2" in folders) == (model == "wan-tiny")
    refuse_code(files, model)
    assert path_problems(files) == []
    check_contents(files, model)


def test_the_tiny_models_share_all_but_their_transformers() -> None:
    first, second = (model_files(model) for model in TINY_MODELS)
    shared = {name for name in first if first.get(name) == second.get(name)}
    assert {name.split("/")[0] for name in shared} == {"text_encoder", "tokenizer", "vae"}


def test_the_weights_stay_small_enough_for_the_repository_and_readable_by_all() -> None:
    files = [path for path in WEIGHTS.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= MAX_BYTES
    assert all(path.stat().st_mode & 0o444 == 0o444 for path in files)


def test_another_model_does_not_ship() -> None:
    with pytest.raises(ModelNotFound, match="wan-tiny and wan-tiny-i2v do"):
        model_files("t2v-A14B")


def test_a_package_without_its_weights_says_so(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="the files of wan-tiny are missing"):
        model_files("wan-tiny", tmp_path)
