"""`wan recommend`: a model and settings, with reasons."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.wan_operator.commands.calls import data_of, wan, widest, write

SQUARE = Path(__file__).parents[3] / "examples" / "blue-square.png"


def test_the_manifest_that_it_gives_fits_where_it_was_asked_for(tmp_path: Path) -> None:
    said = data_of(wan("recommend", "--prompt", "a corgi", "--gpus", "RTX4090", "-o", "json"))
    for way in said["recommendations"]:
        path = write(tmp_path, "v.yaml", yaml.safe_dump(way["manifest"]))
        result = wan("explain", "-f", path, "--gpus", "RTX4090", "-o", "json")
        assert result.exit_code == 0
        best = next(rung for rung in data_of(result)["rungs"] if rung["verdict"] != "Never")
        assert best["plan"] == way["rung"]["plan"]


def test_with_an_image_only_models_that_take_one_are_named() -> None:
    said = data_of(wan("recommend", "--image", SQUARE, "--gpus", "H100", "-o", "json"))
    assert {way["model"] for way in said["recommendations"]} == {"i2v-A14B", "ti2v-5B", "wan-tiny-i2v"}
    assert "t2v-A14B: takes no image" in said["refused"]
    assert all("image" in way["manifest"]["spec"] for way in said["recommendations"])


def test_what_keeps_to_the_time_stands_first() -> None:
    said = data_of(wan("recommend", "--prompt", "x", "--gpus", "RTX4090", "--within", "5m", "-o", "json"))
    best = said["recommendations"][0]
    assert best["within"]
    total = best["rung"]["time"]["total"]
    assert (total["low"] + total["high"]) / 2 <= 300


def test_confidence_tells_how_much_was_measured() -> None:
    said = data_of(wan("recommend", "--prompt", "x", "--gpus", "RTX4090,B580", "-o", "json"))
    for way in said["recommendations"]:
        sure = way["confidence"]
        assert 0 <= sure["measured"] + sure["published"] <= 1
        assert (sure["level"] == "low") == (sure["measured"] + sure["published"] < 0.5)


def test_a_laptop_without_a_gpu_gets_the_tiny_model() -> None:
    said = data_of(wan("recommend", "--prompt", "x", "--gpus", "cpu", "-o", "json"))
    assert [way["model"] for way in said["recommendations"]] == ["wan-tiny"]


def test_where_no_model_fits_it_exits_74() -> None:
    result = wan("recommend", "--prompt", "x", "--gpus", "XYZ@0.1GiB", "--host-memory", "1")
    assert result.exit_code == 74
    assert result.stderr == "wan: no model fits XYZ@0.1GiB\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param([], "--prompt, --image: give one", id="nothing"),
        pytest.param(["--prompt", "x", "--within", "soon"], "is no duration", id="no duration"),
        pytest.param(["--image", "absent.png"], "--image: absent.png: No such file", id="no image"),
        pytest.param(
            ["--image", ""], '--image: "" is neither a file nor s3://', id="an image without a name"
        ),
        pytest.param(["--image", "s3://b"], '--image: "s3://b" is neither', id="a bucket that cannot be"),
        pytest.param(["--prompt", " "], "--prompt: is blank", id="a blank prompt"),
        pytest.param(["--prompt", "x" * 9000], "--prompt: has 9000 characters", id="a prompt too long"),
        pytest.param(["--prompt", "a\x1b[31m"], "--prompt: has the control", id="a control character"),
        pytest.param(["--prompt", "\udcff"], "--prompt: ", id="half of a surrogate pair"),
    ],
)
def test_a_wrong_call_is_one_line_and_exit_64(arguments: list[str], words: str) -> None:
    result = wan("recommend", *arguments, "--gpus", "H100")
    assert result.exit_code == 64
    (line,) = result.stderr.splitlines()
    assert words in line


@pytest.mark.parametrize("columns", [80, 100])
def test_it_fits_the_paper(columns: int) -> None:
    arguments = ("recommend", "--prompt", "x", "--gpus", "RTX4090,T4", "--prices", "RTX4090=0.4")
    said = wan(*arguments, columns=columns).stdout
    assert widest(said) <= columns
