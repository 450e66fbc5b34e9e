"""The nodes of one directory: bring them up together, change one, stop them all.

A start goes through Java and jars, ports, configuration files, processes (the seed first), and
ends when the cluster itself says that it is ready.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import LocalClusterError
from .cds import ClassArchive
from .jars import class_path
from .java import find_java
from .layout import command, place_nodes, write_files
from .messages import ClusterStatus, Stage
from .ports import (
    NATIVE_PORT,
    STORAGE_PORT,
    PortLocks,
    check_explicit,
    choose,
)
from .process import NodeProcess, kill_left_behind
from .ready import wait_until_ready
from .settings import CASSANDRA_VERSION, Manifest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .java import Java
    from .settings import LocalOptions

T = TypeVar("T")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Settled:
    """What a start has settled before the first process.

    :ivar cassandra: None where another program stands for it (``LocalOptions.program``).
    """

    settings: LocalOptions
    made: Manifest
    cassandra: _Cassandra | None


@dataclass(frozen=True)
class _Cassandra:
    """What Cassandra is run with."""

    java: Java
    class_path: list[str]
    archive: ClassArchive


class Nodes:
    """The nodes of one directory.

    :param report: is told how far a start has come.
    """

    def __init__(self, directory: Path, report: Callable[[Stage], None]) -> None:
        self._directory = directory
        self._report = report
        self._settled: _Settled | None = None
        self._processes: tuple[NodeProcess, ...] = ()
        self._archiving: asyncio.Task[None] | None = None
        self._locks = PortLocks()
        self._changing = asyncio.Lock()

    @property
    def any_alive(self) -> bool:
        """Whether a node has a process."""
        return any(process.alive for process in self._processes)

    async def start(self, settings: LocalOptions) -> None:
        """Bring up every node that is down and wait until the cluster is ready.

        Returns at once when all are up, whoever started them.

        :raises LocalClusterError: when the running nodes were started otherwise, when the
            directory's data does not fit ``settings``, or when a node does not come up.
        """
        async with self._changing:
            if self._settled is not None and self.any_alive:
                if difference := self._settled.settings.difference(settings):
                    raise LocalClusterError(
                        f"The Cassandra in {self._directory} runs with {difference}. Start it with "
                        "the same options, stop it first (flask cassandra stop), or use another "
                        "directory."
                    )
            else:
                await self._prepare(settings)
            down = [process for process in self._processes if not process.alive]
            if down:
                await self._bring_up(down)

    async def _bring_up(self, down: list[NodeProcess]) -> None:
        """Start these nodes and wait for them; a node that fails takes the others with it."""
        try:
            await self._start_processes(down)
        except LocalClusterError:
            await asyncio.gather(*(process.stop() for process in down))
            raise

    async def _prepare(self, settings: LocalOptions) -> None:
        """Everything that precedes the first process."""
        settings.check()
        made = Manifest.read(self._directory)
        if made is not None:
            made.check(self._directory, settings)
        places = place_nodes(self._directory, settings.nodes, settings.data_centers)
        await _in_thread(lambda: kill_left_behind(places))
        cassandra = None if settings.program else await self._find_cassandra()
        made = self._choose_ports(settings, made, [place.address for place in places])
        made.write(self._directory)
        self._settled = _Settled(settings, made, cassandra)
        self._processes = tuple(NodeProcess(place, made.port) for place in places)

    async def _find_cassandra(self) -> _Cassandra:
        """Java, and the jars, which are downloaded where they are missing."""
        java = await _in_thread(find_java)
        loop = asyncio.get_running_loop()

        def report(step: Stage) -> None:
            loop.call_soon_threadsafe(self._report, step)

        jars = await _in_thread(lambda: class_path(report))
        return _Cassandra(java, jars, ClassArchive(java, jars))

    def _choose_ports(
        self, settings: LocalOptions, made: Manifest | None, addresses: list[str]
    ) -> Manifest:
        """The ports of the last time where they are free, else others.

        Cassandra's own come first, because tools try them; not for a temporary directory, whose
        cluster should leave them to the one that a developer keeps.
        """
        self._locks.close()
        preferred = [] if settings.temporary else [NATIVE_PORT]
        if settings.port is not None:
            check_explicit(addresses, settings.port, self._locks)
            port = settings.port
        else:
            port = choose(addresses, ([made.port] if made else []) + preferred, self._locks)
        preferred = [] if settings.temporary else [STORAGE_PORT]
        storage_port = choose(
            addresses, ([made.storage_port] if made else []) + preferred, self._locks
        )
        if made is not None:
            return replace(made, port=port, storage_port=storage_port)
        return Manifest(
            cassandra=CASSANDRA_VERSION,
            nodes=settings.nodes,
            data_centers=settings.data_centers,
            tokens=settings.tokens,
            port=port,
            storage_port=storage_port,
        )

    async def _start_processes(self, down: list[NodeProcess]) -> None:
        settled = self._expect_settled()
        # The others learn the ring from the seed, so it has to be there before them.
        seeds = [process for process in down if process.node.number == 1]
        others = [process for process in down if process.node.number != 1]
        for group in (seeds, others):
            for process in group:
                self._report(
                    Stage(f"Starting node {process.node.number} of {settled.settings.nodes}")
                )
                await self._spawn(process)
            for process in group:
                await process.wait_until_accepting()
        self._report(Stage("Waiting until the cluster is ready"))
        await self._until_ready(down)
        if settled.settings.auth and not settled.made.auth_ready:
            self._settled = replace(settled, made=replace(settled.made, auth_ready=True))
            self._settled.made.write(self._directory)
        if self._archiving is None and settled.cassandra is not None:
            self._archiving = asyncio.create_task(settled.cassandra.archive.make())

    async def _spawn(self, process: NodeProcess) -> None:
        settled, node = self._expect_settled(), process.node
        write_files(node, settled.settings, settled.made)
        if settled.cassandra is None:
            given = [node.marker, node.address, str(settled.made.port)]
            await process.start([*settled.settings.program, *given])
            return
        java, jars = settled.cassandra.java, settled.cassandra.class_path
        flags = settled.cassandra.archive.flags(record=node.number == 1)
        await process.start(command(node, settled.settings, java, jars, flags))

    async def _until_ready(self, watched: list[NodeProcess]) -> None:
        """Wait until every node that runs is ready, or one of ``watched`` ends."""
        settled = self._expect_settled()
        if settled.cassandra is None:
            return
        addresses = [p.node.address for p in self._processes if p.alive and not p.paused]
        ready = _in_thread(lambda: wait_until_ready(addresses, settled.settings, settled.made))
        ends: list[asyncio.Future[Any]] = [
            asyncio.create_task(process.wait_until_ended()) for process in watched
        ]
        try:
            done, _ = await asyncio.wait([ready, *ends], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (ready, *ends):
                task.cancel()

    def _expect_settled(self) -> _Settled:
        if self._settled is None:
            raise LocalClusterError(
                f"No Cassandra runs in {self._directory}. Start it first: flask cassandra start"
            )
        return self._settled

    async def kill(self, number: int) -> None:
        """SIGKILL one node."""
        async with self._changing:
            await self._running(number).kill()

    async def pause(self, number: int) -> None:
        """SIGSTOP one node."""
        async with self._changing:
            self._running(number).pause()

    async def resume(self, number: int) -> None:
        """SIGCONT one node."""
        async with self._changing:
            self._running(number).resume()

    async def restart(self, number: int) -> None:
        """Stop one node gently if it runs, start it, and wait until the cluster is ready."""
        async with self._changing:
            process = self._process(number)
            await process.stop()
            await self._bring_up([process])

    def _process(self, number: int) -> NodeProcess:
        self._expect_settled()
        if not 1 <= number <= len(self._processes):
            raise LocalClusterError(
                f"Node {number} does not exist: the nodes of {self._directory} are "
                f"1 to {len(self._processes)}."
            )
        return self._processes[number - 1]

    def _running(self, number: int) -> NodeProcess:
        process = self._process(number)
        if not process.alive:
            raise LocalClusterError(f"Node {number} of {self._directory} is down.")
        return process

    def status(self, leases: int, pinned: bool) -> ClusterStatus:
        """What clients are shown."""
        return ClusterStatus(
            directory=self._directory,
            running=bool(self._processes),
            cassandra=CASSANDRA_VERSION,
            port=self._settled.made.port if self._settled else None,
            leases=leases,
            pinned=pinned,
            nodes=tuple(process.status() for process in self._processes),
        )

    async def stop(self) -> None:
        """Stop every node, and remove the directory if it is a temporary one."""
        await asyncio.gather(*(process.stop() for process in self._processes))
        self._locks.close()
        # Only now: a directory removed under a running node breaks its next start.
        if self._settled is not None and self._settled.settings.temporary:
            await _in_thread(lambda: shutil.rmtree(self._directory, ignore_errors=True))

    async def finish_archive(self) -> None:
        """Wait for the class archive that is being made, if any."""
        if self._archiving is not None:
            await self._archiving


def _in_thread(function: Callable[[], T]) -> asyncio.Future[T]:
    """Run a function that blocks, in a daemon thread: nobody waits for it when the process ends."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def deliver(result: T | None, error: Exception | None) -> None:
        if future.cancelled():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]  # a T where there is no error

    def run() -> None:
        try:
            result, error = function(), None
        except Exception as raised:
            result, error = None, raised
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(deliver, result, error)

    threading.Thread(target=run, daemon=True).start()
    return future
