"""`wan validate -f`: everything that is wrong, for people and for scripts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from PIL import Image

from tests.wan_operator.commands.calls import TINY, data_of, manifest, wan, widest, write

BAD = manifest("bad", frames=82, resolution="1281x720")


def test_a_valid_manifest_exits_0(tmp_path: Path) -> None:
    result = wan("validate", "-f", write(tmp_path, "tiny.yaml", TINY))
    assert result.exit_code == 0
    assert "valid" in result.stdout
    assert result.stderr == ""


def test_each_problem_is_a_line_on_stderr_and_the_exit_code_is_64(tmp_path: Path) -> None:
    result = wan("validate", "-f", write(tmp_path, "bad.yaml", BAD))
    assert result.exit_code == 64
    starts = [line.split(":")[1].strip() for line in result.stderr.splitlines()]
    assert sorted(starts) == ["spec.frames", "spec.resolution"]
    assert "2 problems" in result.stdout
    assert "Traceback" not in result.output


def test_of_several_documents_each_line_names_its_own(tmp_path: Path) -> None:
    path = write(tmp_path, "all.yaml", f"{TINY}---\n{BAD}\n")
    result = wan("validate", "-f", path)
    assert result.exit_code == 64
    assert all(line.startswith(f"wan: {path} document 2: spec.") for line in result.stderr.splitlines())


def test_a_folder_is_read_as_kubectl_reads_it(tmp_path: Path) -> None:
    write(tmp_path, "a.yaml", TINY)
    write(tmp_path, "b.json", manifest("b"))
    write(tmp_path, "c.yml", "apiVersion: v1\nkind: Service\nmetadata: {name: s}\n")
    write(tmp_path, "notes.txt", "nothing of ours")
    result = wan("validate", "-f", tmp_path, "-o", "json")
    assert result.exit_code == 0
    said = data_of(result)
    assert [d["name"] for d in said["documents"]] == ["tiny", "b"]
    assert [s.rpartition(": ")[2] for s in said["skipped"]] == ["v1 Service"]


def test_standard_input_is_a_manifest() -> None:
    assert wan("validate", "-f", "-", stdin=TINY).exit_code == 0


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_programs_get_path_value_rule_and_nearest(form: str, tmp_path: Path) -> None:
    result = wan("validate", "-f", write(tmp_path, "bad.yaml", BAD), "-o", form)
    said = (json.loads if form == "json" else yaml.safe_load)(result.stdout)
    assert result.exit_code == 64
    assert not said["valid"]
    by_path = {p["path"]: p for p in said["documents"][0]["problems"]}
    assert by_path["spec.frames"]["value"] == 82
    assert by_path["spec.frames"]["nearest"] == ["81", "85"]
    assert by_path["spec.frames"]["rule"] == "82 is not 4k+1"


def test_the_report_is_the_whole_answer_in_a_file(tmp_path: Path) -> None:
    path = write(tmp_path, "bad.yaml", BAD)
    result = wan("validate", "-f", path, "--report", tmp_path / "out.json")
    assert result.exit_code == 64
    assert json.loads((tmp_path / "out.json").read_text()) == data_of(
        wan("validate", "-f", path, "-o", "json")
    )


def test_a_full_disk_ends_with_73(tmp_path: Path) -> None:
    result = wan("validate", "-f", write(tmp_path, "tiny.yaml", TINY), "--report", "/dev/full")
    assert result.exit_code == 73
    assert "No space left on device" in result.stderr


def test_detailed_tells_what_the_manifest_leaves_to_the_model(tmp_path: Path) -> None:
    path = write(tmp_path, "tiny.yaml", TINY)
    assert "64x64, 17 frames" in wan("validate", "-f", path, "--detailed").stdout
    (request,) = data_of(wan("validate", "-f", path, "--detailed", "-o", "json"))["documents"][0]["requests"]
    assert request["steps"] == 20


def test_the_hardware_check_exits_74_where_no_plan_fits(tmp_path: Path) -> None:
    path = write(tmp_path, "video.yaml", manifest())
    assert wan("validate", "-f", path, "--hardware-check", "--gpus", "H100:1").exit_code == 0
    result = wan("validate", "-f", path, "--hardware-check", "--gpus", "T4:1", "--host-memory", "16")
    assert result.exit_code == 74
    assert result.stderr == "wan: video: no plan fits T4:1\n"
    assert "fits nowhere" in result.stdout


def test_the_hardware_check_says_on_what_it_looked_for_a_plan(tmp_path: Path) -> None:
    path = write(tmp_path, "video.yaml", manifest())
    asked = ("validate", "-f", path, "--hardware-check", "--gpus", "H100")
    assumed = "each machine with 64 GiB of memory, assumed: --host-memory says another"
    assert wan(*asked).stdout.startswith(f"on H100: H100 SXM\n{assumed}\n\nDOCUMENT")
    said = data_of(wan(*asked, "-o", "json"))
    assert (said["notes"], said["inventory"]["name"]) == ([assumed], "H100")
    assert "inventory" not in data_of(wan("validate", "-f", path, "-o", "json"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param([], "nothing to validate", id="nothing"),
        pytest.param(["-f", "absent.yaml"], "absent.yaml: No such file", id="a missing file"),
        pytest.param(
            ["-f", "-", "--gpus", "H100"],
            "--gpus: goes with --hardware-check",
            id="hardware without its check",
        ),
        pytest.param(["-f", ""], "the name of a manifest is empty", id="an empty name"),
        pytest.param(["-f", "-", ""], "the name of a manifest is empty", id="an empty name among others"),
        pytest.param(["-f", "-", "--image", ""], "--image: is empty", id="an image without a name"),
        pytest.param(["-f", "-", "--tokenizer", "absent"], "--tokenizer: absent holds", id="no tokenizer"),
    ],
)
def test_a_wrong_call_is_one_line_and_exit_64(arguments: list[str], words: str) -> None:
    result = wan("validate", *arguments, stdin=TINY)
    assert result.exit_code == 64
    (line,) = result.stderr.splitlines()
    assert line.startswith("wan: ")
    assert words in line


@pytest.mark.parametrize("option", ["--report", "--preview"])
@pytest.mark.parametrize("by", ["file", "folder", "image"])
def test_nothing_that_is_read_is_replaced(option: str, by: str, tmp_path: Path) -> None:
    path = write(tmp_path, "tiny.yaml", TINY)
    named = {"file": ("-f", path), "folder": ("-f", tmp_path), "image": ("-f", "-", "--image", path)}[by]
    result = wan("validate", *named, option, path, stdin=TINY)
    assert result.exit_code == 64
    assert result.stderr == f"wan: {option}: {path} is read here and would be replaced; choose another file\n"
    assert path.read_text() == TINY


@pytest.mark.parametrize("columns", [80, 100])
def test_it_fits_the_paper(columns: int, tmp_path: Path) -> None:
    path = write(tmp_path, "video.yaml", manifest("a-name-that-is-longer-than-most-names-are"))
    result = wan("validate", "-f", path, "--detailed", "--hardware-check", "--gpus", "H100", columns=columns)
    assert widest(result.stdout) <= columns
    assert "\x1b" not in result.stdout


IMAGE = "s3://inputs/a.png"


def image_of(folder: Path, width: int, height: int) -> Path:
    path = folder / "a.png"
    Image.new("RGB", (width, height), "blue").save(path)
    return path


def test_an_image_of_another_aspect_is_refused_with_each_way_out(tmp_path: Path) -> None:
    path = write(tmp_path, "v.yaml", manifest(model="i2v-A14B", image=IMAGE))
    result = wan("validate", "-f", path, "--image", image_of(tmp_path, 1000, 1000), "-o", "json")
    assert result.exit_code == 64
    (problem,) = data_of(result)["documents"][0]["problems"]
    assert problem["path"] == "spec.image"
    assert "imageFit: crop" in problem["text"]
    assert "imageFit: pad" in problem["text"]


def test_the_preview_is_the_frame_that_the_video_begins_with(tmp_path: Path) -> None:
    path = write(tmp_path, "v.yaml", manifest(model="i2v-A14B", image=IMAGE, imageFit="crop"))
    out = tmp_path / "out.png"
    result = wan("validate", "-f", path, "--image", image_of(tmp_path, 1000, 1000), "--preview", out)
    assert result.exit_code == 0, result.stderr
    assert f"preview: {out}" in result.stdout.replace("\n", "")
    assert "takes the box" in result.stdout
    with Image.open(out) as frame:
        assert frame.size == (1280, 720)


def test_an_image_for_a_manifest_without_one_is_a_wrong_call(tmp_path: Path) -> None:
    path = write(tmp_path, "tiny.yaml", TINY)
    result = wan("validate", "-f", path, "--image", image_of(tmp_path, 64, 64))
    assert result.exit_code == 64
    assert "says nothing in spec.image" in result.stderr


def test_what_the_text_encoder_does_not_read_is_shown(tmp_path: Path) -> None:
    path = write(tmp_path, "v.yaml", manifest(model="wan-tiny", prompt="red circle " * 400))
    said = data_of(wan("validate", "-f", path, "--detailed", "-o", "json"))
    (document,) = said["documents"]
    assert document["prompts"]["spec.prompt"]["basis"] == "counted"
    (warning,) = [text for text in document["warnings"] if text.startswith("spec.prompt: has ")]
    assert "cut from" in warning
    assert document["valid"]


def test_without_its_tokenizer_a_prompt_is_estimated(tmp_path: Path) -> None:
    said = data_of(wan("validate", "-f", write(tmp_path, "v.yaml", manifest()), "--detailed", "-o", "json"))
    assert said["documents"][0]["prompts"]["spec.prompt"]["basis"] == "estimated"


def test_what_is_slow_or_poor_is_a_warning(tmp_path: Path) -> None:
    path = write(tmp_path, "v.yaml", manifest(resolution="1024x576", steps=8))
    result = wan("validate", "-f", path)
    assert result.exit_code == 0
    assert "warning: spec.resolution: 1024x576" in result.stdout
    assert "warning: spec.steps: 8" in result.stdout


def test_where_a_fallback_model_would_run_the_line_names_it_and_warns_of_it_alone(tmp_path: Path) -> None:
    spec = {"model": "t2v-A14B", "steps": 8, "fallback": {"models": ["t2v-1.3B"]}}
    path = write(tmp_path, "v.yaml", manifest(**spec))
    asked = ("validate", "-f", path, "--hardware-check", "--gpus", "RTX4090")
    assert "t2v-1.3B: bf16" in wan(*asked, columns=200).stdout
    (document,) = data_of(wan(*asked, "-o", "json"))["documents"]
    steps = [text for text in document["warnings"] if text.startswith("spec.steps: ")]
    assert steps == ["spec.steps: 8 is 16 % of the model's own 50; so few leave blur and noise"]
