"""`wan models` and `wan validate --models`."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.wan_operator.commands.calls import data_of, wan, widest, write
from wan_core.catalog.gpus import GPUS
from wan_core.catalog.models import ENTRIES
from wan_runner.tiny import model_files

OWN = """\
models:
  - id: corgi-5B
    base: ti2v-5B
    title: Corgis that surf
    licence: {name: CC-BY-4.0, commercial: "yes"}
"""


def test_every_model_has_a_line() -> None:
    listed = wan("models").stdout.splitlines()
    firsts = [line.split()[0] for line in listed[1:] if not line.startswith(" ")]
    assert firsts == list(ENTRIES)


def test_of_one_model_everything_is_told() -> None:
    said = wan("models", "t2v-1.3B").stdout
    for name in ("sizes", "frames", "guidance", "licence", "sources", "transformer", "or ti2v-5B"):
        assert any(line.startswith(name) for line in said.splitlines()), name
    assert "H100 SXM" in said


@pytest.mark.slow
def test_programs_get_the_capabilities_and_each_gpu() -> None:
    said = data_of(wan("models", "t2v-1.3B", "-o", "json"))
    assert said["licence"] == {"name": "Apache-2.0", "commercial": "yes"}
    assert {place["gpu"] for place in said["compatibility"]} == {card.name for card in GPUS}


def test_a_model_of_another_architecture_says_why_it_does_not_run() -> None:
    said = data_of(wan("models", "svd", "-o", "json"))
    assert said["cannotRun"]
    assert said["compatibility"] == []


def test_a_legacy_id_says_what_it_is_read_as() -> None:
    assert wan("models", "Stable-Video-Diffusion").stdout.startswith(
        '"Stable-Video-Diffusion" is read as svd\n'
    )


def test_an_unknown_model_is_one_line_with_the_nearest() -> None:
    result = wan("models", "t2v-A14X")
    assert result.exit_code == 64
    assert result.stderr == 'wan: MODEL: "t2v-A14X" is not in the catalogue; nearest: t2v-A14B, i2v-A14B\n'


def test_own_models_are_known_beside_the_others(tmp_path: Path) -> None:
    own = write(tmp_path, "own.yaml", OWN)
    assert "corgi-5B" in wan("models", "--catalog", own).stdout
    listed = data_of(wan("models", "--catalog", own, "-o", "json"))["models"]
    assert {model["id"]: model["weightsOf"] for model in listed}["corgi-5B"] == "ti2v-5B"
    manifest = write(
        tmp_path,
        "v.yaml",
        "apiVersion: wan.video/v1alpha1\nkind: VideoGeneration\nmetadata: {name: v}\n"
        "spec: {model: corgi-5B, prompt: a corgi}\n",
    )
    assert wan("explain", "-f", manifest, "--catalog", own, "--gpus", "H100").exit_code == 0
    assert wan("explain", "-f", manifest, "--gpus", "H100").exit_code == 64


@pytest.mark.parametrize("columns", [80, 100])
@pytest.mark.parametrize(
    "arguments", [[], ["animatediff"], pytest.param(["t2v-A14B"], marks=pytest.mark.slow)]
)
def test_it_fits_the_paper(columns: int, arguments: list[str]) -> None:
    assert widest(wan("models", *arguments, columns=columns).stdout) <= columns


def test_the_whole_catalogue_is_valid() -> None:
    result = wan("validate", "--models")
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 1 + len(ENTRIES)


def test_programs_get_what_a_valid_model_can_do_and_where(tmp_path: Path) -> None:
    report = tmp_path / "out.json"
    result = wan("validate", "--models", "wan-tiny", "-o", "json", "--report", report)
    said = data_of(result)
    assert said["overall_valid"]
    one = said["models"]["wan-tiny"]
    assert one["is_valid"]
    assert one["errors"] == []
    assert one["capabilities"]["id"] == "wan-tiny"
    assert {place["gpu"] for place in one["compatibility"]} == {card.name for card in GPUS}
    assert all(setting["fits"] for setting in one["profile"])
    assert report.read_text() == result.stdout


def test_an_own_catalogue_is_checked_entry_by_entry(tmp_path: Path) -> None:
    assert wan("validate", "--models", write(tmp_path, "own.yaml", OWN)).exit_code == 0
    bad = write(tmp_path, "bad.yaml", OWN.replace("ti2v-5B", "ti2v-6B").replace("title", "titel"))
    result = wan("validate", "--models", bad)
    assert result.exit_code == 64
    assert len(result.stderr.splitlines()) > 1
    said = data_of(wan("validate", "--models", bad, "-o", "json"))
    assert not said["overall_valid"]
    assert said["models"][str(bad)]["errors"]


def test_own_models_are_checked_by_their_ids_and_with_all_others(tmp_path: Path) -> None:
    own = write(tmp_path, "own.yaml", OWN)
    for asked in ([], ["corgi-5B"]):
        result = wan("validate", "--models", *asked, "--catalog", own)
        assert result.exit_code == 0
        (line,) = (line for line in result.stdout.splitlines() if line.startswith("corgi-5B"))
        assert "an entry of yours" in line


@pytest.mark.slow
def test_a_checkpoint_is_checked_against_the_architectures(tmp_path: Path) -> None:
    folder = tmp_path / "wan-tiny"
    for name, path in model_files("wan-tiny").items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, folder / name)
    said = data_of(wan("validate", "--models", folder, "-o", "json"))
    one = said["models"][str(folder)]
    assert said["overall_valid"], one["errors"]
    assert one["checkpoint"]["models"] == ["wan-tiny"]
    assert one["capabilities"]["id"] == "wan-tiny"
    own = write(tmp_path, "own.yaml", "models: [{id: shapes-2, base: wan-tiny, title: more shapes}]")
    also = data_of(wan("validate", "--models", folder, "--catalog", own, "-o", "json"))
    assert also["models"][str(folder)]["checkpoint"]["models"] == ["wan-tiny", "shapes-2"]
    named = folder.rename(tmp_path / "shapes-2")
    one = data_of(wan("validate", "--models", named, "--catalog", own, "-o", "json"))["models"][str(named)]
    assert one["capabilities"]["id"] == "shapes-2"
    folder = named.rename(folder)
    next(folder.glob("transformer_2/*.safetensors")).unlink()
    result = wan("validate", "--models", folder)
    assert result.exit_code == 64
    assert result.stderr.startswith(f"wan: {folder}: ")


@pytest.mark.parametrize(
    "option",
    [
        ["--gpus", "H100"],
        ["--host-memory", "64"],
        ["--cluster"],
        ["--here"],
        ["--kubeconfig", "x"],
        ["--context", "x"],
        ["--image", "x.png"],
        ["--preview", "x.png"],
        ["--tokenizer", "x"],
        ["--detailed"],
        ["--hardware-check"],
    ],
    ids=lambda option: option[0],
)
def test_an_option_that_says_nothing_of_models_is_refused_by_name(option: list[str]) -> None:
    result = wan("validate", "--models", "wan-tiny", *option)
    assert result.exit_code == 64
    assert result.stderr == f"wan: {option[0]}: does not go with --models\n"
    assert result.stdout == ""


def test_an_empty_name_is_not_the_current_folder() -> None:
    result = wan("validate", "--models", "")
    assert result.exit_code == 64
    assert result.stderr.startswith("wan: --models: a name is empty")


def test_each_such_option_has_its_line() -> None:
    result = wan("validate", "--models", "--gpus", "H100", "--detailed")
    assert sorted(result.stderr.splitlines()) == [
        "wan: --detailed: does not go with --models",
        "wan: --gpus: does not go with --models",
    ]


def test_a_file_of_models_that_is_no_text_is_not_mended(tmp_path: Path) -> None:
    bad = tmp_path / "own.yaml"
    bad.write_bytes(OWN.encode().replace(b"title: ", b"title: \xff"))
    for arguments in (("validate", "--models", bad), ("models", "--catalog", bad)):
        result = wan(*arguments)
        assert result.exit_code == 64
        assert "byte 0xff is not UTF-8" in result.stderr
