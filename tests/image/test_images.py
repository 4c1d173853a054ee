"""What both images have in common, and what the operator's must not hold."""

from __future__ import annotations

import json
from importlib.metadata import version

import pytest

from tests.image.engine import HARDENED, Engine

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
IMAGES = ("operator_image", "runner_image")

SURROUNDINGS = """
import getpass, json, os, pathlib, tempfile
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status") if ":\\t" in line)
def writable(folder):
    try:
        tempfile.TemporaryFile(dir=folder).close()
        return True
    except OSError:
        return False
print(json.dumps({
    "ids": [os.getuid(), os.getgid()],
    "rights": int(status["CapEff"], 16) | int(status["CapPrm"], 16) | int(status["CapBnd"], 16),
    "user": getpass.getuser(),
    "home": str(pathlib.Path.home()),
    "writable": [folder for folder in ("/", "/opt/wan", "/home", "/var/cache", "/tmp") if writable(folder)],
}))
"""
SIZE = """
import os
print(sum(os.lstat(os.path.join(at, name)).st_size for at, _, names in os.walk("/opt/wan") for name in names))
"""


@pytest.fixture(params=IMAGES)
def image(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(request.param))


def python(engine: Engine, image: str, program: str) -> str:
    return engine.run(image, "-c", program, options=(*HARDENED, "--entrypoint=python3"))


def test_it_runs_as_a_numeric_user_without_rights_on_a_root_that_is_read_only(
    engine: Engine, image: str
) -> None:
    assert json.loads(python(engine, image, SURROUNDINGS)) == {
        "ids": [65532, 65532],
        "rights": 0,
        "user": "wan",
        "home": "/tmp",
        "writable": ["/tmp"],
    }
    assert engine.inspect(image, "{{.Config.User}}") == "65532:65532"


def test_it_says_what_it_is_and_not_how_it_was_built(engine: Engine, image: str) -> None:
    labels = json.loads(engine.inspect(image, "{{json .Config.Labels}}"))
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert labels["org.opencontainers.image.title"] in ("wan-operator", "wan-runner")
    history = engine.read("history", "--no-trunc", image)
    assert [secret for secret in ("PIP_INDEX_URL", "PIP_CERT", "TORCH_INDEX_URL") if secret in history] == []


def test_its_size_is_told(engine: Engine, image: str, capsys: pytest.CaptureFixture[str]) -> None:
    size = int(engine.inspect(image, "{{.Size}}"))
    ours = json.loads(python(engine, image, SIZE))
    with capsys.disabled():
        print(
            f"\n{image}: {size / 1e6:.0f} MB, of which {ours / 1e6:.0f} MB are Python packages and our code"
        )
    assert 0 < ours < size


def test_the_operator_tells_its_version(engine: Engine, operator_image: str) -> None:
    assert version("wan-operator") in engine.run(operator_image, "--version")


HEAVY = ("torch", "numpy", "boto3", "diffusers", "transformers", "av", "wan_runner", "pip")


def test_the_operators_image_holds_nothing_of_the_runners(engine: Engine, operator_image: str) -> None:
    look = f"import importlib.util as u; print([m for m in {HEAVY} if u.find_spec(m)])"
    assert python(engine, operator_image, look).strip() == "[]"
    assert python(engine, operator_image, "import shutil; print(shutil.which('cc'))").strip() == "None"
