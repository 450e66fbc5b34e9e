"""Stands for Cassandra in tests of leases, sockets, forks and signals: it listens, and no more.

Run as ``stub_node.py [FILE...] MARKER ADDRESS PORT``; it listens once every FILE exists.
"""

from __future__ import annotations

import socket
import sys
import time
from pathlib import Path


def main(files: list[str], address: str, port: int) -> None:
    while not all(Path(file).exists() for file in files):
        time.sleep(0.01)
    with socket.create_server((address, port)) as server:
        while True:
            server.accept()[0].close()


if __name__ == "__main__":
    main(sys.argv[1:-3], sys.argv[-2], int(sys.argv[-1]))
