"""Weights and videos in S3, and the weights' cache on this machine. The only package that imports boto3.

What comes in is checked against digests before anybody sees it; what goes out never replaces another object.
All errors are types of `wan_core.errors`.
"""

from wan_runner.store.fetch import FetchedModel, FetchReceipt, fetch
from wan_runner.store.scratch import open_scratch

__all__ = ["FetchReceipt", "FetchedModel", "fetch", "open_scratch"]
