"""The process that owns a directory's nodes.

Started as ``python -m flask_cqlalchemy.local.supervisor DIRECTORY [SECONDS IT LINGERS]``.

It outlives the client that started it, serves any number of them over a local socket, and stops
the nodes when nobody holds a lease any more. One event loop in the main thread does everything;
what blocks, downloads and the driver, goes to threads (``cluster``).
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import logging
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from ..errors import LocalClusterError
from .cluster import Nodes
from .messages import (
    MAX_LINE,
    Done,
    Failure,
    Request,
    Stage,
    encode_reply,
)
from .paths import socket_path
from .settings import LINGER, LocalOptions

if TYPE_CHECKING:
    from typing import TextIO

    from .messages import Reply

#: Seconds that a supervisor waits for one that is ending to let go of the directory.
LOCK_TIMEOUT = 40

#: Seconds after which a supervisor ends although it has not seen all nodes end: above what stopping
#: and then killing one takes (``process.STOP_TIMEOUT``), since it must not outlive them for ever.
STOP_LIMIT = 60

#: Seconds between two tries to get the lock.
_POLL = 0.05

_log = logging.getLogger(__name__)


class Client:
    """A connection.

    :ivar holds: it has a lease, or waits for one; the nodes stay up while it lives.
    :ivar starts: it waits for a start, and is told of its progress.
    """

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self.holds = False
        self.starts = False
        self.work: set[asyncio.Task[None]] = set()

    def send(self, reply: Reply) -> None:
        """Send one line. That a client has gone is seen where it is read."""
        if not self._writer.is_closing():
            self._writer.write(encode_reply(reply))

    async def hang_up(self) -> None:
        """Send what is left and close."""
        with contextlib.suppress(OSError):
            await self._writer.drain()
        self._writer.close()


class Supervisor:
    """Who holds the nodes up, and what is asked of them.

    :param path: of its socket.
    :param linger: seconds between the end of the last lease and the stop.
    """

    def __init__(self, directory: Path, path: Path, linger: float) -> None:
        self._path = path
        self._linger_time = linger
        self._nodes = Nodes(directory, self._report)
        self._stage = Stage("")
        self._clients: set[Client] = set()
        self._pinned = False
        self._starting: asyncio.Task[None] | None = None
        self._linger: asyncio.TimerHandle | None = None
        self._ending: asyncio.Task[None] | None = None
        self._ended = asyncio.Event()
        self._server: asyncio.Server | None = None

    async def serve(self) -> None:
        """Serve clients until nobody needs the nodes."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._end)
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._accept, self._path, limit=MAX_LINE)
        self._look_for_holders()

    async def wait_until_ended(self) -> None:
        """Wait for the end, and until every client has its last reply."""
        await self._ended.wait()
        clients = list(self._clients)
        answers = [task for client in clients for task in client.work]
        await asyncio.gather(*answers, return_exceptions=True)
        await asyncio.gather(*(client.hang_up() for client in clients))

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = Client(writer)
        self._clients.add(client)
        try:
            while line := await reader.readline():
                self._take(client, Request.decode(line))
        except (OSError, ValueError, TypeError, KeyError) as error:
            _log.warning("hanging up on a client: %r", error)
        for task in client.work:
            task.cancel()
        self._clients.discard(client)
        self._look_for_holders()
        await client.hang_up()

    def _take(self, client: Client, request: Request) -> None:
        _log.info("%s%s", request.action, f" {request.node}" if request.node else "")
        held = client.holds
        if request.action in ("release", "stop"):
            for task in client.work:
                task.cancel()
            client.holds = client.starts = False
        elif request.action in ("lease", "pin"):
            client.holds = True
            self._look_for_holders()
        task = asyncio.create_task(self._answer(client, request, held), name=request.action)
        client.work.add(task)
        task.add_done_callback(client.work.discard)

    async def _answer(self, client: Client, request: Request, held: bool) -> None:
        try:
            reply: Reply = await self._do(client, request)
        except LocalClusterError as error:
            _log.warning("%s", error)
            reply = Failure(str(error))
        except Exception as error:
            _log.exception("%s failed", request.action)
            reply = Failure(f"{type(error).__name__}: {error}")
        if isinstance(reply, Failure) and request.action in ("lease", "pin"):
            # A lease that it had before is not lost because a node could not be brought back.
            client.holds = held
        client.starts = False
        client.send(reply)
        if isinstance(reply, Failure) and not self._nodes.any_alive and not self._holders():
            self._end()
        self._look_for_holders()

    async def _do(self, client: Client, request: Request) -> Done:
        stopped = False
        if self._ending is not None and request.action not in ("release", "stop"):
            # Too late: hanging up without a reply sends the client to our successor.
            await client.hang_up()
        elif request.action in ("lease", "pin"):
            await self._start(client, request.settings or LocalOptions())
            if request.action == "pin":
                self._pinned, client.holds = True, False
        elif request.action == "release":
            if stopped := not self._holders():
                await self._end()
        elif request.action == "stop":
            await self._end()
            stopped = True
        elif request.action == "kill":
            await self._nodes.kill(request.node)
        elif request.action == "pause":
            await self._nodes.pause(request.node)
        elif request.action == "resume":
            await self._nodes.resume(request.node)
        elif request.action == "restart":
            client.starts = True
            await self._nodes.restart(request.node)
        leases = sum(client.holds for client in self._clients)
        return Done(self._nodes.status(leases, self._pinned), stopped)

    async def _start(self, client: Client, settings: LocalOptions) -> None:
        """Start the nodes, or join the start that another client has begun."""
        client.starts = True
        if self._starting is not None and not self._starting.done():
            client.send(self._stage)
            await self._until_started(self._starting)
        # A task of its own: the client that began it may go while others wait for it.
        self._starting = asyncio.create_task(self._nodes.start(settings))
        await self._until_started(self._starting)

    async def _until_started(self, starting: asyncio.Task[None]) -> None:
        try:
            await asyncio.shield(starting)
        except asyncio.CancelledError:
            if starting.cancelled():
                raise LocalClusterError("Cassandra was stopped while it was starting.") from None
            raise

    def _report(self, stage: Stage) -> None:
        self._stage = stage
        _log.info("%s", stage.text)
        for client in self._clients:
            if client.starts:
                client.send(stage)

    def _holders(self) -> bool:
        return self._pinned or any(client.holds for client in self._clients)

    def _look_for_holders(self) -> None:
        """Begin or give up the countdown to the end."""
        if self._holders():
            if self._linger is not None:
                self._linger.cancel()
                self._linger = None
        elif self._linger is None:
            self._linger = asyncio.get_running_loop().call_later(self._linger_time, self._end)

    def _end(self) -> asyncio.Task[None]:
        """Stop the nodes and this process."""
        if self._ending is None:
            self._ending = asyncio.create_task(self._stop())
        return self._ending

    async def _stop(self) -> None:
        _log.info("stopping")
        if self._server is not None:
            self._server.close()
        self._path.unlink(missing_ok=True)
        # Nothing may start a node from here on.
        work = [task for client in self._clients for task in client.work]
        starts = [task for task in work if task.get_name() == "restart"]
        if self._starting is not None:
            starts.append(self._starting)
        for task in starts:
            task.cancel()

        async def stop_all() -> None:
            await asyncio.gather(*starts, return_exceptions=True)
            await self._nodes.stop()

        try:
            await asyncio.wait_for(stop_all(), STOP_LIMIT)
        except asyncio.TimeoutError:
            # A node that is left ends with this process.
            _log.warning("the nodes did not stop within %s s", STOP_LIMIT)
        finally:
            self._ended.set()

    async def finish_archive(self) -> None:
        """Let the class archive be finished, which happens once on a machine."""
        await self._nodes.finish_archive()


