"""Where files lie, from mount tables as machines have them: a network is known as one, a disk as a disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from spyhop.storage.mounts import Seen, network_of, seen, why_no_sqlite

# as machines showed them, shortened
TABLE = """\
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard
30 27 0:25 / /dev/shm rw - tmpfs tmpfs rw
31 27 0:26 / /data rw,relatime shared:2 master:3 - nfs4 10.0.0.5:/data rw,vers=4.2,rsize=1048576
32 31 254:1 / /data/disk rw - xfs /dev/vdb rw
33 27 0:27 / /mnt/with\\040a\\040space rw - cifs //server/share rw,vers=3.1.1
34 27 0:28 / /mnt/far rw - fuse.sshfs me@far:/home rw,user_id=0
35 27 0:29 / /mnt/dav rw - fuse dav://x rw
36 27 254:3 / /mnt/windows rw - fuseblk /dev/sda1 rw
37 27 0:30 / /mnt/pooled rw - fuse.mergerfs 1:2 rw
38 27 0:31 / /mnt/host rw - 9p hostshare rw,trans=virtio,version=9p2000.L
39 27 0:32 / /mnt/plan9 rw - 9p 10.0.0.7 rw,trans=tcp,port=564
40 27 0:33 / /lake rw - lustre 10.0.0.8@tcp:/lake rw
41 27 0:34 / /ceph rw - ceph 10.0.0.9:/ rw,name=admin
42 27 0:35 / /over rw - nfs 10.0.0.5:/a rw
43 42 254:4 / /over rw - ext4 /dev/vdc rw
"""


@pytest.mark.parametrize(
    ("path", "network"),
    [
        ("/home/runs", ""),
        ("/data", "nfs4"),
        ("/data/runs/ledger", "nfs4"),
        ("/data/disk/runs", ""),
        ("/database", ""),
        ("/mnt/with a space/runs", "cifs"),
        ("/mnt/far/runs", "fuse.sshfs"),
        ("/mnt/dav", "fuse"),
        ("/mnt/windows", ""),
        ("/mnt/pooled", ""),
        ("/mnt/host", ""),
        ("/mnt/plan9", "9p"),
        ("/lake/runs", "lustre"),
        ("/ceph/runs", "ceph"),
        ("/over/runs", ""),
        ("/dev/shm/runs", ""),
    ],
)
def test_a_folder_is_on_what_was_mounted_nearest_above_it_last(path: str, network: str) -> None:
    assert network_of(Path(path), TABLE) == network


def test_what_cannot_be_read_is_nobodys_network() -> None:
    assert network_of(Path("/data"), "") == ""
    assert network_of(Path("/data"), "31 27 0:26\nnonsense - \n") == ""


def test_a_folder_is_made_and_a_mark_in_it_is_seen_by_any_name(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "runs"
    assert seen(folder, "mark") == Seen("", has_mark=False)
    assert seen(folder) == Seen("", has_mark=True)
    (tmp_path / "link").symlink_to(folder)
    (folder / "mark").touch()
    assert seen(tmp_path / "link", "mark") == Seen("", has_mark=True)


def test_sqlite_may_be_where_every_machine_sees_one_folder() -> None:
    here, apart = Seen("", has_mark=True), Seen("", has_mark=False)
    assert why_no_sqlite({}) == ""
    assert why_no_sqlite({"one": here, "two": here}) == ""
    assert "not the same one on two, where" in why_no_sqlite({"one": here, "two": apart})
    shared = Seen("nfs4", has_mark=True)
    assert "is on nfs4, a network's file system, on two" in why_no_sqlite({"one": here, "two": shared})
