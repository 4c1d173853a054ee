"""The three kinds of environment: what the operator's image will hold has no torch at all."""

import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

PROBE = """
import importlib.util, sys
import wan_operator
present = [m for m in ("torch", "numpy", "boto3") if importlib.util.find_spec(m)]
loaded = [m for m in ("torch", "numpy", "boto3") if m in sys.modules]
print("present:", present, "loaded:", loaded)
"""


@pytest.mark.slow
def test_an_operator_only_environment_imports_the_operator_and_holds_no_torch_numpy_or_boto3(
    tmp_path: Path,
) -> None:
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / "bin" / "python"
    install = [python, "-m", "pip", "install", "-q", "-c", ROOT / "constraints.txt", f"{ROOT}[operator]"]
    subprocess.run(install, check=True, timeout=280)

    probe = subprocess.run(
        [python, "-c", PROBE], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
    )

    assert probe.stdout.strip() == "present: [] loaded: []"


@pytest.mark.parametrize("command", ["-m json.tool --help", "-c 'import operator; operator.itemgetter'"])
def test_the_operator_folder_never_shadows_the_standard_library(command: str) -> None:
    subprocess.run(
        f"{sys.executable} {command}", shell=True, cwd=ROOT, check=True, capture_output=True, timeout=60
    )
