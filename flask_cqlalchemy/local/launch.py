"""Becomes a node's JVM: ``python launch.py <supervisor's pid> <command>...``.

A step of its own between the supervisor and Java, because what it does to itself would have to run
between fork and exec in the supervisor, which has threads by then. Imports nothing of the package.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys

#: prctl(2): the signal that this process gets when the thread that started it ends.
_PR_SET_PDEATHSIG = 1

#: prctl(2) and capabilities(7): take a capability away from what root executes.
_PR_CAPBSET_DROP = 24
_CAP_IPC_LOCK = 14


def main(arguments: list[str]) -> None:
    """Arrange to die with the supervisor, refuse to lock memory, and execute the command.

    Cassandra calls mlockall, which pins its whole heap: measured, 588 MB resident against 296.
    """
    supervisor, command = int(arguments[0]), arguments[1:]
    # The soft limit is what binds; lowering the hard one would be for good.
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, resource.getrlimit(resource.RLIMIT_MEMLOCK)[1]))
    if sys.platform == "linux":
        prctl = ctypes.CDLL(None, use_errno=True).prctl
        prctl(_PR_CAPBSET_DROP, _CAP_IPC_LOCK, 0, 0, 0)
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != supervisor:
            sys.exit("the supervisor has gone")
    os.execv(command[0], command)  # noqa: S606 - the command is the supervisor's own list


if __name__ == "__main__":
    main(sys.argv[1:])
