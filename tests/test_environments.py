"""The three kinds of environment: what the operator's image will hold has no torch at all."""

import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.test_layout import LIGHT
from tests.test_layout import PROBE as IMPORT_ALL

ROOT = Path(__file__).resolve().parent.parent

LOOK_FOR = """
import importlib.util
print("present:", [m for m in ("torch", "numpy", "boto3", "psutil") if importlib.util.find_spec(m)])
"""


@pytest.mark.slow
def test_an_operator_only_environment_imports_all_of_the_operator_and_holds_no_torch_numpy_or_boto3(
    tmp_path: Path,
) -> None:
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / "bin" / "python"
    install = [python, "-m", "pip", "install", "-q", "-c", ROOT / "constraints.txt", f"{ROOT}[operator]"]
    subprocess.run(install, check=True, timeout=280)

    def run(probe: str, *names: str) -> str:
        command = [python, "-c", probe, *names]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        return done.stdout.strip() + done.stderr

    assert run(LOOK_FOR) == "present: []"
    assert run(IMPORT_ALL, *LIGHT) == "[]"


@pytest.mark.parametrize("command", ["-m json.tool --help", "-c 'import operator; operator.itemgetter'"])
def test_the_operator_folder_never_shadows_the_standard_library(command: str) -> None:
    subprocess.run(
        f"{sys.executable} {command}", shell=True, cwd=ROOT, check=True, capture_output=True, timeout=60
    )
