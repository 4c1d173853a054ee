"""How far ours is from diffusers, for a user's folder: what is found, and what passes."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from wan_core.errors import IntegrityError, ModelNotFound

pytestmark = pytest.mark.slow  # imports diffusers


@pytest.mark.parametrize("kind", ["t2v", "i2v", "ti2v"])
def test_a_sound_folder_passes_in_every_dtype(kind: str, model_folder: Callable[[str], Path]) -> None:
    import torch

    from wan_core.pipeline.parity import DTYPES, find_parts, measure_parity

    parts = find_parts(model_folder(kind))
    assert [part.name for part in parts] == ["transformer", "transformer_2"][: 1 + (kind == "t2v")]
    for part in parts:
        findings = measure_parity(part, list(DTYPES), torch.device("cpu"))
        assert [found.dtype for found in findings] == ["fp32", "bf16", "fp16"]
        assert [found for found in findings if not found.passes] == []
        assert 0 < findings[0].relative_l2 < findings[2].relative_l2 < findings[1].relative_l2
        assert [found.theirs is None for found in findings] == [True, False, False]


def test_a_wrong_transformer_fails(
    model_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Attention that forgets a hundredth of what it saw."""
    import torch

    from wan_core.pipeline import parity

    right = parity.build_attention("sdpa", torch.device("cpu"), torch.float32)
    monkeypatch.setattr(parity, "build_attention", lambda *_: lambda q, k, v: 0.99 * right(q, k, v))
    part = model_folder("t2v") / "transformer"
    findings = parity.measure_parity(part, ["fp32", "bf16"], torch.device("cpu"))
    assert findings[0].relative_l2 > 1e-4
    assert not findings[0].passes


@pytest.mark.parametrize(
    ("ours", "theirs", "passes"),
    [
        pytest.param(1e-5, None, True, id="float32, at the gate"),
        pytest.param(1.1e-5, None, False, id="float32, beyond"),
        pytest.param(math.nan, None, False, id="float32, no number"),
        pytest.param(0.0109, 0.01, True, id="half, below"),
        pytest.param(0.0111, 0.01, False, id="half, beyond"),
        pytest.param(math.nan, 0.01, False, id="half, no number"),
        pytest.param(0.0, 0.0, True, id="half, both exact"),
        pytest.param(0.1, 0.0, False, id="half, diffusers alone exact"),
    ],
)
def test_gates(ours: float, theirs: float | None, passes: bool) -> None:
    from wan_core.pipeline.parity import Finding

    assert Finding("transformer", "any", ours, 0.0, theirs).passes is passes


def test_timesteps_are_by_token_where_the_index_says_so(
    model_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    """A transformer alone, or of another kind of pipeline, gets one a sample."""
    from wan_core.pipeline import parity

    alone = Path(shutil.copytree(model_folder("ti2v") / "transformer", tmp_path / "transformer"))
    assert parity._expands_timesteps(model_folder("ti2v") / "transformer")
    assert not parity._expands_timesteps(model_folder("t2v") / "transformer")
    assert not parity._expands_timesteps(alone)
    config = {"patch_size": [1, 2, 2], "in_channels": 8, "text_dim": 16}
    by_token = parity.draw_arguments(config, per_frame=True)[0]["timestep"]
    assert by_token.shape == (1, 3 * 6 * 8)
    assert by_token.unique_consecutive().tolist() == [0.0, 987.0]


def test_a_folder_that_is_none_or_holds_none_is_named(tmp_path: Path) -> None:
    import torch

    from wan_core.pipeline.parity import find_parts, measure_parity

    with pytest.raises(ModelNotFound, match="there is no such folder"):
        find_parts(tmp_path / "absent")
    with pytest.raises(IntegrityError, match=r"config\.json is not there"):
        measure_parity(find_parts(tmp_path)[0], ["fp32"], torch.device("cpu"))


@pytest.mark.parametrize(
    ("config", "told"),
    [
        pytest.param({"num_layers": 3}, r"transformer: blocks\.2\..* is missing", id="a block too few"),
        pytest.param({"patch_size": None}, r"config\.json: patch_size is null", id="no patch"),
        pytest.param({"image_dim": 1280}, "image_dim is 1280", id="CLIP"),
    ],
)
def test_what_diffusers_would_stumble_over_is_told_before(
    model_folder: Callable[[str], Path], tmp_path: Path, config: dict[str, object], told: str
) -> None:
    import torch

    from wan_core.pipeline.parity import measure_parity

    part = Path(shutil.copytree(model_folder("t2v") / "transformer", tmp_path / "transformer"))
    file = part / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **config}))
    with pytest.raises(IntegrityError, match=told):
        measure_parity(part, ["fp32"], torch.device("cpu"))
    with pytest.raises(IntegrityError, match="vae: is a vae, not a transformer"):
        measure_parity(model_folder("t2v") / "vae", ["fp32"], torch.device("cpu"))
