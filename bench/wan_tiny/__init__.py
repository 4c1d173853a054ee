"""wan-tiny: a text-to-video model of the Wan architecture, made from nothing on a CPU.

`train` is the one entry point; every stage is seeded, counted in steps and cached in a work folder.
Not covered: any real video. The world of this model is one coloured shape that moves on black.
"""
