"""The images, built once for all tests, or those that you name.

WAN_IMAGE_OPERATOR  an image that is there already; default: it is built
WAN_IMAGE_RUNNER    an image that is there already; default: it is built, which takes minutes and, with CUDA,
                    7 GB of the engine's storage and several times that while it is built: skipped where
                    less than 40 GB are free
WAN_IMAGE_BASE      what they are built on; see base.py
"""

from __future__ import annotations

import os

import pytest

from tests.image.base import find_base
from tests.image.engine import Engine, NoEngine, find_engine

RUNNER_NEEDS = 40_000_000_000


@pytest.fixture(scope="session")
def engine() -> Engine:
    try:
        return find_engine()
    except NoEngine as error:
        pytest.skip(f"no container engine works here: {error}")


@pytest.fixture(scope="session")
def base(engine: Engine) -> str:
    try:
        return find_base(engine)
    except NoEngine as error:
        pytest.skip(f"no base image can be had here: {error}")


@pytest.fixture(scope="session")
def operator_image(engine: Engine, request: pytest.FixtureRequest) -> str:
    return os.environ.get("WAN_IMAGE_OPERATOR") or build("operator", engine, request)


@pytest.fixture(scope="session")
def runner_image(engine: Engine, request: pytest.FixtureRequest) -> str:
    if named := os.environ.get("WAN_IMAGE_RUNNER"):
        return named
    room = engine.free_bytes()
    if room < RUNNER_NEEDS:
        pytest.skip(f"the runner's image needs {RUNNER_NEEDS / 1e9:.0f} GB of room, not {room / 1e9:.0f}")
    return build("runner", engine, request)


def build(target: str, engine: Engine, request: pytest.FixtureRequest) -> str:
    image = f"localhost/wan-{target}:test"
    engine.build(target, image, {"BASE_IMAGE": request.getfixturevalue("base")})
    return image
