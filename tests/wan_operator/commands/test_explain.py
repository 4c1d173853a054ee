"""`wan explain`: the ladder for people and for programs."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.wan_operator.commands.calls import TINY, data_of, manifest, wan, widest, write
from tests.wan_operator.worlds import NOW, UID, world_of
from wan_core.api.spec import Spec
from wan_core.api.status import Metadata
from wan_core.plan.by_hand import parse_gpus
from wan_operator.decide import decide
from wan_operator.world import World

MIXED = "H100-80:4,RTX4090:2,T4"


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return write(tmp_path, "video.yaml", manifest())


def test_the_ladder_is_a_table_and_an_arrow_points_at_what_is_taken(video: Path) -> None:
    result = wan("explain", "-f", video, "--gpus", "H100")
    assert result.exit_code == 0
    rows = [line for line in result.stdout.splitlines() if line.startswith("->")]
    assert len(rows) == 1
    assert "fits now" in rows[0]


def test_each_plan_that_does_not_fit_says_what_would_help(video: Path) -> None:
    result = wan("explain", "-f", video, "--gpus", "RTX4090")
    assert "never" in result.stdout
    assert "would fit with" in result.stdout


def test_of_a_plan_below_lossless_it_is_printed_what_is_lost(tmp_path: Path) -> None:
    path = write(tmp_path, "v.yaml", manifest(model="ti2v-5B", quality="near"))
    said = data_of(wan("explain", "-f", path, "--gpus", "RTX4090", "-o", "json"))
    lost = [f"loses: {loss}" for rung in said["rungs"] for loss in rung["loses"]]
    printed = wan("explain", "-f", path, "--gpus", "RTX4090", columns=300).stdout.splitlines()
    assert lost
    assert [line.strip() for line in printed if "loses: " in line] == lost


def test_it_exits_74_where_nothing_fits(video: Path) -> None:
    result = wan("explain", "-f", video, "--gpus", "T4", "--host-memory", "16")
    assert result.exit_code == 74
    assert result.stderr == "wan: video: no plan fits T4\n"
    assert "no plan of t2v-A14B can run" in " ".join(result.stdout.split())


def test_prices_give_each_plan_its_cost(video: Path) -> None:
    said = data_of(wan("explain", "-f", video, "--gpus", "H100", "--prices", "H100=3.6", "-o", "json"))
    best = next(rung for rung in said["rungs"] if rung["verdict"] != "Never")
    total = best["time"]["total"]
    assert best["cost"]["low"] == pytest.approx(total["low"] / 1000)
    assert "COST" in wan("explain", "-f", video, "--gpus", "H100", "--prices", "H100=3.6").stdout


def test_the_cheapest_may_be_preferred(tmp_path: Path) -> None:
    path = write(tmp_path, "v.yaml", manifest(model="t2v-1.3B"))
    prices = ("--prices", "H100=100,RTX4090=0.1")
    arguments = ("explain", "-f", path, "--gpus", MIXED, *prices, "-o", "json")
    by_time, by_cost = (data_of(wan(*arguments, "--order", order))["rungs"][0] for order in ("time", "cost"))
    assert (by_time["product"], by_cost["product"]) == ("H100 SXM", "RTX 4090")


@pytest.mark.parametrize("gpus", [MIXED, "T4", "L4:2,cpu"])
@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({}, id="the defaults"),
        pytest.param({"frames": 161, "quality": "near"}, id="a long one"),
        pytest.param({"fallback": {"models": ["t2v-1.3B"]}}, id="a fallback model"),
        pytest.param({"scheduling": {"gpuProducts": ["RTX 4090"]}}, id="one product only"),
    ],
)
def test_it_says_what_the_operator_writes_into_the_status(
    gpus: str, spec: dict[str, object], tmp_path: Path
) -> None:
    """The same spec and the same inventory: CLI and cluster never disagree."""
    path = write(tmp_path, "v.yaml", manifest(**spec))
    said = data_of(wan("explain", "-f", path, "--gpus", gpus, "-o", "json"))
    document = Spec.model_validate({"model": "t2v-A14B", "prompt": "a corgi", **spec})
    world = World(
        metadata=Metadata(name="video", uid=UID),
        spec=document,
        status=world_of().status,
        inventory=parse_gpus(gpus),
        settings=world_of().settings,
    )
    status = decide(world, NOW).status.to_dict()
    assert said["ladder"] == status["ladder"]
    assert said["fits"] == (status["phase"] != "Pending")


def test_several_manifests_are_explained_one_after_the_other(video: Path, tmp_path: Path) -> None:
    tiny = write(tmp_path, "tiny.yaml", TINY)
    said = data_of(wan("explain", "-f", video, "-f", tiny, "--gpus", "H100", "-o", "json"))
    assert [item["name"] for item in said["items"]] == ["video", "tiny"]


def test_yaml_says_what_json_says(video: Path) -> None:
    arguments = ("explain", "-f", video, "--gpus", "H100", "-o")
    assert yaml.safe_load(wan(*arguments, "yaml").stdout) == data_of(wan(*arguments, "json"))


def test_this_machine_is_taken_where_nothing_is_said(tmp_path: Path) -> None:
    said = data_of(wan("explain", "-f", write(tmp_path, "tiny.yaml", TINY), "-o", "json"))
    assert said["inventory"]["name"] == "this machine"
    assert said["fits"]


@pytest.mark.parametrize("columns", [80, 100])
@pytest.mark.parametrize("gpus", [MIXED, "T4", "NVIDIA RTX PRO 6000 Blackwell Server Edition"])
def test_it_fits_the_paper_and_has_no_colour_when_piped(columns: int, gpus: str, tmp_path: Path) -> None:
    path = write(tmp_path, "v.yaml", manifest(quality="near", fallback={"models": ["ti2v-5B", "t2v-1.3B"]}))
    result = wan("explain", "-f", path, "--gpus", gpus, "--prices", "H100=2.5", columns=columns)
    assert widest(result.stdout) <= columns
    assert "\x1b" not in result.stdout
    assert all(line == line.rstrip() for line in result.stdout.splitlines())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(["--gpus", "RTX4091"], "nearest: RTX 4090", id="an unknown GPU"),
        pytest.param(["--gpus", "H100", "--here"], "--gpus and --here: give one", id="two places"),
        pytest.param(
            ["--host-memory", "64"], "--host-memory: goes with --gpus", id="memory of what is looked at"
        ),
        pytest.param(["--context", "x"], "--context: goes with --cluster", id="a context of no cluster"),
        pytest.param(
            ["--gpus", "H100", "--prices", "H100"], "--prices: expected", id="a price without a number"
        ),
        pytest.param(["--gpus", "H100", "--prices", "H100=-1"], "below 0; nearest: 0", id="a negative price"),
        pytest.param(["--gpus", "H100", "--prices", "H100=1_0"], '"1_0" is no number', id="digits of Python"),
        pytest.param(["--gpus", "H100", "--prices", "H100=1e308"], "nearest: 1000000", id="a price too high"),
        pytest.param(["--gpus", "H100", "--prices", "H100=1,H100=2"], "given twice", id="a price twice"),
        pytest.param(
            ["--gpus", "H100", "--prices", "H100=1,H100 SXM=2"],
            '"H100 SXM" is "H100", which is given too',
            id="a GPU by two names",
        ),
        pytest.param(
            ["--gpus", "H100", "--prices", "RTX4091=1"],
            '--prices: "RTX4091" is not in the table of GPUs; nearest: RTX 4090',
            id="a price of an unknown GPU",
        ),
        pytest.param(
            ["--gpus", "H100", "--order", "cost"], "--prices says it", id="the cheapest by no price"
        ),
        pytest.param(["--gpus", "H100", "--prices", "absent.yaml"], "No such file", id="no file of prices"),
    ],
)
def test_a_wrong_call_is_one_line_and_exit_64(arguments: list[str], words: str, video: Path) -> None:
    result = wan("explain", "-f", video, *arguments)
    assert result.exit_code == 64
    (line,) = result.stderr.splitlines()
    assert line.startswith("wan: ")
    assert words in line


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("{}", "got an empty one", id="nothing"),
        pytest.param("H100: 1\n---\nH100: 2", "one mapping of prices a file is read", id="two documents"),
        pytest.param("H100: .inf", "is no number", id="infinity"),
        pytest.param('H100: "2.5"', '"2.5" is no number', id="a number in quotes"),
    ],
)
def test_a_wrong_file_of_prices_is_one_line(text: str, words: str, video: Path, tmp_path: Path) -> None:
    prices = write(tmp_path, "prices.yaml", text)
    result = wan("explain", "-f", video, "--gpus", "H100", "--prices", prices)
    assert result.exit_code == 64
    (line,) = result.stderr.splitlines()
    assert words in line


def test_each_problem_names_its_document_once(tmp_path: Path) -> None:
    write(tmp_path, "a.yaml", "42")
    write(tmp_path, "b.yaml", manifest(frames=82))
    result = wan("explain", "-f", tmp_path, "--gpus", "H100")
    assert result.stderr.splitlines() == [
        f"wan: {tmp_path / 'a.yaml'}: expected a mapping, got 42",
        f"wan: {tmp_path / 'b.yaml'}: spec.frames: 82 is not 4k+1; nearest: 81, 85",
    ]


def test_a_bad_manifest_is_told_line_by_line(tmp_path: Path) -> None:
    result = wan("explain", "-f", write(tmp_path, "v.yaml", manifest(frames=82)), "--gpus", "H100")
    assert result.exit_code == 64
    assert result.stderr == "wan: spec.frames: 82 is not 4k+1; nearest: 81, 85\n"
