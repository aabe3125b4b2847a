"""What kind of file system a path lies on, and what cannot be relied on there: network file systems have no shared
memory for SQLite's write-ahead log, and some do not keep locks between hosts.
"""

from __future__ import annotations

import errno
import re
from dataclasses import dataclass
from pathlib import Path

TABLE = Path("/proc/self/mountinfo")
_NETWORK = frozenset(
    {"nfs", "nfs4", "lustre", "gpfs", "beegfs", "beegfs_nodev", "cifs", "smb3", "smbfs", "ceph", "afs", "panfs"}
    | {"wekafs", "pvfs2", "orangefs", "glusterfs"}
)
_LOCAL_LOCKS = {
    "nfs": {"nolock", "local_lock=all", "local_lock=flock"},
    "nfs4": {"nolock", "local_lock=all", "local_lock=flock"},
    "lustre": {"localflock", "noflock"},
    "cifs": {"nobrl"},
    "smb3": {"nobrl"},
}
"""The options under which locks hold on one host only, or not at all."""
NO_LOCKS = frozenset({errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK})
"""What a file system answers that has no locks."""
_OCTAL = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True)
class Mount:
    """A mounted file system."""

    point: str
    kind: str
    """Such as `ext4`, `nfs4`, `fuse.sshfs`."""
    options: frozenset[str]

    @property
    def is_network(self) -> bool:
        """Whether its files lie on other machines, or may do: what FUSE serves is not known."""
        return self.kind in _NETWORK or self.kind == "fuse" or self.kind.startswith("fuse.")

    @property
    def local_locks(self) -> str | None:
        """The option by which locks are not kept between hosts; None where there is none such."""
        return next(iter(sorted(self.options & _LOCAL_LOCKS.get(self.kind, set()))), None)


def mount_of(path: Path) -> Mount | None:
    """Return the file system that a path lies on; None where the system does not say."""
    try:
        lines = TABLE.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        there = path.resolve()
    except (OSError, RuntimeError):
        return None
    found: Mount | None = None
    for mount in filter(None, map(_mount, lines)):
        # Of two at one place, the later one hides the earlier.
        if there.is_relative_to(mount.point) and (found is None or len(mount.point) >= len(found.point)):
            found = mount
    return found


def is_network(path: Path) -> bool:
    """Whether a path lies on a network file system."""
    mount = mount_of(path)
    return mount is not None and mount.is_network


def _mount(line: str) -> Mount | None:
    before, separator, after = line.partition(" - ")
    fields, source = before.split(" "), after.split(" ")
    if not separator or len(fields) < 6 or len(source) < 3:
        return None
    point = _OCTAL.sub(lambda match: chr(int(match[1], 8)), fields[4])
    return Mount(point, source[0], frozenset(fields[5].split(",")) | frozenset(source[2].split(",")))
