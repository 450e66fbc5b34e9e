"""Asks a server for one page again and again: ``python -m tests.benchmarks.load``.

A process of its own, so that it takes no time from what is measured but the cores'.
"""

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection


def _ask(port: int, path: str, until: float) -> int:
    """Return how many answers came until then. A connection is kept where the server does."""
    connection, count = HTTPConnection("127.0.0.1", port, timeout=30), 0
    while time.monotonic() < until:
        connection.request("GET", path)
        response = connection.getresponse()
        response.read()
        if response.status != 200:
            raise SystemExit(f"{path}: {response.status} {response.reason}")
        count += 1
    connection.close()
    return count


def main(port: str, path: str, seconds: str, threads: str) -> None:
    """Print the number of answers and the seconds that they took: a JSON list."""
    start = time.monotonic()
    until = start + float(seconds)
    with ThreadPoolExecutor(int(threads)) as pool:
        counts = [pool.submit(_ask, int(port), path, until) for _ in range(int(threads))]
        total = sum(count.result() for count in counts)
    print(json.dumps([total, time.monotonic() - start]))


if __name__ == "__main__":
    main(*sys.argv[1:])
