"""Which file systems' locks are trusted, by the table of mounts."""

from __future__ import annotations

from pathlib import Path

import pytest

from wan_runner.store import filesystem
from wan_runner.store.filesystem import FileSystem, find_filesystem, kind_of

MOUNTS = r"""22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 22 0:26 / /data rw,relatime shared:7 - nfs4 server:/export rw,vers=4.2
31 30 254:16 / /data/fast\040disk rw,relatime shared:8 master:1 - xfs /dev/nvme0n1 rw
32 22 0:40 / /lustre rw - lustre 10.0.0.1@tcp:/fs rw
33 22 0:41 / /over rw - ext4 /dev/vdb rw
34 33 0:42 / /over rw - fuse.s3fs s3fs rw
35 22 0:43 /pod/cache /cache rw - ext4 /dev/vdc rw"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        pytest.param("/home/me", "ext4", id="root"),
        pytest.param("/data/cache", "nfs4", id="below a mount"),
        pytest.param("/data", "nfs4", id="the mount itself"),
        pytest.param("/database", "ext4", id="only a like name"),
        pytest.param("/data/fast disk/cache", "xfs", id="a space in the name"),
        pytest.param("/over/x", "fuse.s3fs", id="mounted over"),
        pytest.param("/cache", "ext4", id="a folder mounted into a container"),
    ],
)
def test_a_path_lies_on_the_last_mount_of_the_longest_name(path: str, kind: str) -> None:
    assert kind_of(path, MOUNTS) == kind


@pytest.mark.parametrize(
    ("kind", "trusted"),
    [
        *[pytest.param(kind, True, id=kind) for kind in ("ext4", "xfs", "btrfs", "overlay", "tmpfs", "zfs")],
        *[
            pytest.param(kind, False, id=kind)
            for kind in (
                "nfs",
                "nfs4",
                "lustre",
                "gpfs",
                "cifs",
                "smb3",
                "fuse.s3fs",
                "ceph",
                "9p",
                "virtiofs",
            )
        ],
    ],
)
def test_locks_are_trusted_only_where_one_machine_has_the_disk(
    kind: str, trusted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"22 1 254:0 / / rw - {kind} source rw\n")
    monkeypatch.setattr(filesystem, "MOUNTS", mounts)
    assert find_filesystem(tmp_path) == FileSystem(kind, trusted)


def test_where_nothing_tells_of_mounts_locks_are_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filesystem, "MOUNTS", tmp_path / "none")
    assert find_filesystem(tmp_path) == FileSystem("unknown", has_locks=True)
