"""A node's process: start it, watch it, signal it, read its logs.

Used by the supervisor alone, from its main thread: on Linux a node dies with the thread that
started it (``launch``).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from ..errors import LocalClusterError
from .messages import NodeStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .layout import Node
    from .messages import NodeState

#: Seconds in which a node must accept connections. It takes 2 to 8 on two cores.
START_TIMEOUT = 60

#: Seconds that a node may take to flush and exit before it is killed. It takes 0.4 to 3.
STOP_TIMEOUT = 15

#: Seconds between two looks at a port or a process.
_POLL = 0.02

#: Lines of a log that an error quotes.
_QUOTED_LINES = 12

#: Characters of each; the line with the node's whole configuration has 12,000.
_QUOTED_WIDTH = 400


def launcher() -> list[str]:
    """What goes before a command so that its process ends with this one; see ``launch``."""
    program = Path(__file__).with_name("launch.py")
    return [sys.executable, "-I", "-S", str(program), str(os.getpid())]


class NodeProcess:
    """One node and its process, if it has one."""

    def __init__(self, node: Node, port: int) -> None:
        self.node = node
        self._port = port
        self._process: asyncio.subprocess.Process | None = None
        self._exited = asyncio.Event()
        self._watcher: asyncio.Task[None] | None = None
        self._log_start = 0
        self._output_start = 0
        self._accepting = False
        self.paused = False

    @property
    def alive(self) -> bool:
        """Whether there is a process, frozen or not."""
        return self._process is not None and not self._exited.is_set()

    @property
    def state(self) -> NodeState:
        """What ``status`` says of it."""
        if not self.alive:
            return "down"
        if self.paused:
            return "paused"
        return "up" if self._accepting else "starting"

    def status(self) -> NodeStatus:
        """Its state, process id and memory."""
        pid = self._process.pid if self._process and self.alive else None
        memory = None
        if pid is not None:
            with contextlib.suppress(psutil.Error):
                memory = int(psutil.Process(pid).memory_info().rss)
        node = self.node
        return NodeStatus(node.number, node.address, node.data_center, self.state, pid, memory)

    async def start(self, command: Sequence[str]) -> None:
        """Start the process; ``wait_until_accepting`` waits for it."""
        node = self.node
        self._log_start = _size(node.log)
        self._output_start = _size(node.output)
        self._accepting = self.paused = False
        self._exited = asyncio.Event()
        with node.output.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                *launcher(),
                *command,
                cwd=node.directory,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        # A reader sees no file or the whole number.
        unfinished = node.pid_file.with_suffix(".new")
        unfinished.write_text(f"{self._process.pid}\n")
        unfinished.replace(node.pid_file)
        self._watcher = asyncio.create_task(self._watch(self._process, self._exited))

    async def _watch(self, process: asyncio.subprocess.Process, exited: asyncio.Event) -> None:
        await process.wait()
        self.node.pid_file.unlink(missing_ok=True)
        exited.set()

    async def wait_until_accepting(self) -> None:
        """Wait until the node accepts clients; that alone does not make it ready.

        :raises LocalClusterError: when it ends first or takes longer than START_TIMEOUT.
        """
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            if not self.alive:
                raise LocalClusterError(self._died())
            try:
                _, writer = await asyncio.open_connection(self.node.address, self._port)
            except OSError:
                await asyncio.sleep(_POLL)
                continue
            writer.close()
            self._accepting = True
            return
        raise LocalClusterError(
            f"Node {self.node.number} did not accept connections within {START_TIMEOUT} s.\n"
            + self._quote()
        )

    def _died(self) -> str:
        code = self._process.returncode if self._process else None
        how = f"with exit code {code}" if code is None or code >= 0 else f"by signal {-code}"
        return f"Node {self.node.number} ended {how} while it was starting.\n{self._quote()}"

    def _quote(self) -> str:
        """The end of this start's errors, and where to read on."""
        log = _lines(self.node.log, self._log_start)
        output = _lines(self.node.output, self._output_start)
        lines = _errors(log) or output or log
        quoted = "".join(f"  {line[:_QUOTED_WIDTH]}\n" for line in lines[-_QUOTED_LINES:])
        return f"{quoted}The whole log is {self.node.log if log else self.node.output}"

    async def wait_until_ended(self) -> None:
        """Wait until there is no process.

        :raises LocalClusterError: always, with what the log says.
        """
        await self._exited.wait()
        raise LocalClusterError(self._died())

    async def stop(self) -> None:
        """Let the node flush and exit; kill it when it does not."""
        if not self.alive:
            return
        self.resume()
        self._send(signal.SIGTERM)
        try:
            await asyncio.wait_for(self._exited.wait(), STOP_TIMEOUT)
        except asyncio.TimeoutError:
            await self.kill()

    async def kill(self) -> None:
        """End it as a power cut would, and wait until it has gone."""
        if self.alive:
            self._send(signal.SIGKILL)
            await self._exited.wait()

    def pause(self) -> None:
        """Freeze it: its ports stay open and nothing answers."""
        self._send(signal.SIGSTOP)
        self.paused = True

    def resume(self) -> None:
        """Let it go on."""
        self._send(signal.SIGCONT)
        self.paused = False

    def _send(self, number: signal.Signals) -> None:
        if self._process is not None and self.alive:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)


def kill_left_behind(nodes: Sequence[Node]) -> None:
    """End processes of these nodes that a killed supervisor left behind.

    On Linux a node ends with its supervisor, so nothing is left behind. Only a process whose
    command line has the node's marker is touched.
    """
    for node in nodes:
        try:
            process = psutil.Process(int(node.pid_file.read_text()))
            if node.marker in process.cmdline():
                process.kill()
                process.wait(STOP_TIMEOUT)
        except (OSError, ValueError, psutil.Error):
            pass
        node.pid_file.unlink(missing_ok=True)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _lines(path: Path, start: int) -> list[str]:
    """The lines of a file from a byte on."""
    if not path.exists():
        return []
    with path.open("rb") as file:
        file.seek(start)
        return file.read().decode(errors="replace").splitlines()


def _errors(log: Sequence[str]) -> list[str]:
    """The ERROR lines of a log and the messages, without stack frames, that follow each."""
    found: list[str] = []
    within = False
    for line in log:
        if re.match(r"(TRACE|DEBUG|INFO|WARN|ERROR) ", line):
            within = line.startswith("ERROR")
        if within and not line.startswith("\t"):
            found.append(line)
    return found
