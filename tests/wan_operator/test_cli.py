"""`wan run` as a person calls it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.wan_core.api.bad_manifests import BAD
from wan_core.cli import app
from wan_core.errors import InvalidInput
from wan_operator.cli import read_source

MANIFEST = """\
apiVersion: wan.video/v1alpha1
kind: VideoGeneration
metadata: {name: tiny}
spec:
  model: wan-tiny
  prompt: a red circle moving right
"""


def run(*arguments: object, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, ["run", *map(str, arguments)], input=stdin)


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(MANIFEST)
    return path


def test_explain_prints_the_ladder_and_makes_nothing(manifest: Path, tmp_path: Path) -> None:
    result = run(manifest, "--explain", "--out", tmp_path / "out")
    assert result.exit_code == 0
    assert "wan-tiny" in result.output
    assert "fits now" in result.output
    assert not (tmp_path / "out").exists()


def test_explain_reads_standard_input() -> None:
    assert run("-", "--explain", stdin=MANIFEST).exit_code == 0


def test_explain_exits_as_incompatible_hardware_where_nothing_fits(
    manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    manifest.write_text(MANIFEST.replace("wan-tiny", "t2v-A14B"))
    result = run(manifest, "--explain")
    assert result.exit_code == 74
    assert result.stderr == "wan: tiny: no plan fits this machine\n"
    assert "would fit with a GPU with" in " ".join(result.stdout.split())


@pytest.mark.parametrize("model", ["wan-tiny", "t2v-A14B", "WAN-TINY"])
def test_explain_prints_what_wan_explain_prints_of_this_machine(manifest: Path, model: str) -> None:
    manifest.write_text(MANIFEST.replace("wan-tiny", f"{model}\n  quality: near"))
    ours = run(manifest, "--explain")
    theirs = CliRunner().invoke(app, ["explain", "-f", str(manifest), "--here"])
    free = re.compile(r"[0-9.]+ GiB free")  # of which there is more or less the moment after
    first, second = (free.sub("so much free", " ".join(said.output.split())) for said in (ours, theirs))
    assert first == second
    assert ours.exit_code == theirs.exit_code


@pytest.mark.parametrize("said", ["option", "environment"])
def test_models_of_one_s_own_are_known_by_a_file(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    catalogue = tmp_path / "own.yaml"
    catalogue.write_text("models: [{id: shapes-2, base: wan-tiny, title: more shapes}]")
    manifest.write_text(MANIFEST.replace("wan-tiny", "shapes-2"))
    assert run(manifest, "--explain").exit_code == 64
    if said == "environment":
        monkeypatch.setenv("WAN_CATALOG", str(catalogue))
    result = run(manifest, "--explain", *(["--catalog", catalogue] if said == "option" else []))
    assert result.exit_code == 0, result.output
    assert "shapes-2" in result.output


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("models: [{id: wan-tiny, base: wan-tiny, title: x}]", ["models[0].id: "]),
        (
            "models: [{id: a, base: svd, titel: x}]",
            ["models[0].title: missing", "models[0].titel: unknown"],
        ),
        (None, ["No such file or directory"]),
    ],
    ids=["a known id", "two faults", "no file"],
)
def test_what_is_wrong_with_the_file_of_models_is_told(
    manifest: Path, tmp_path: Path, text: str | None, lines: list[str]
) -> None:
    catalogue = tmp_path / "own.yaml"
    if text is not None:
        catalogue.write_text(text)
    result = run(manifest, "--explain", "--catalog", catalogue)
    assert result.exit_code == 64
    assert all(line in result.stderr for line in lines), result.stderr
    assert len(result.stderr.splitlines()) == len(lines)


@pytest.mark.parametrize(
    ("change", "lines"),
    [
        pytest.param(
            {"model: wan-tiny": "model: wan-tiny\n  frames: 82\n  resolution: 65x64"},
            ["spec.resolution: 65x64", "spec.frames: 82"],
            id="every problem has a line",
        ),
        pytest.param({"wan-tiny": "t9v-1B"}, ["spec.model: "], id="an unknown model"),
        pytest.param({"wan-tiny": "wan-tiny-i2v"}, ["spec.image: "], id="an image that is needed"),
        pytest.param(
            {"wan-tiny": "wan-tiny-i2v\n  image: s3://inputs/x.png"},
            ["spec.image: there is no file x.png"],
            id="no such image",
        ),
        pytest.param(
            {"wan-tiny": "wan-tiny-i2v\n  image: s3://elsewhere/x.png"},
            ['spec.image: bucket "elsewhere"'],
            id="another bucket",
        ),
    ],
)
def test_a_bad_manifest_gets_a_line_for_each_problem_and_exit_64(
    manifest: Path, change: dict[str, str], lines: list[str]
) -> None:
    for old, new in change.items():
        manifest.write_text(MANIFEST.replace(old, new))
    result = run(manifest)
    assert result.exit_code == 64
    said = result.stderr.splitlines()
    assert len(said) == len(lines)
    for line, start in zip(said, lines, strict=True):
        assert line.removeprefix("wan: ").startswith(start)
    assert "Traceback" not in result.output


@pytest.mark.parametrize(("text", "lines"), BAD.values(), ids=BAD)
def test_every_fault_of_a_manifest_is_told_as_it_is(
    text: str | bytes, lines: tuple[str, ...], tmp_path: Path
) -> None:
    path = tmp_path / "m.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode(errors="surrogatepass"))
    result = run(path, "--out", tmp_path / "out")
    assert result.exit_code == 64
    said = result.stderr.splitlines()
    assert [line.replace(f"{tmp_path}/", "") for line in said] == [f"wan: {line}" for line in lines]
    assert all(line.isprintable() for line in said)
    assert result.stdout == ""
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        pytest.param("absent.yaml", "No such file", id="a missing file"),
        pytest.param(".", "Is a directory", id="a folder"),
    ],
)
def test_what_cannot_be_read_is_said_in_one_line(tmp_path: Path, name: str, words: str) -> None:
    result = run(tmp_path / name)
    assert result.exit_code == 64
    assert words in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        pytest.param(
            ["--weights", "weights"], "--weights: weights does not look like s3://bucket", id="no prefix"
        ),
        pytest.param(
            ["--endpoint-url", "host:9"], "--endpoint-url: host:9 does not look like http", id="no URL"
        ),
    ],
)
def test_options_that_name_no_s3_are_refused_before_anything_starts(
    manifest: Path, options: list[str], words: str
) -> None:
    result = run(manifest, *options)
    assert result.exit_code == 64
    assert words in result.stderr


def test_the_image_that_a_video_starts_from_is_never_overwritten(manifest: Path, tmp_path: Path) -> None:
    manifest.write_text(MANIFEST.replace("wan-tiny", "wan-tiny-i2v\n  image: s3://inputs/tiny.png"))
    (tmp_path / "tiny.png").write_bytes(b"mine")
    result = run(manifest, "--out", tmp_path)
    assert result.exit_code == 64
    assert "spec.image: the contact sheet would replace" in result.stderr
    assert (tmp_path / "tiny.png").read_bytes() == b"mine"


def test_an_out_folder_that_cannot_be_made_is_said_in_one_line(manifest: Path) -> None:
    result = run(manifest, "--out", manifest)
    assert result.exit_code == 64
    assert result.stderr.splitlines() == [f"wan: {manifest}: File exists"]


def test_a_closed_standard_input_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(InvalidInput, match="standard input: is closed"):
        read_source(Path("-"))


def test_an_endless_file_is_read_only_as_far_as_a_manifest_may_be() -> None:
    result = run("/dev/zero")
    assert result.exit_code == 64
    assert len(result.stderr.splitlines()) == 1


def test_a_missing_image_and_other_problems_are_told_together(manifest: Path) -> None:
    manifest.write_text(
        MANIFEST.replace("wan-tiny", "wan-tiny-i2v\n  image: s3://inputs/x.png\n  frames: 200")
    )
    result = run(manifest)
    assert result.exit_code == 64
    assert any("spec.frames" in line for line in result.stderr.splitlines())


@pytest.mark.parametrize(
    ("spec", "lines"),
    [
        pytest.param(
            "{model: TI2V-1B, prompt: a, frames: 82, fallback: {models: [t2v]}}",
            [
                "spec.frames: 82 is not 4k+1; nearest: 81, 85",
                'spec.model: "TI2V-1B" does not exist: no such model was published; nearest: ti2v-5B',
                'spec.fallback.models[0]: "t2v" is ambiguous; nearest: t2v-A14B, t2v-1.3B',
            ],
            id="of the schema and of the catalogue",
        ),
        pytest.param(
            '{model: s2v-14B, prompt: a, frames: 900, image: "s3://inputs/none.png"}',
            [
                "spec.frames: 900 is more than s2v-14B makes, 160; nearest: 160",
                "spec.model: s2v-14B cannot run yet: it needs speech, and a request cannot carry audio yet",
                "spec.image: there is no file none.png; s3://inputs/ is the folder of the manifest, {folder}",
            ],
            id="of a model that cannot run yet",
        ),
        pytest.param(
            "{model: t2v-A14B, prompt: a, fallback: {models: [i2v-A14B]}}",
            [
                "spec.image: missing; i2v-A14B starts from an image: s3://BUCKET/KEY"
                " (for spec.fallback.models[0])"
            ],
            id="of a fallback model",
        ),
    ],
)
def test_problems_of_every_kind_are_told_at_once(manifest: Path, spec: str, lines: list[str]) -> None:
    manifest.write_text(MANIFEST.split("spec:")[0] + f"spec: {spec}\n")
    result = run(manifest, "--explain")
    assert result.exit_code == 64
    expected = [f"wan: {line}" for line in lines]
    assert result.stderr.splitlines() == [line.replace("{folder}", str(manifest.parent)) for line in expected]


def test_an_id_that_is_read_as_another_is_said_so(manifest: Path) -> None:
    manifest.write_text(MANIFEST.replace("wan-tiny", "wan_implementation:WAN-TINY"))
    result = run(manifest, "--explain")
    assert '"wan_implementation:WAN-TINY" is read as wan-tiny' in result.stdout.splitlines()


def test_packages_that_are_missing_are_named_with_the_command_that_installs_them(
    manifest: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("wan_operator.cli.TO_MAKE", ("a_package_of_nobody",))
    result = run(manifest, "--out", tmp_path / "out")
    assert result.exit_code != 0
    assert "pip install 'wan-operator[local]'" in result.stderr


@pytest.mark.slow
def test_output_into_a_pipe_holds_no_control_codes(manifest: Path) -> None:
    command = [sys.executable, "-c", "from wan_core.cli import main; main()"]
    told = subprocess.run([*command, "run", str(manifest), "--explain"], capture_output=True, check=False)
    assert b"fits now" in told.stdout
    assert b"\x1b" not in told.stdout
