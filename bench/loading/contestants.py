"""The ways from S3 to a file that are compared, each run in a process of its own.

    python -m bench.loading.contestants NAME JSON

takes a Job as JSON and prints what it took. What a contestant needs is imported before the clock runs; making
its client is within the time. Afterwards the file is read back and its CRC compared, so that nobody is quick
by leaving something out. Nobody flushes the file to disk.
"""

from __future__ import annotations

import http.client
import importlib.util
import json
import os
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from bench.loading.server import ANY, key_of

OURS = "ours"
RAW = "raw sockets"
MIB = 2**20
BUFFER_BYTES = MIB


@dataclass(frozen=True)
class Job:
    """`size` bytes from `endpoint` into the file `sink`; `chunks` are the CRC64NVME of each 64 MiB."""

    endpoint: str
    authority: str
    size: int
    sink: str
    chunks: tuple[int, ...]

    @property
    def path(self) -> str:
        return f"/{ANY}/{key_of(self.size)}"

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.endpoint)
        assert parts.hostname is not None
        assert parts.port is not None
        return parts.hostname, parts.port

    @property
    def is_tls(self) -> bool:
        return self.endpoint.startswith("https:")

    @property
    def blob(self) -> Any:
        from wan_runner.store.blob import Blob
        from wan_runner.store.chunks import Span, fold, split_chunks

        pieces = split_chunks(self.size, 64 * MIB)
        whole = fold(Span(*piece, crc) for piece, crc in zip(pieces, self.chunks, strict=True))
        return Blob("sha256-" + "0" * 64, self.size, self.chunks, whole)


Run = Callable[[], Mapping[str, Any]]
"""Fetches; returns what is worth telling besides."""
Prepare = Callable[[Job], Run]
"""Imports what is needed."""


