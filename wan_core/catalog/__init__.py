"""Tables: which models and GPUs exist, their sizes and defaults, each number with its source.

And what a table alone answers: what a name means, which shapes a model makes, a slice of a GPU, whether an
entry agrees with itself, an administrator's own entries from a text. No I/O; nothing of requests or plans.
"""
