"""From weights on disk to frames: diffusers' Wan pipelines, and our ways of fitting them into memory."""
