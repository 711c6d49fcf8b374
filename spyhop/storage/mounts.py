"""Whether files lie on this machine or on a network's file system, where SQLite's write-ahead log must not be.

The log's index is memory that all its readers share, which two machines do not have; and locks of many such systems
are promises only. So one file that two machines open is lost without a word.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import msgspec

TABLE = Path("/proc/self/mountinfo")

# fmt: off
NETWORK = frozenset({
    "nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "afs", "coda", "ceph", "lustre", "gpfs", "beegfs", "glusterfs",
    "orangefs", "pvfs2", "panfs", "wekafs", "ocfs2", "gfs2",
})
"""File systems that more than one machine writes to."""
LOCAL_FUSE = frozenset({
    "bindfs", "encfs", "ext4", "exfat", "fuse-overlayfs", "gocryptfs", "lxcfs", "mergerfs", "ntfs", "ntfs-3g",
    "securefs", "squashfuse", "unionfs", "zfs",
})
"""File systems in user space that lie on this machine's disks; all others are a network's, as far as anybody knows."""
# fmt: on


class Seen(msgspec.Struct, frozen=True):
    """A folder as one machine sees it: the network's file system that it is on, and whether a mark is in it."""

    network: str
    has_mark: bool


def network_of(path: Path, table: str) -> str:
    """Return the network's file system that `path`, an absolute one without links, is on; "" where it is local.

    `table` is what /proc/self/mountinfo holds. Of equal mount points the last one counts.
    """
    holds, found = -1, ""
    for line in table.splitlines():
        before, dash, after = line.partition(" - ")
        fields, (kind, *more) = before.split(" "), after.split(" ") if dash else [""]
        if len(fields) < 5:
            continue
        point = Path(re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), fields[4]))
        depth = len(point.parts)
        if depth >= holds and path.is_relative_to(point):
            holds, found = depth, kind if _is_network(kind, more[-1] if more else "") else ""
    return found


def seen(folder: Path, mark: str = "") -> Seen:
    """Return `folder`, made if it is not there, as this machine sees it; raises OSError.

    `mark` is the name of a file that another machine left there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # a mount that is made on demand is in the table only now
    table = TABLE.read_text(errors="surrogateescape") if TABLE.is_file() else ""
    return Seen(network_of(folder.resolve(), table), (folder / mark).exists())


def why_no_sqlite(machines: Mapping[str, Seen]) -> str:
    """Return why no SQLite file may be in a folder that machines see so, any of which may open it; "" if it may."""
    for name, one in machines.items():
        if one.network:
            return f"is on {one.network}, a network's file system" + (f", on {name}" if name else "")
    if apart := [name for name, one in machines.items() if not one.has_mark]:
        return f"is a file, and not the same one on {', '.join(apart)}, where the ledger may move"
    return ""


def _is_network(kind: str, options: str) -> bool:
    if kind.startswith("fuse"):
        return kind != "fuseblk" and kind.removeprefix("fuse").removeprefix(".") not in LOCAL_FUSE
    # 9p is how a virtual machine sees its host's disk, too
    return kind in NETWORK or (kind == "9p" and any(f"trans={way}" in options for way in ("tcp", "rdma")))
