"""What an alternative lacks is told by its figures."""

from __future__ import annotations

import pytest

from wan_core.catalog.differences import UNMEASURED, denoiser_parameters, what_is_lost
from wan_core.catalog.models import ENTRIES


@pytest.mark.parametrize(
    ("model", "other", "words"),
    [
        ("t2v-A14B", "t2v-1.3B", "1.4 B parameters instead of 28.6 B"),
        ("t2v-A14B", "t2v-1.3B", "one expert for all noise instead of two"),
        ("t2v-A14B", "t2v-1.3B", "taught up to 832x480 instead of 1280x720"),
        ("t2v-A14B", "ti2v-5B", "a token for 32x32 pixels instead of 16x16"),
        ("ti2v-5B", "t2v-A14B", "it takes no image"),
        ("ti2v-5B", "i2v-A14B", "it needs an image"),
        ("ti2v-5B", "t2v-A14B", "16 frames a second instead of 24"),
        ("s2v-14B", "i2v-A14B", "it hears no speech"),
        ("animate-14B", "i2v-A14B", "it follows no driving video"),
        ("t2v-A14B", "svd", "it reads no prompt"),
        ("t2v-A14B", "svd", "taught with 2.0 s instead of 5.1 s"),
    ],
)
def test_a_loss_is_told(model, other, words):
    assert words in what_is_lost(ENTRIES[model], ENTRIES[other]).split("; ")


@pytest.mark.parametrize("model", ENTRIES)
def test_a_model_lacks_nothing_beside_itself(model):
    assert what_is_lost(ENTRIES[model], ENTRIES[model]) == UNMEASURED


def test_the_motion_modules_count_as_what_computes_a_step():
    assert denoiser_parameters(ENTRIES["animatediff"]) / 1e9 == pytest.approx(1.31, abs=0.01)
