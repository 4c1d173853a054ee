"""Weights and videos in S3, and the weights' cache on this machine. The only package that imports boto3.

What comes in is checked against digests before anybody sees it; what goes out never replaces another object.
All errors are types of `wan_core.errors`. Not covered yet: parallel ranges, resume after a kill, eviction.
"""

from wan_runner.store.cache import FetchedModel, fetch

__all__ = ["FetchedModel", "fetch"]
