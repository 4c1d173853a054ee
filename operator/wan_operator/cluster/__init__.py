"""The operator on a cluster: watches, one keyed queue, Jobs, and server-side applied status.

The same `decide` as on one machine. Nothing is remembered that the API server does not know: the process may
die at any instruction.
"""
