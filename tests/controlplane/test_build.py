"""What decides whether a program is built again. No program is built here."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.controlplane import build


@pytest.fixture
def module(tmp_path: Path) -> Path:
    (tmp_path / "go.mod").write_text("module example.com/some\n")
    (tmp_path / "go.sum").write_text("example.com/other v1.0.0 h1:abc=\n")
    return tmp_path


FAMILY = build.FAMILIES[0]


def test_the_same_module_gives_the_same_key(module: Path):
    assert build.build_key(FAMILY, module) == build.build_key(FAMILY, module)


@pytest.mark.parametrize("name", ["go.mod", "go.sum"])
def test_a_changed_module_file_gives_another_key(module: Path, name: str):
    before = build.build_key(FAMILY, module)
    (module / name).write_text((module / name).read_text() + "// more\n")
    assert build.build_key(FAMILY, module) != before


def test_another_linker_variable_gives_another_key(module: Path):
    other = replace(FAMILY, variables={**FAMILY.variables, "main.version": "v2"})
    assert build.build_key(other, module) != build.build_key(FAMILY, module)


def test_a_line_moved_from_one_module_file_to_the_other_gives_another_key(module: Path):
    before = build.build_key(FAMILY, module)
    moved = (module / "go.mod").read_text() + (module / "go.sum").read_text()
    (module / "go.mod").write_text(moved)
    (module / "go.sum").write_text("")
    assert build.build_key(FAMILY, module) != before


def test_programs_lie_in_the_cache_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert build.path_of("kubectl").is_relative_to(tmp_path / "wan-operator" / "testbed")


@pytest.mark.parametrize("family", build.FAMILIES, ids=lambda family: family.name)
def test_every_program_is_pinned_by_its_module(family: build.Family):
    text = (build.MODULES / family.name / "go.mod").read_text()
    for package in family.packages.values():
        assert re.search(rf"^(tool )?\t?{re.escape(package)}$", text, re.MULTILINE), package
    assert (build.MODULES / family.name / "go.sum").stat().st_size > 0


def test_all_kubernetes_modules_are_of_the_version_that_the_programs_tell():
    text = (build.MODULES / "kubernetes" / "go.mod").read_text()
    told = FAMILY.variables["k8s.io/component-base/version.gitVersion"]
    staged = set(re.findall(r"=> k8s\.io/\S+ (v\S+)", text))
    assert f"k8s.io/kubernetes {told}" in text
    assert staged == {told.replace("v1.", "v0.", 1)}


def test_a_program_that_is_not_known_is_refused_before_anything_is_built(capsys: pytest.CaptureFixture[str]):
    assert build.main(["kube-proxy"]) == 2
    assert "kube-proxy" in capsys.readouterr().err
