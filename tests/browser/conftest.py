"""A real browser and a real server for the tests of this folder.

The browser is the system's Chromium. Without one the tests are skipped, and in CI they fail.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import sync_playwright

if TYPE_CHECKING:
    from types import TracebackType

    from playwright.sync_api import Browser, Page
    from typing_extensions import Self

ROOT = Path(__file__).parents[2]

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")

#: No sandbox, since CI often runs as root; the rest keeps the browser from talking to the network.
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

#: Seconds for a server to start. One that runs a Cassandra of its own has to start that first, and
#: perhaps to download it.
START_TIMEOUT = 120

#: Seconds for a process to end.
STOP_TIMEOUT = 30

_RUNNING = re.compile(r"Running on (http://127\.0\.0\.1:\d+)")


#: Waits until a condition is met: its first argument. The second says what is wrong as long as it
#: is not; the third is the longest wait in seconds.
WaitFor = Callable[[Callable[[], bool], str, float], None]


def _wait_for(is_done: Callable[[], bool], problem: str, timeout: float) -> None:
    end = time.monotonic() + timeout
    while not is_done():
        if time.monotonic() > end:
            pytest.fail(f"{problem} after {timeout} s")
        time.sleep(0.05)


@pytest.fixture(scope="session")
def wait_for() -> WaitFor:
    return _wait_for


class Server:
    """``flask run`` in a process of its own, which ends with the ``with`` block.

    :ivar url: where it listens.
    """

    def __init__(self, app: str, environment: Mapping[str, str], log: Path) -> None:
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith("FLASK_")
        }
        self._log = log
        with log.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "flask", "--app", app, "run", "--port", "0"],
                cwd=ROOT,
                env={**inherited, **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            _wait_for(self._is_started, "the server has not started", START_TIMEOUT)
        except BaseException:
            self.stop()
            raise
        found = _RUNNING.search(log.read_text())
        assert found
        self.url = found[1]

    def _is_started(self) -> bool:
        if self.process.poll() is not None:
            pytest.fail(f"the server has ended:\n{self._log.read_text()}")
        return _RUNNING.search(self._log.read_text()) is not None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the process, and wait until it has ended."""
        self.process.terminate()
        try:
            self.process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


#: Starts ``flask run``: the application's name as for ``--app``, and variables of the environment.
Serve = Callable[[str, Mapping[str, str]], Server]


@pytest.fixture(scope="session")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Serve:
    """Start a server: ``with serve("examples.tumblelog", {"FLASK_DEBUG": "0"}) as server:``."""

    def start(app: str, environment: Mapping[str, str]) -> Server:
        return Server(app, environment, tmp_path_factory.mktemp("server") / "log")

    return start


@pytest.fixture(scope="module")
def browser(in_ci: bool) -> Iterator[Browser]:
    """The system's Chromium, without a window.

    Not of the whole session: Playwright's event loop stays in the thread as long as it lives, and
    would be in the way of tests that run their own.
    """
    path = next((found for name in CHROMIUM_NAMES if (found := shutil.which(name))), None)
    if path is None:
        reason = f"no browser on the path: none of {', '.join(CHROMIUM_NAMES)}"
        if in_ci:
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of a browser that knows nothing yet.

    The test fails if the console reported an error or a breach of the Content-Security-Policy. That
    a page was answered with an error's status, as a form that is not accepted, is no such error.
    """
    problems: list[str] = []
    with browser.new_context() as context:
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on(
            "console",
            lambda message: (
                problems.append(message.text)
                if message.type in {"error", "warning"}
                and not message.text.startswith("Failed to load resource: the server responded")
                else None
            ),
        )
        page.on(
            "response",
            lambda response: (
                problems.append(f"{response.status} {response.url}")
                if response.status >= 400 and not response.request.is_navigation_request()
                else None
            ),
        )
        yield page
    assert problems == []
