"""The images, built once for all tests, or those that you name.

WAN_IMAGE_OPERATOR  an image that is there already; default: it is built
WAN_IMAGE_RUNNER    an image that is there already, or `build`; default: its tests are skipped, as it takes
                    minutes and, with CUDA, 7 GB of the engine's storage (twice that while it is built)
WAN_IMAGE_BASE      what they are built on; see base.py
"""

from __future__ import annotations

import os

import pytest

from tests.image.base import find_base
from tests.image.engine import Engine, NoEngine, find_engine


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
    named = os.environ.get("WAN_IMAGE_RUNNER")
    if not named:
        pytest.skip("the runner's image takes minutes and 7 GB: WAN_IMAGE_RUNNER=build, or an image's name")
    return named if named != "build" else build("runner", engine, request)


def build(target: str, engine: Engine, request: pytest.FixtureRequest) -> str:
    image = f"localhost/wan-{target}:test"
    engine.build(target, image, {"BASE_IMAGE": request.getfixturevalue("base")})
    return image
