"""The commands as installed: by the light half alone, as `kubectl wan`, in a terminal and in a pipe."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.wan_operator.commands.calls import TINY, wan, write

SCRIPTS = Path(sys.executable).parent
EACH = (
    ["models"],
    ["gpus", "T4"],
    ["validate", "-f", "{manifest}", "--hardware-check", "--gpus", "cpu"],
    ["explain", "-f", "{manifest}", "--gpus", "cpu"],
    ["recommend", "--prompt", "a corgi", "--gpus", "cpu"],
)
HEAVY = ("torch", "numpy", "boto3", "diffusers", "transformers", "PIL", "av", "tokenizers", "safetensors")
OF_EXTRAS = (*HEAVY, "kopf", "kubernetes", "aiohttp", "prometheus_client", "psutil", "moto", "wan_runner")
WITHOUT = """
import importlib.util, sys
absent = set({absent!r})
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in absent:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
found = importlib.util.find_spec
def find_spec(name, package=None):
    return None if name.partition(".")[0] in absent else found(name, package)
importlib.util.find_spec = find_spec
from wan_core.cli import app
app({arguments!r}, prog_name="wan")
"""


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    return write(tmp_path, "tiny.yaml", TINY)


def filled(arguments: list[str], manifest: Path) -> list[str]:
    return [str(manifest) if argument == "{manifest}" else argument for argument in arguments]


@pytest.mark.slow
@pytest.mark.parametrize("arguments", EACH, ids=[arguments[0] for arguments in EACH])
def test_each_command_runs_where_no_extra_is_installed(arguments: list[str], manifest: Path) -> None:
    code = WITHOUT.format(absent=OF_EXTRAS, arguments=filled(arguments, manifest))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(["explain", "-f", "{manifest}", "--here"], "wan-operator[local]", id="this machine"),
        pytest.param(["explain", "-f", "{manifest}", "--cluster"], "wan-operator[operator]", id="a cluster"),
        pytest.param(
            ["validate", "-f", "{manifest}", "--tokenizer", "."], "wan-operator[local]", id="tokens"
        ),
    ],
)
def test_what_needs_an_extra_names_it(arguments: list[str], words: str, manifest: Path) -> None:
    code = WITHOUT.format(absent=OF_EXTRAS, arguments=filled(arguments, manifest))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 64
    (line,) = done.stderr.splitlines()
    assert line.startswith("wan: ")
    assert words in line


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
@pytest.mark.parametrize("arguments", EACH, ids=[arguments[0] for arguments in EACH])
def test_each_command_is_a_plugin_of_kubectl(arguments: list[str], manifest: Path) -> None:
    path = {"PATH": f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}", "COLUMNS": ""}
    command = ["kubectl", "wan", *filled(arguments, manifest)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == wan(*filled(arguments, manifest)).stdout


def test_the_plugins_help_names_each_command() -> None:
    done = subprocess.run([SCRIPTS / "kubectl-wan", "--help"], capture_output=True, text=True, check=True)
    assert "Usage: kubectl wan" in done.stdout
    for arguments in EACH:
        assert f"  {arguments[0]} " in done.stdout


@pytest.mark.slow
def test_who_has_read_enough_may_leave() -> None:
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {SCRIPTS / 'wan'} gpus | head -1"], capture_output=True, text=True
    )
    assert done.stdout.startswith("GPU")
    assert done.stderr == ""


@pytest.mark.slow
def test_a_terminal_gets_colour_and_a_pipe_none(manifest: Path) -> None:
    ours, theirs = pty.openpty()
    command = [str(SCRIPTS / "wan"), "validate", "-f", str(manifest)]
    environment = {k: v for k, v in os.environ.items() if k != "NO_COLOR"} | {"TERM": "xterm-256color"}
    done = subprocess.run(command, stdout=theirs, env=environment, check=True)
    os.close(theirs)
    shown = os.read(ours, 1 << 16).decode()
    assert done.returncode == 0
    assert "\x1b[32mvalid" in shown
    assert "\x1b" not in subprocess.run(command, capture_output=True, text=True, check=True).stdout
