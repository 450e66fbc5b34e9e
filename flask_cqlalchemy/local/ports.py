"""Ports on the loopback addresses: whether one is free, who has it, and choosing one.

Between the choice and the moment when Cassandra listens lie seconds, in which another local
cluster could choose the same; so each one holds a lock for every port that it uses.
"""

from __future__ import annotations

import fcntl
import random
import socket
from typing import TYPE_CHECKING

from ..errors import LocalClusterError
from .paths import runtime_directory

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from io import TextIOWrapper

#: The port that drivers and tools try unless told otherwise (native_transport_port).
NATIVE_PORT = 9042

#: The port between nodes unless told otherwise (storage_port).
STORAGE_PORT = 7000

#: Where other ports are chosen from: above the well-known services, below the range from which
#: Linux and macOS serve outgoing connections (32768 and 49152 on).
_CHOICE = range(20000, 32000)

#: How many random ports are tried before giving up.
_TRIES = 200


class PortLocks:
    """The ports that this process has chosen, until ``close`` or the end of the process."""

    def __init__(self) -> None:
        self._files: dict[int, TextIOWrapper] = {}

    def take(self, port: int) -> bool:
        """Whether the port is now this process's choice and nobody else's."""
        if port in self._files:
            return True
        file = (runtime_directory() / f"port-{port}.lock").open("w")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        self._files[port] = file
        return True

    def release(self, port: int) -> None:
        """Let others choose the port."""
        self._files.pop(port).close()

    def close(self) -> None:
        """Let others choose every one of them."""
        for port in list(self._files):
            self.release(port)


def is_free(address: str, port: int) -> bool:
    """Whether a server could listen there now."""
    with socket.socket() as probe:
        # Else a port counts as taken for a minute after its last connection was closed (TIME_WAIT).
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True


def check_explicit(addresses: Sequence[str], port: int, locks: PortLocks) -> None:
    """Take a port that was asked for.

    :raises LocalClusterError: when it is in use; names the program where the system tells.
    """
    if port < 1024 and not all(is_free(address, port) for address in addresses):
        holder = holder_of(port)
        raise LocalClusterError(
            f"Port {port} cannot be used: {holder or 'ports below 1024 need special rights'}. "
            "Choose another port, or none to have a free one chosen."
        )
    for address in addresses:
        if not is_free(address, port):
            raise LocalClusterError(
                f"Port {port} of {address} is taken by {holder_of(port) or 'another process'}. "
                "Stop it, choose another port, or none to have a free one chosen."
            )
    if not locks.take(port):
        raise LocalClusterError(
            f"Port {port} is being used by another local cluster of yours. "
            "Stop it, choose another port, or none to have a free one chosen."
        )


def choose(addresses: Sequence[str], preferred: Iterable[int], locks: PortLocks) -> int:
    """A port that is free on all addresses: the first of ``preferred`` that is, else any.

    :raises LocalClusterError: when none of many is free, or an address does not exist.
    """
    for address in addresses:
        if not is_free(address, 0):
            raise LocalClusterError(
                f"This machine does not answer at {address}, which a node needs. Use fewer nodes."
            )
    others = random.sample(_CHOICE, _TRIES)
    for port in (*preferred, *others):
        if locks.take(port):
            if all(is_free(address, port) for address in addresses):
                return port
            locks.release(port)
    raise LocalClusterError(
        f"No free port was found in {_TRIES} tries between {_CHOICE.start} and {_CHOICE.stop - 1}."
    )


def holder_of(port: int) -> str:
    """The program that listens on the port, as ``nginx (pid 42)``; empty when it is not told."""
    import psutil

    try:
        connections = psutil.net_connections("tcp")
    except psutil.Error:
        return ""
    for connection in connections:
        listens = connection.status == psutil.CONN_LISTEN
        if listens and getattr(connection.laddr, "port", None) == port:
            if connection.pid is None:
                return ""
            try:
                name = psutil.Process(connection.pid).name()
            except psutil.Error:
                return f"pid {connection.pid}"
            return f"{name} (pid {connection.pid})"
    return ""
