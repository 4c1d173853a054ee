"""A real S3 server with real files below one folder, and the buckets of a small installation.

It is versitygw, on loopback unless told otherwise: path-style addressing, one user who may do everything.
Bucket policies, versions and other users are not covered.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import EndpointConnectionError

from tests.controlplane import build
from tests.controlplane.process import Owner, Process, free_port, wait_until

WEIGHTS, VIDEOS, INPUTS = BUCKETS = ("weights", "videos", "inputs")
TINY = ("wan-tiny", "wan-tiny-i2v")


class S3Server(Owner):
    """Starts on `with`, with the buckets of BUCKETS; ends on leaving, or with this process.

    `process` may be stopped and started again, or halted with SIGSTOP: the objects stay.
    """

    region = "us-east-1"

    def __init__(self, folder: Path, host: str = "127.0.0.1"):
        objects, facts = folder / "objects", folder / "metadata"
        for each in (objects, facts):
            each.mkdir(parents=True, exist_ok=True)
        self.access_key, self.secret_key = secrets.token_hex(10), secrets.token_urlsafe(30)
        port = free_port()
        self.endpoint = f"http://{host}:{port}"
        program = str(build.tool("versitygw"))
        self.process = Process(
            [
                program,
                "--port",
                f"{host}:{port}",
                "--quiet",
                "posix",
                "--sidecar",
                str(facts),
                str(objects),
            ],
            folder / "s3.log",
            {
                **os.environ,
                "ROOT_ACCESS_KEY_ID": self.access_key,
                "ROOT_SECRET_ACCESS_KEY": self.secret_key,
                "VGW_REGION": self.region,
                "VGW_KEEP_ALIVE": "true",
            },
        )
        self.credentials_file = folder / "credentials"
        self.write_credentials(self.credentials_file)

    def open(self) -> None:
        self.start()
        for bucket in BUCKETS:
            self.client().create_bucket(Bucket=bucket)

    def start(self) -> None:
        self.process.start()
        wait_until(self._answers, 120, f"S3 does not serve; see {self.process.log}")

    def close(self) -> None:
        if self.process.alive:
            self.process.kill()

    def client(self) -> Any:
        """A boto3 client with all rights, which does not try again."""
        config = Config(
            s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}, connect_timeout=60, proxies={}
        )
        return boto3.session.Session().client(
            "s3",
            endpoint_url=self.endpoint,
            region_name=self.region,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            config=config,
        )

    def credentials(self, secret_key: str | None = None) -> str:
        """The text of an AWS shared credentials file; with another `secret_key`, of one that is refused."""
        key = secret_key or self.secret_key
        return f"[default]\naws_access_key_id = {self.access_key}\naws_secret_access_key = {key}\n"

    def write_credentials(self, path: Path) -> None:
        path.touch(mode=0o600)
        path.write_text(self.credentials())

    def environment(self) -> dict[str, str]:
        """What a child process needs to speak to this S3 and to no other."""
        own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        return {
            **own,
            "AWS_SHARED_CREDENTIALS_FILE": str(self.credentials_file),
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_REGION": self.region,
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def keys(self, bucket: str, prefix: str = "") -> list[str]:
        """Every key below `prefix`, sorted."""
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return sorted(item["Key"] for page in pages for item in page.get("Contents", ()))

    def open_uploads(self, bucket: str) -> list[str]:
        """The keys of multipart uploads that were begun and neither completed nor aborted."""
        return sorted(
            u["Key"] for u in self.client().list_multipart_uploads(Bucket=bucket).get("Uploads", ())
        )

    def publish_tiny(self, models: Sequence[str] = TINY) -> None:
        """Puts the models that ship with the package into `weights`."""
        for model in models:
            self.publish(model, model)

    def publish(self, source: Path | str, model: str) -> None:
        """Puts a model's folder, or a shipped model, into `weights`, as `wan weights publish` does."""
        command = [sys.executable, "-c", "from wan_core.cli import main; main()"]
        command += ["weights", "publish", str(source), f"s3://{WEIGHTS}/{model}"]
        subprocess.run(command, env=self.environment(), cwd=self.process.log.parent, check=True)

    def _answers(self) -> bool:
        assert self.process.alive, self.process.tail()
        try:
            self.client().list_buckets()
        except EndpointConnectionError:
            return False
        return True
