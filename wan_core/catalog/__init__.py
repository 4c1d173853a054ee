"""Tables: which models and GPUs exist, their sizes and defaults, each number with its source.

No I/O, no logic beyond looking a thing up.
"""
