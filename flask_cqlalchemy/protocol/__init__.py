"""How answers of Cassandra become rows: the kit's protocol handler for the driver's sessions.

The driver decodes in its event-loop thread, and closes the connection for every thread when a cell
cannot be decoded. Here each cell becomes a value, and an answer that cannot be read is an error of
its own request. Stages: read the columns, or take those cached with a prepared statement; let the
driver's C parser decode the rows with the types below; where it fails, decode the page again cell
by cell. ``install`` puts all of it into a session; executing statements is left to ``connection``.
"""

from __future__ import annotations

from .decoding import decode_value
from .handler import install, mark_for_instances
from .types import CQLType
from .values import OutOfRangeTimestamp, UndecodableValue, has_time

__all__ = [
    "CQLType",
    "OutOfRangeTimestamp",
    "UndecodableValue",
    "decode_value",
    "has_time",
    "install",
    "mark_for_instances",
]
