"""What a disk may hold after a power cut: the file operations of a folder, recorded, and ways to lose them.

    with recording(folder) as record:
        ...                                    # whatever writes below `folder`
    for state in record.states(seeds=8):       # each prefix of the operations, with what may be lost of it
        state.write(elsewhere)

A name in a folder is on disk once that folder was flushed; until then it may be there or not, each for
itself, and a rename is a name that comes and a name that goes. A file's bytes are those that it had when it
was flushed; if it never was, they are all there, half of them, or zeros: blocks can be claimed without their
bytes. Seen are the calls of `os`, which are those that the store makes.
"""

from __future__ import annotations

import os
import random
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

ROOT = 0


@dataclass
class Node:
    """A file, folder or link; `bytes` is the last that was seen of a file."""

    kind: str
    target: str = ""
    bytes: bytes = b""


@dataclass(frozen=True)
class Step:
    """One operation: a name comes or goes in a folder, or a folder or file is flushed."""

    kind: str
    node: int
    name: str = ""
    child: int | None = None
    bytes: bytes = b""


@dataclass
class Record:
    """The operations below `folder`, in order."""

    folder: Path
    nodes: list[Node] = field(default_factory=lambda: [Node("folder")])
    steps: list[Step] = field(default_factory=list)
    paths: dict[str, int] = field(default_factory=dict)

    def find(self, path: Any) -> tuple[int, str] | None:
        """The folder and the name of a path below ours."""
        full = os.path.abspath(os.fspath(path))
        where, name = os.path.split(full)
        return (self.paths[where], name) if where in self.paths else None

    def come(self, path: Any, node: Node) -> None:
        if found := self.find(path):
            self.nodes.append(node)
            self.paths[os.path.abspath(os.fspath(path))] = len(self.nodes) - 1
            self.steps.append(Step("name", *found, child=len(self.nodes) - 1))

    def go(self, path: Any) -> None:
        if found := self.find(path):
            self.paths.pop(os.path.abspath(os.fspath(path)), None)
            self.steps.append(Step("name", *found, child=None))

    def move(self, source: Any, target: Any) -> None:
        old, new = os.path.abspath(os.fspath(source)), os.path.abspath(os.fspath(target))
        moved = {path: node for path, node in self.paths.items() if (path + "/").startswith(old + "/")}
        if old in moved and (found := self.find(new)):
            self.steps.append(Step("name", *found, child=moved[old]))
            self.go(old)
            for path, node in moved.items():
                self.paths.pop(path, None)
                self.paths[new + path[len(old) :]] = node

    def look(self, path: Any) -> None:
        """Keeps the bytes that a file has now."""
        full = os.path.abspath(os.fspath(path))
        if full in self.paths and stat.S_ISREG(os.lstat(full).st_mode):
            self.nodes[self.paths[full]].bytes = Path(full).read_bytes()

    def flush(self, handle: int) -> None:
        full = os.readlink(f"/proc/self/fd/{handle}")
        if full in self.paths:
            self.look(full)
            node = self.paths[full]
            self.steps.append(Step("flush", node, bytes=self.nodes[node].bytes))

    def states(self, seeds: int) -> Iterator[State]:
        """Every prefix; of each: all lost that was not flushed, only bytes lost, and mixtures of chance."""
        for end in range(len(self.steps) + 1):
            for seed in range(seeds):
                yield State(self, end, seed)


@dataclass(frozen=True)
class State:
    """What is on disk after the first `end` operations; `seed` 0 loses all that it may, 1 only bytes."""

    record: Record
    end: int
    seed: int

    def write(self, folder: Path) -> None:
        luck = random.Random(self.seed * 7919 + self.end)
        names: dict[int, dict[str, list[int | None]]] = {}
        flushed: dict[int, bytes] = {}
        for step in self.record.steps[: self.end]:
            known = names.setdefault(step.node, {})
            if step.kind == "name":
                known.setdefault(step.name, [None]).append(step.child)
            elif self.record.nodes[step.node].kind == "folder":
                names[step.node] = {name: values[-1:] for name, values in known.items()}
            else:
                flushed[step.node] = step.bytes
        self._write(ROOT, folder, names, flushed, luck)

    def _write(
        self,
        node: int,
        folder: Path,
        names: dict[int, dict[str, list[int | None]]],
        flushed: dict[int, bytes],
        luck: random.Random,
    ) -> None:
        folder.mkdir(exist_ok=True)
        for name, values in sorted(names.get(node, {}).items()):
            child = {0: values[0], 1: values[-1]}.get(self.seed, luck.choice(values))
            if child is None:
                continue
            what, path = self.record.nodes[child], folder / name
            if what.kind == "folder":
                self._write(child, path, names, flushed, luck)
            elif what.kind == "link":
                path.symlink_to(what.target)
            else:
                lost = [bytes(len(what.bytes)), what.bytes[: len(what.bytes) // 2], what.bytes]
                unsure = lost[0] if self.seed < 2 else luck.choice(lost)
                path.write_bytes(flushed.get(child, unsure))


@contextmanager
def recording(folder: Path) -> Iterator[Record]:
    """Records what is done below `folder`, which is empty but for folders."""
    record = Record(folder)
    record.paths[str(folder)] = ROOT
    for path in sorted(folder.rglob("*")):
        record.come(path, Node("folder"))
    record.steps += [Step("flush", node) for node in range(len(record.nodes))]
    with patch.multiple(os, **_watched(record)):
        yield record
    for path in list(record.paths):
        record.look(path)


def _watched(record: Record) -> dict[str, Callable[..., Any]]:
    real = {name: getattr(os, name) for name in ("open", "replace", "rename", "symlink", "mkdir")}
    real |= {name: getattr(os, name) for name in ("unlink", "rmdir", "fsync")}

    def open_(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        is_new = bool(flags & os.O_CREAT) and not os.path.lexists(path)
        handle: int = real["open"](path, flags, mode, dir_fd=dir_fd)
        if is_new:
            record.come(path, Node("file"))
        return handle

    def replace(source: Any, target: Any) -> None:
        record.look(source)
        real["replace"](source, target)
        record.move(source, target)

    def symlink(target: Any, path: Any, target_is_directory: bool = False) -> None:
        real["symlink"](target, path, target_is_directory)
        record.come(path, Node("link", os.fspath(target)))

    def mkdir(path: Any, mode: int = 0o777) -> None:
        real["mkdir"](path, mode)
        record.come(path, Node("folder"))

    def unlink(path: Any, *, dir_fd: int | None = None) -> None:
        if dir_fd is not None:
            path = os.path.join(os.readlink(f"/proc/self/fd/{dir_fd}"), path)
        record.look(path)
        real["unlink"](path)
        record.go(path)

    def rmdir(path: Any, *, dir_fd: int | None = None) -> None:
        if dir_fd is not None:
            path = os.path.join(os.readlink(f"/proc/self/fd/{dir_fd}"), path)
        real["rmdir"](path)
        record.go(path)

    def fsync(handle: int) -> None:
        real["fsync"](handle)
        record.flush(handle)

    return {
        "open": open_,
        "replace": replace,
        "rename": replace,
        "symlink": symlink,
        "mkdir": mkdir,
        "unlink": unlink,
        "rmdir": rmdir,
        "fsync": fsync,
    }
