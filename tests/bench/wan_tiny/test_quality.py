"""The stored weights show what the prompt says: a smaller grid than bench.wan_tiny.quality runs."""

from pathlib import Path

import pytest
import torch

from bench.wan_tiny import quality

WEIGHTS = Path(__file__).parents[3] / "runner" / "wan_runner" / "tiny" / "weights"

pytestmark = pytest.mark.slow


def assert_right(outcomes: list[quality.Outcome]) -> None:
    """At least 97 %: of fewer than 34 cases, all."""
    for part in ("colour", "shape", "motion"):
        wrong = [outcome.case for outcome in outcomes if not quality.is_right(outcome, part)]
        assert len(wrong) <= 0.03 * len(outcomes), (part, wrong)


def test_text_to_video_shows_the_prompt():
    pipeline = quality.load_pipeline(WEIGHTS, "t2v", torch.float32)
    cases = quality.T2V_TRAINED[:12] + quality.T2V_HELD_OUT[:4]
    assert_right(quality.run_t2v(pipeline, cases, quality.T2V_SAMPLING))


def test_image_to_video_shows_the_prompt_and_keeps_the_first_frame():
    pipeline = quality.load_pipeline(WEIGHTS, "i2v", torch.float32)
    outcomes = quality.run_i2v(pipeline, quality.I2V_TRAINED[:4], quality.I2V_SAMPLING)
    assert_right(outcomes)
    assert min(outcome.first_frame_psnr for outcome in outcomes) >= 28.0
