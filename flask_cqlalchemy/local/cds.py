"""The class archive (JVM application class-data sharing) that makes a node start faster.

Loading and verifying 10,000 classes is most of a start's work. The first node on a machine records
what it loads; once it is ready the supervisor has Java write an archive of these classes, in the
background at the lowest priority, for every later start. Without an archive all works, slower.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import logging
import os
import time
from typing import TYPE_CHECKING

from .jars import cache_directory
from .layout import base_command
from .process import launcher
from .settings import CASSANDRA_VERSION

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .java import Java

#: Days after which an archive that no start has used is removed. One takes 68 MB.
_KEEP_DAYS = 30

#: The nice value of the work that nobody waits for (setpriority(2)).
_LOWEST_PRIORITY = 19

_log = logging.getLogger(__name__)


class ClassArchive:
    """The archive of one Java and one class path."""

    def __init__(self, java: Java, class_path: Sequence[str]) -> None:
        self._command = base_command(java, list(class_path))
        stamps = [(jar, os.stat(jar).st_mtime_ns) for jar in class_path]  # noqa: PTH116
        key = hashlib.sha256(repr((java, self._command, stamps)).encode()).hexdigest()[:16]
        self._file = cache_directory() / f"classes-{CASSANDRA_VERSION}-{key}.jsa"
        # One file per supervisor: two may record at once, and only one will make the archive.
        self._recording = self._file.with_suffix(f".{os.getpid()}.lst")

    def flags(self, *, record: bool) -> list[str]:
        """The JVM flags of a node: use the archive, or record what it should hold.

        :param record: whether this node is the one that records.
        """
        if self._file.exists():
            os.utime(self._file)
            return [f"-XX:SharedArchiveFile={self._file}", "-Xlog:cds=off"]
        if not record:
            return []
        self._recording.unlink(missing_ok=True)
        return [f"-XX:DumpLoadedClassList={self._recording}", "-Xlog:cds=off"]

    async def make(self) -> None:
        """Write the archive when there is none, unless another process is writing it."""
        if not self._recording.exists():
            return
        with self._file.with_suffix(".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            self._remove_unused()
            if not self._file.exists():
                await self._write()
            self._recording.unlink(missing_ok=True)

    async def _write(self) -> None:
        # The node goes on writing: its last line may be half there.
        classes = self._recording.read_bytes()
        whole = self._recording.with_suffix(".whole")
        whole.write_bytes(classes[: classes.rfind(b"\n") + 1])
        unfinished = self._file.with_suffix(".new")
        process = await asyncio.create_subprocess_exec(
            *launcher(),
            *self._command,
            "-Xshare:dump",
            f"-XX:SharedClassListFile={whole}",
            f"-XX:SharedArchiveFile={unfinished}",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        os.setpriority(os.PRIO_PROCESS, process.pid, _LOWEST_PRIORITY)
        try:
            if await process.wait() == 0:
                unfinished.replace(self._file)
            else:
                _log.warning("no class archive: Java ended with exit code %s", process.returncode)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            unfinished.unlink(missing_ok=True)
            whole.unlink(missing_ok=True)

    def _remove_unused(self) -> None:
        oldest = time.time() - _KEEP_DAYS * 24 * 3600
        for archive in self._file.parent.glob("classes-*"):
            if archive.stat().st_mtime < oldest:
                archive.unlink()
