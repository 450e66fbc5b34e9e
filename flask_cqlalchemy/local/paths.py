"""Where the processes of one user meet: sockets of supervisors, and locks of ports."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from pathlib import Path

from ..errors import LocalClusterError

#: Longest path of a unix socket, in bytes: with its final zero 104 on macOS, 108 on Linux.
MAX_SOCKET_PATH = 103


def runtime_directory() -> Path:
    """The user's directory of sockets and port locks, made when it is missing.

    :raises LocalClusterError: when somebody else could write in it.
    """
    name = f"flask-cqlalchemy-{os.geteuid()}"
    base = Path(tempfile.gettempdir())
    if len(os.fsencode(base / name)) + 24 > MAX_SOCKET_PATH:
        base = Path("/tmp")  # noqa: S108 - the only short directory everywhere; checked below
    directory = base / name
    directory.mkdir(mode=0o700, exist_ok=True)
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise LocalClusterError(
            f"{directory} is not a directory that only you can use. Remove it and try again."
        )
    return directory


def socket_path(directory: Path) -> Path:
    """Where the supervisor of ``directory`` listens."""
    digest = hashlib.sha256(os.fsencode(directory)).hexdigest()
    return runtime_directory() / f"{digest[:16]}.sock"
