"""Settings that must stand before torch is imported anywhere; no test is timed, by hypothesis either; which
tests must share a process when several run side by side.
"""

import os
from typing import Any

import pytest
from hypothesis import settings

# OpenMP's threads spin at barriers unless told to sleep: a busy machine runs wan-tiny 10 times slower then.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

IMAGES = "tests/image"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """`--dist loadfile` keeps a module's tests together, for the cluster that they share; so are all of those
    for which images are built. (`--dist loadgroup` of xdist 3.8 groups nothing under pytest 9.2.)
    """
    from xdist.scheduler import LoadFileScheduling

    class Together(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            module = super()._split_scope(nodeid)
            return IMAGES if module.startswith(f"{IMAGES}/") else module

    return Together(config, log) if config.getvalue("dist") == "loadfile" else None
