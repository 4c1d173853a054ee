"""Settings that must stand before torch is imported anywhere; no test is timed, by hypothesis either; which
tests must share a process when several run side by side.
"""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# OpenMP's threads spin at barriers unless told to sleep: a busy machine runs wan-tiny 10 times slower then.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

IMAGES = Path(__file__).parent / "image"


@pytest.hookimpl(tryfirst=True)  # xdist reads the marks in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """`--dist loadgroup` keeps a module's tests together, for the cluster that they share, and all of those
    for which images are built.
    """
    for item in items:
        group = IMAGES if IMAGES in item.path.parents else item.path
        item.add_marker(pytest.mark.xdist_group(str(group)))
