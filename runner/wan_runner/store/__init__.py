"""Weights and videos in S3, and the weights' cache on this machine. The only package that imports boto3.

What comes in is checked against digests before anybody sees it; what goes out never replaces another object.
All errors are types of `wan_core.errors`. Where things are, from the outside in:

    fetch                 a published model as a folder here, for as long as it is used
    manifest, sources     what a model is made of, told by its manifest or else by S3
    blob, contents        a file by what is known of its bytes; what a file may contain
    cache, tree           the folder of a node; a model's folder in it
    ingest, leases        one download for all; what is in use
    space, limits, evict  room before the first byte, and who makes it
    sweep, scrub, clean   what is left behind, what is damaged, what is too much
    filesystem, scratch   whether locks hold; an attempt's temporary files
    origin, download      a blob's bytes from S3
    crew, line, ranges    its workers, their connections, what they ask for
    chunks, journal, pace what is verified, what survives a kill, how fast
    cores                 whether computing is what holds it back
    publish, prepare_model, find_parts, model_folder, drafts   what people have, made into a model
    upload, multipart, digests, checksums, disk                files out, and whole
    holdings, verify      what there is, and whether it is right
    s3, location, connection, answers, silence                 S3 itself, and its errors as ours
    credentials, identities, key_files, renewal, proxies, redact   who we are there, and which way
    serve                 the embedded S3 of local mode, in a process of its own
"""

from wan_runner.store.fetch import FetchedModel, FetchReceipt, fetch
from wan_runner.store.scratch import open_scratch

__all__ = ["FetchReceipt", "FetchedModel", "fetch", "open_scratch"]
