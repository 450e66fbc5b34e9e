"""Programs that a test runs beside itself, ended with the test whatever happens."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from html import unescape
from http.client import HTTPResponse
from http.cookiejar import CookieJar
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, OpenerDirector, build_opener

import psutil

ROOT = Path(__file__).parents[2]


def environment(config: Mapping[str, object]) -> dict[str, str]:
    """Return the environment of a program, with settings as ``from_prefixed_env`` reads them."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith("FLASK_CASSANDRA")
    }
    for name, value in config.items():
        kept[f"FLASK_{name}"] = ",".join(value) if isinstance(value, list) else str(value)
    return kept | {"PYTHONUNBUFFERED": "1"}


class Program:
    """A running program, its output in a file, and the pages that it serves."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, url: str) -> None:
        self.process = process
        self.log = log
        self.url = url

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def children(self) -> list[psutil.Process]:
        """The processes that it forked, which are its workers."""
        return psutil.Process(self.process.pid).children()

    def client(self) -> Client:
        return Client(self.url)

    def wait(self, condition: Callable[[], object], seconds: float = 60) -> None:
        """Wait until ``condition()`` is true; fail with the program's output."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"not true after {seconds} s:\n{self.output}"
            assert self.process.poll() is None, f"the program ended:\n{self.output}"
            time.sleep(0.1)

    def stop(self) -> None:
        """End it, and wait."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


@contextmanager
def module_running(
    arguments: list[str], config: Mapping[str, object], log: Path, *, port: int, cwd: Path = ROOT
) -> Iterator[Program]:
    """Run ``python -m <arguments>`` until the block ends."""
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            cwd=cwd,
            env=environment(config),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
    running = Program(process, log, f"http://127.0.0.1:{port}")
    descendants: list[psutil.Process] = []
    try:
        yield running
    finally:
        if process.poll() is None:
            descendants = psutil.Process(process.pid).children(recursive=True)
        running.stop()
        for left in psutil.wait_procs(descendants, timeout=10)[1]:
            left.kill()


class Client:
    """A browser without scripts: keeps cookies, sends the form's token along."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._opener: OpenerDirector = build_opener(HTTPCookieProcessor(CookieJar()))

    def get(self, path: str) -> tuple[int, str]:
        """Return the status and the text; status 0 where nobody answers."""
        try:
            response: HTTPResponse = self._opener.open(self._url + path, timeout=30)
        except HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except (URLError, OSError):
            return 0, ""
        with response:
            return response.status, response.read().decode()

    def post(self, path: str, **fields: str) -> tuple[int, str]:
        """Fill in the form at ``path`` and send it."""
        _, page = self.get(path)
        token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page)
        assert token, page
        data = urlencode({**fields, "csrf_token": unescape(token[1])}).encode()
        try:
            with self._opener.open(self._url + path, data, timeout=30) as response:
                return response.status, response.read().decode()
        except HTTPError as error:
            with error:
                return error.code, error.read().decode()
