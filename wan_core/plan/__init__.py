"""Which plans a request has on what there is: what fits, how long, why not, and what would.

Arithmetic on documents only: no torch, no I/O, no clock. Not covered: several GPUs for one video.
"""
