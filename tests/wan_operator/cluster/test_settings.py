"""The administrator's file: what is wrong in it is told by field and value, all at once."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.wan_operator.cluster.stage import settings_of
from wan_core.errors import InvalidInput
from wan_operator.cluster.settings import read_settings

RUNNER = {"image": "runner:1"}
MEASURED = {"product": "L4", "plan": "a", "width": 64, "height": 64, "frames": 17}


def problems_in(folder: Path, text: str) -> list[str]:
    file = folder / "settings.yaml"
    file.write_text(text)
    with pytest.raises(InvalidInput) as refusal:
        read_settings(file)
    assert all(problem.startswith(f"{file}: ") for problem in refusal.value.problems)
    return [problem.removeprefix(f"{file}: ") for problem in refusal.value.problems]


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({"imageBucket": []}, "imageBucket: unknown field; did you mean imageBuckets?"),
        ({"runner": {}}, "runner.image: missing"),
        (
            {"runner": {**RUNNER, "cpu": 2}},
            "runner.cpu: expected a string, got 2 (integer); put it in quotes",
        ),
        ({"namespaces": []}, "namespaces: has 0 entries; the minimum is 1"),
        ({"namespaces": "films"}, 'namespaces: expected a list, got "films" (string); nearest: ["films"]'),
        (
            {"logLevel": "info"},
            'logLevel: "info" is not one of DEBUG, INFO, WARNING, ERROR; did you mean INFO?',
        ),
        ({"healthPort": 0}, "healthPort: 0 is below the minimum; nearest: 1"),
        ({"api": {"writesPerSecond": 0}}, "api.writesPerSecond: 0 is not above 0"),
        ({"api": {"workers": "many"}}, 'api.workers: expected an integer, got "many" (string)'),
        (
            {"planning": {"pricesPerGpuHour": {"NVIDIA-L4": -1}}},
            'planning.pricesPerGpuHour."NVIDIA-L4": -1 is below the minimum; nearest: 0',
        ),
        (
            {"planning": {"pricesPerGpuHour": {"NVIDIA-L4": "2.5"}}},
            'planning.pricesPerGpuHour."NVIDIA-L4": expected a number, got "2.5" (string);'
            " nearest: 2.5, without quotes",
        ),
        (
            {"planning": {"pricesPerGpuHour": {"NVIDIA-L4": 1e308}}},
            'planning.pricesPerGpuHour."NVIDIA-L4": 1e+308 is above the maximum; nearest: 1000000',
        ),
        (
            {"planning": {"pricesPerGpuHour": {"NVIDIA-L4": 1, "nvidia l4": 2}}},
            "planning.pricesPerGpuHour: NVIDIA-L4 and nvidia l4 are one product",
        ),
        (
            {"planning": {"order": "price"}},
            'planning.order: "price" is not one of time, cost',
        ),
        ({"planning": {"rates": {"busGbPerSecond": 0}}}, "planning.rates.busGbPerSecond: 0 is not above 0"),
        (
            {"planning": {"measurements": [MEASURED]}},
            "planning.measurements: a on L4 has neither peakGib nor secondsPerStep",
        ),
        (
            {"models": [{"id": "mine", "base": "ti2v-5B", "titel": "x", "title": "x"}]},
            "models[0].titel: unknown field; did you mean models[0].title?",
        ),
        (
            {"models": [{"id": "i2v-a14b", "base": "i2v-A14B", "title": "x"}]},
            'models[0].id: "i2v-a14b" is a model of the catalogue; choose another',
        ),
        (
            {"models": [{"id": "mine", "base": "ti2v-5B", "title": "x", "trainedFrames": [80]}]},
            "models[0].trainedFrames[0]: 80 is not 4k+1; nearest: 77, 81",
        ),
        ({"runner": {**RUNNER, "podTemplate": []}}, "runner.podTemplate: expected a mapping, got a list"),
    ],
    ids=lambda value: value.partition(":")[0] if isinstance(value, str) else "",
)
def test_a_wrong_field_is_told(more: dict[str, Any], problem: str, tmp_path: Path) -> None:
    given = settings_of().model_dump(mode="json", by_alias=True)
    assert problems_in(tmp_path, yaml.safe_dump(given | more)) == [problem]


def test_every_wrong_field_is_told_at_once(tmp_path: Path) -> None:
    given = settings_of().model_dump(mode="json", by_alias=True) | {"healthPort": "x", "weights": None}
    assert len(problems_in(tmp_path, yaml.safe_dump(given))) == 2


def test_a_file_without_fields_is_told(tmp_path: Path) -> None:
    assert problems_in(tmp_path, "- a") == ["expected a mapping, got a list"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param(b"\xff", "byte 0xff is not UTF-8", id="not UTF-8"),
        pytest.param(b"a: \0", r'the character "\x00" may not stand in YAML', id="a null byte"),
        pytest.param(b"a: [", "is not YAML: ", id="no YAML"),
        pytest.param(b"a: " + b"[" * 3000, "nested deeper than 32 levels", id="too deep"),
        pytest.param(b"a: 1\na: 2", '"a" is given twice', id="a key twice"),
    ],
)
def test_what_is_no_file_of_settings_is_told_with_its_line(text: bytes, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_bytes(text)
    with pytest.raises(InvalidInput) as caught:
        read_settings(path)
    (told,) = caught.value.problems
    assert re.fullmatch(rf"{re.escape(str(path))} line [12]: {re.escape(problem)}.*", told)
