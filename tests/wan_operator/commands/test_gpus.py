"""`wan gpus`: what is known of GPUs, and what runs there."""

from __future__ import annotations

import pytest

from tests.wan_operator.commands.calls import data_of, wan, widest
from wan_core.catalog.gpus import GPUS


def test_every_gpu_has_its_place_in_the_list() -> None:
    said = data_of(wan("gpus", "-o", "json"))
    assert [gpu["name"] for gpu in said["gpus"]] == [card.name for card in GPUS]
    assert all(gpu["sources"] for gpu in said["gpus"])
    assert {key for gpu in said["gpus"] for key in gpu["sources"]} <= set(said["sources"])


@pytest.mark.parametrize(
    "gpu",
    [
        pytest.param("RTX 4080", id="16 GB"),
        pytest.param("RTX 3080 10GB", id="10 GB"),
        pytest.param("RTX 3070", id="8 GB"),
    ],
)
def test_small_cards_have_settings_that_fit(gpu: str) -> None:
    said = data_of(wan("gpus", gpu, "-o", "json"))
    fitting = {s["model"]: s for s in said["performance"] if s["fits"]}
    assert {"ti2v-5B", "t2v-1.3B"} <= set(fitting)
    for setting in fitting.values():
        assert setting["settings"]["memory"]["peakGib"] <= said["memoryGib"]
        assert setting["settings"]["time"]["total"]["low"] > 0


def test_a_model_that_does_not_fit_says_why_with_its_number() -> None:
    said = wan("gpus", "RTX 3070", "--host-memory", "32").stdout
    assert "t2v-A14B: does not fit; needs " in said


def test_people_may_write_a_name_as_they_like() -> None:
    names = {data_of(wan("gpus", name, "-o", "json"))["name"] for name in ("4090", "rtx4090", "RTX 4090")}
    assert names == {"RTX 4090"}


def test_an_unknown_gpu_is_one_line_with_the_nearest() -> None:
    result = wan("gpus", "RTX4091")
    assert result.exit_code == 64
    (line,) = result.stderr.splitlines()
    assert "nearest: " in line


@pytest.mark.parametrize("columns", [80, 100])
@pytest.mark.parametrize("arguments", [[], ["RTX 4090"], ["T4"], ["RTX PRO 6000 Blackwell Max-Q"]])
def test_it_fits_the_paper(columns: int, arguments: list[str]) -> None:
    result = wan("gpus", *arguments, columns=columns)
    assert result.exit_code == 0
    assert widest(result.stdout) <= columns


@pytest.mark.parametrize("gib", ["inf", "nan", "1e400", "0", "-1", "lots"])
@pytest.mark.parametrize("command", [["gpus", "4090"], ["recommend", "--prompt", "a", "--gpus", "4090"]])
def test_host_memory_that_no_machine_has_is_refused(command: list[str], gib: str) -> None:
    result = wan(*command, "--host-memory", gib)
    assert result.exit_code == 2
    assert "'--host-memory'" in result.stderr
