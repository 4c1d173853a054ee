"""Which file system a folder lies on, and whether locks can be trusted there.

flock answers "locked" on some file systems that several machines share although nobody else sees that lock
(Lustre without its mount option, some NFS, FUSE as its author pleased): two downloads would then write into
one file. So locks are trusted only on file systems known to be of one machine; all others, and unknown ones,
are not. Off Linux nothing tells which it is, and they are trusted: that is for development only.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

MOUNTS = Path("/proc/self/mountinfo")
DISKS = ("ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "zfs", "bcachefs", "nilfs2", "jfs", "reiserfs")
LOCAL = frozenset((*DISKS, "overlay", "tmpfs", "ramfs"))


class FileSystem(NamedTuple):
    """`kind` as in the table of mounts, "unknown" without one."""

    kind: str
    has_locks: bool


def find_filesystem(folder: Path) -> FileSystem:
    """Of an existing folder."""
    try:
        mounts = MOUNTS.read_text(errors="surrogateescape")
    except OSError:
        return FileSystem("unknown", has_locks=True)
    kind = kind_of(os.path.realpath(folder), mounts)
    return FileSystem(kind, kind in LOCAL)


def kind_of(path: str, mounts: str) -> str:
    """The type of the file system that `path`, absolute and without links, lies on: of the last mount on the
    longest mount point above it. `mounts` is in the format of proc_pid_mountinfo(5).
    """
    best, kind = "", "unknown"
    for line in mounts.splitlines():
        fields = line.split(" ")
        if "-" not in fields[6:]:
            continue
        point = re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), fields[4])
        above = path == point or path.startswith(point.rstrip("/") + "/")
        if above and len(point) >= len(best):
            best, kind = point, fields[fields.index("-", 6) + 1]
    return kind
