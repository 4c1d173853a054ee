"""The container engine of this machine, if it has one that works: podman, or docker with its daemon.

Images are built and run for real or not at all: where no engine works, `NoEngine` says why, and the tests are
skipped with that reason. Nothing here installs anything; prepare.sh does, where CI calls it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PROGRAMS = ("podman", "docker")
BUILD_TIMEOUT_S = 1500.0
HYBRID = Path("/sys/fs/cgroup/unified")  # cgroup v1 with v2 beside it, which crun refuses
CA_BUNDLES = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
CA_IN_BUILD = "/ca-for-pip.crt"

# What a pod of ours is held to: no rights, and nothing to write to but /tmp.
HARDENED = (
    "--read-only",
    "--cap-drop=all",
    "--security-opt=no-new-privileges",
    "--tmpfs=/tmp:rw,exec,mode=1777",
)


class NoEngine(Exception):
    """Images cannot be built here; the message says what was tried."""


@dataclass(frozen=True)
class Engine:
    """A program that understands docker's command line, and what has to stand before its `run`."""

    program: str
    before_run: tuple[str, ...] = ()

    def succeeds(self, *arguments: str, timeout_s: float = 60.0) -> bool:
        """Whether a command of the engine ends well, in time."""
        try:
            asked = subprocess.run([self.program, *arguments], capture_output=True, timeout=timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return asked.returncode == 0

    def build(self, target: str, tag: str, build_args: Mapping[str, str]) -> None:
        """Build a target of the Dockerfile; podman does it without a daemon and without an OCI runtime."""
        command = [self.program, "build", "--target", target, "--tag", tag, "--network=host"]
        arguments = dict(build_args)
        if "PIP_INDEX_URL" in os.environ:
            arguments["PIP_INDEX_URL"] = os.environ["PIP_INDEX_URL"]
        if self.program == "podman":
            command.append("--isolation=chroot")
            if (bundle := find_ca_bundle()) is not None:
                command.append(f"--volume={bundle}:{CA_IN_BUILD}:ro")
                arguments["PIP_CERT"] = CA_IN_BUILD
        command += [f"--build-arg={name}={value}" for name, value in arguments.items()]
        checked([*command, str(ROOT)], BUILD_TIMEOUT_S)

    def run_command(self, image: str, *arguments: str, options: Sequence[str] = HARDENED) -> list[str]:
        """The command that runs a container in the foreground and ends with its exit code."""
        limits = ("--ulimit=nofile=4096:4096", "--ulimit=nproc=4096:4096")
        command = [self.program, "run", "--rm", "--network=host", *limits, *options, image, *arguments]
        return [*self.before_run, *command]

    def run(self, image: str, *arguments: str, options: Sequence[str] = HARDENED) -> str:
        """What a container prints."""
        return checked(self.run_command(image, *arguments, options=options), 240.0)

    def read(self, *arguments: str) -> str:
        """What a command of the engine prints."""
        return checked([self.program, *arguments], 60.0).strip()

    def free_bytes(self) -> int:
        """Room where images are kept; 0 if that folder is not on this machine."""
        field = "{{.Store.GraphRoot}}" if self.program == "podman" else "{{.DockerRootDir}}"
        folder = Path(self.read("info", "--format", field))
        return shutil.disk_usage(folder).free if folder.is_dir() else 0

    def inspect(self, image: str, template: str) -> str:
        """A field of an image, by a Go template."""
        return self.read("image", "inspect", "--format", template, image)


def find_engine() -> Engine:
    """The first engine that answers. Raises NoEngine."""
    problems = {program: problem_of(program) for program in PROGRAMS}
    working = next((program for program, problem in problems.items() if problem is None), None)
    if working is None:
        raise NoEngine("; ".join(str(problem) for problem in problems.values()))
    return Engine(working, private_mounts() if working == "podman" else ())


def problem_of(program: str) -> str | None:
    """Why this engine cannot be used; None if it answers."""
    if shutil.which(program) is None:
        return f"{program} is not installed"
    asked = subprocess.run([program, "info"], capture_output=True, text=True, timeout=60)
    return None if asked.returncode == 0 else f"`{program} info` says: {asked.stderr.strip()[-200:]}"


def private_mounts() -> tuple[str, ...]:
    """What hides a hybrid cgroup tree from crun; nothing where there is none, or where we may not."""
    if not HYBRID.is_dir() or os.geteuid() != 0 or shutil.which("unshare") is None:
        return ()
    return ("unshare", "--mount", "sh", "-c", f'umount {HYBRID} && exec "$@"', "sh")


def find_ca_bundle() -> str | None:
    """The CA bundle that this machine's environment names for pip."""
    named = (os.environ.get(name) for name in CA_BUNDLES)
    return next((path for path in named if path and Path(path).is_file()), None)


def checked(command: Sequence[str], timeout_s: float) -> str:
    """The standard output of a command that must succeed."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s)
    said = (done.stdout + done.stderr)[-6000:]
    assert done.returncode == 0, f"{' '.join(command)}\nended with {done.returncode}: {said}"
    return done.stdout