def prepare_raw(job: Job, connections: int, *, reserved: bool = False) -> Run:
    """The least that can be done: recv_into, pwrite, and a new range when one is through.

    `reserved`: into a file whose blocks are claimed first, which takes longer in memory than on disk.
    """
    piece = max(8 * MIB, min(64 * MIB, job.size // (4 * connections)))
    starts = iter(range(0, job.size, piece))
    lock = threading.Lock()

    def work(descriptor: int) -> None:
        buffer = memoryview(bytearray(BUFFER_BYTES))
        connection = _connect(job)
        while True:
            with lock:
                start = next(starts, None)
            if start is None:
                connection.close()
                return
            _fetch_range(connection, job, descriptor, start, min(start + piece, job.size), buffer)

    def run() -> Mapping[str, Any]:
        descriptor = os.open(job.sink, os.O_WRONLY)
        if reserved:
            os.posix_fallocate(descriptor, 0, job.size)
        with ThreadPoolExecutor(connections) as pool:
            for future in [pool.submit(work, descriptor) for _ in range(connections)]:
                future.result()
        os.close(descriptor)
        return {}

    return run


def _connect(job: Job) -> socket.socket:
    connection = socket.create_connection(job.address)
    if not job.is_tls:
        return connection
    return ssl.create_default_context(cafile=job.authority).wrap_socket(
        connection, server_hostname=job.address[0]
    )


def _fetch_range(
    connection: socket.socket, job: Job, descriptor: int, start: int, end: int, buffer: memoryview
) -> None:
    host = f"{job.address[0]}:{job.address[1]}"
    connection.sendall(
        f"GET {job.path} HTTP/1.1\r\nHost: {host}\r\nRange: bytes={start}-{end - 1}\r\n\r\n".encode()
    )
    head = b""
    while b"\r\n\r\n" not in head:
        got = connection.recv(4096)
        if not got:
            raise http.client.RemoteDisconnected("the server went away")
        head += got
    rest = head.partition(b"\r\n\r\n")[2]
    start += os.pwrite(descriptor, rest, start)
    while start < end:
        count = connection.recv_into(buffer, min(len(buffer), end - start))
        if not count:
            raise http.client.IncompleteRead(b"", end - start)
        start += os.pwrite(descriptor, buffer[:count], start)


def prepare_ours(job: Job) -> Run:
    from wan_runner.store import s3
    from wan_runner.store.download import download
    from wan_runner.store.pace import read_pace

    pace, trace = read_pace(os.environ), []
    blob = job.blob

    def run() -> Mapping[str, Any]:
        begun_s = time.perf_counter()

        def report(done: int) -> None:
            workers = sum(thread.name == "fetch" for thread in threading.enumerate())
            trace.append((round(time.perf_counter() - begun_s, 2), done, workers, pace.settled))

        journal, place = Path(job.sink + ".journal"), s3.Location(ANY, key_of(job.size))
        with open(job.sink, "rb+", buffering=0) as sink:
            client, cancel = s3.connect(attempts=1), threading.Event()
            download(client, place, blob, sink, journal, cancel=cancel, report=report, pace=pace)
        journal.unlink()
        return {"trace": trace}

    return run


def prepare_boto3(job: Job, **settings: Any) -> Run:
    import boto3
    from boto3.s3.transfer import TransferConfig
    from botocore.config import Config

    config = Config(s3={"addressing_style": "path"}, response_checksum_validation="when_required")

    def run() -> Mapping[str, Any]:
        client = boto3.client("s3", endpoint_url=job.endpoint, config=config)
        transfer = TransferConfig(preferred_transfer_client="classic", **settings)
        client.download_file(ANY, key_of(job.size), job.sink, Config=transfer)
        return {}

    return run


def prepare_awscrt(job: Job) -> Run:
    """awscrt's client as it comes: 10 Gb/s, parts of its own choice."""
    from awscrt import io
    from awscrt.http import HttpHeaders, HttpRequest
    from awscrt.s3 import S3Client, S3RequestTlsMode, S3RequestType

    def run() -> Mapping[str, Any]:
        tls = None
        if job.is_tls:
            options = io.TlsContextOptions()
            options.override_default_trust_store_from_path(None, job.authority)
            tls = io.ClientTlsContext(options).new_connection_options()
        mode = S3RequestTlsMode.ENABLED if job.is_tls else S3RequestTlsMode.DISABLED
        client = S3Client(region="us-east-1", tls_mode=mode, tls_connection_options=tls)
        host = f"{job.address[0]}:{job.address[1]}"
        request = HttpRequest("GET", job.path, HttpHeaders([("Host", host)]))
        client.make_request(
            type=S3RequestType.GET_OBJECT, request=request, recv_filepath=job.sink
        ).finished_future.result()
        return {}

    return run


def prepare_obstore(job: Job, connections: int, piece: int) -> Run:
    import obstore
    from obstore.store import S3Store

    def run() -> Mapping[str, Any]:
        options: dict[str, Any] = {"allow_http": True}
        if job.is_tls:
            options["root_certificate"] = Path(job.authority).read_bytes()
        store = S3Store(
            ANY, endpoint=job.endpoint, region="us-east-1", skip_signature=True, client_options=options
        )
        descriptor = os.open(job.sink, os.O_WRONLY)

        def fetch(start: int) -> None:
            data = obstore.get_range(store, key_of(job.size), start=start, end=min(start + piece, job.size))
            os.pwrite(descriptor, data, start)

        with ThreadPoolExecutor(connections) as pool:
            list(pool.map(fetch, range(0, job.size, piece)))
        os.close(descriptor)
        return {}

    return run


@dataclass(frozen=True)
class Contestant:
    prepare: Prepare
    needs: str = "wan_runner"  # the package without which it is left out


CONTESTANTS: Mapping[str, Contestant] = MappingProxyType(
    {
        **{f"{RAW}, {n}": Contestant(partial(prepare_raw, connections=n)) for n in (1, 4, 16, 64)},
        f"{RAW}, 4, blocks reserved first": Contestant(partial(prepare_raw, connections=4, reserved=True)),
        OURS: Contestant(prepare_ours),
        "boto3 download_file, default": Contestant(prepare_boto3, "boto3"),
        "boto3 download_file, 64 MB x 4": Contestant(
            partial(
                prepare_boto3,
                multipart_chunksize=64 * MIB,
                multipart_threshold=64 * MIB,
                max_concurrency=4,
            ),
            "boto3",
        ),
        "awscrt S3Client": Contestant(prepare_awscrt, "awscrt"),
        "obstore get_range, 16 MB x 8": Contestant(
            partial(prepare_obstore, connections=8, piece=16 * MIB), "obstore"
        ),
    }
)


def is_here(name: str) -> bool:
    return importlib.util.find_spec(CONTESTANTS[name].needs) is not None


def peak_rss() -> int:
    """Bytes, of this process since it was started."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise OSError("this kernel does not tell VmHWM")


def run_one(name: str, job: Job) -> dict[str, Any]:
    """What a contestant took, in this process."""
    Path(job.sink).touch()
    run = CONTESTANTS[name].prepare(job)
    before = peak_rss()
    began, cpu = time.perf_counter(), time.process_time()
    told = run()
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu
    peak = peak_rss()
    require_whole(job)
    return {"seconds": seconds, "cpu_s": cpu_seconds, "rss": peak, "rss_before": before, **told}


def require_whole(job: Job) -> None:
    from awscrt import checksums

    crc, buffer = 0, memoryview(bytearray(4 * MIB))
    with open(job.sink, "rb", buffering=0) as file:
        while got := file.readinto(buffer):
            crc = checksums.crc64nvme(buffer[:got], crc)
    wanted = job.blob.crc64nvme
    if crc != wanted:
        raise OSError(f"{job.sink} has CRC64NVME {crc:016x}; {wanted:016x} was served")


def main() -> None:
    name, text = sys.argv[1:]
    given = json.loads(text)
    print(json.dumps(run_one(name, Job(**{**given, "chunks": tuple(given["chunks"])}))))


def to_text(job: Job) -> str:
    return json.dumps(asdict(job))


if __name__ == "__main__":
    main()
