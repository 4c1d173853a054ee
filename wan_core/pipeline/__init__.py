"""From weights on disk to frames: our transformer and loop, diffusers' VAE and schedulers, and our ways of
fitting them into memory."""
