"""Settings that must stand before torch is imported anywhere; and no test is timed, by hypothesis either."""

import os

from hypothesis import settings

# OpenMP's threads spin at barriers unless told to sleep: a busy machine runs wan-tiny 10 times slower then.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