def main() -> NoReturn:
    """Leave the caller's session, take the directory's lock, and serve until the end.

    Exits with 0 as soon as clients can connect, to this supervisor or to one that was faster; what
    serves them is a child, so no client has a child to wait for.
    """
    directory = Path(sys.argv[1])
    linger = float(sys.argv[2]) if len(sys.argv) > 2 else LINGER
    readable, writable = os.pipe()
    if os.fork():
        os.close(writable)
        os._exit(0 if os.read(readable, 1) else 1)
    os.close(readable)
    # Ctrl-C in a terminal is meant for the program that leases the nodes.
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("cassandra").setLevel(logging.CRITICAL)
    lock = _lock(directory)
    if lock is not None:
        try:
            asyncio.run(_run(directory, linger, lock, writable))
        except Exception:
            _log.exception("the supervisor failed")
            os._exit(1)
    else:
        os.write(writable, b"1")
    # Threads of the driver or of a download may be left; nothing of theirs is worth waiting for.
    logging.shutdown()
    os._exit(0)


async def _run(directory: Path, linger: float, lock: TextIO, writable: int) -> None:
    path = socket_path(directory)
    supervisor = Supervisor(directory, path, linger)
    await supervisor.serve()
    lock.seek(0)
    lock.truncate()
    lock.write(json.dumps({"pid": os.getpid(), "socket": str(path)}) + "\n")
    lock.flush()
    os.write(writable, b"1")
    os.close(writable)
    await supervisor.wait_until_ended()
    # The directory is free for another supervisor, and no client waits any more.
    lock.close()
    await supervisor.finish_archive()


def _lock(directory: Path) -> TextIO | None:
    """Lock the directory; None when another supervisor serves it."""
    file = (directory / "supervisor.lock").open("a+")
    deadline = time.monotonic() + LOCK_TIMEOUT
    while not _try_lock(file):
        if _is_served(file):
            return None
        if time.monotonic() > deadline:
            sys.exit(f"{directory}: the lock is held, and nobody serves it")
        time.sleep(_POLL)
    return file


def _try_lock(file: TextIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_served(lock: TextIO) -> bool:
    lock.seek(0)
    try:
        path = json.loads(lock.read())["socket"]
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(path)
    except (OSError, ValueError):
        return False
    return True


if __name__ == "__main__":
    main()
