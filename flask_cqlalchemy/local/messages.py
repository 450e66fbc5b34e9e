"""What clients and the supervisor of a directory say to each other: JSON lines on a local socket.

A client sends one Request per line; the supervisor answers with any number of Stage lines and
then one Done or Failure. An open connection that asked for a lease *is* the lease.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from .settings import LocalOptions

if TYPE_CHECKING:
    from typing import TypeAlias

#: Longest line, in bytes. A settings document is a few hundred.
MAX_LINE = 1 << 20

Action = Literal["lease", "pin", "release", "stop", "status", "kill", "pause", "resume", "restart"]
NodeState = Literal["up", "paused", "starting", "down"]


@dataclass(frozen=True)
class NodeStatus:
    """One node.

    :ivar number: counted from 1.
    :ivar pid: of its Java process; None when there is none.
    :ivar memory: resident memory in bytes; None when there is no process.
    """

    number: int
    address: str
    data_center: str
    state: NodeState
    pid: int | None
    memory: int | None


@dataclass(frozen=True)
class ClusterStatus:
    """A directory's cluster.

    :ivar running: a supervisor owns the directory and has nodes.
    :ivar port: the native protocol's port; None in a directory that was never started.
    :ivar leases: how many clients hold the nodes up.
    :ivar pinned: ``flask cassandra start`` holds them up until ``flask cassandra stop``.
    """

    directory: Path
    running: bool
    cassandra: str
    port: int | None
    leases: int
    pinned: bool
    nodes: tuple[NodeStatus, ...]

    @property
    def contact_points(self) -> list[str]:
        """The address of each node."""
        return [node.address for node in self.nodes]

    def to_json(self) -> dict[str, object]:
        """A form that ``from_json`` reads back."""
        document: dict[str, object] = asdict(self)
        return document | {"directory": str(self.directory)}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> ClusterStatus:
        """What ``to_json`` wrote."""
        nodes = tuple(NodeStatus(**node) for node in document["nodes"])
        return cls(**document | {"directory": Path(document["directory"]), "nodes": nodes})


@dataclass(frozen=True)
class Request:
    """What a client asks for; ``settings`` go with lease and pin, ``node`` with one node's."""

    action: Action
    settings: LocalOptions | None = None
    node: int = 0

    def encode(self) -> bytes:
        """One line."""
        settings = self.settings and self.settings.to_json()
        return _line({"action": self.action, "settings": settings, "node": self.node})

    @classmethod
    def decode(cls, line: bytes) -> Request:
        """What ``encode`` wrote."""
        document = json.loads(line)
        settings = document["settings"]
        return cls(
            document["action"], settings and LocalOptions.from_json(settings), document["node"]
        )


@dataclass(frozen=True)
class Stage:
    """A stage of the work; ``total`` is 0 where the stage cannot be counted."""

    text: str
    done: int = 0
    total: int = 0


@dataclass(frozen=True)
class Done:
    """The end of an answer.

    :ivar stopped: the nodes were stopped; a ``release`` may only have ended the client's lease.
    """

    status: ClusterStatus
    stopped: bool = False


@dataclass(frozen=True)
class Failure:
    """The end of an answer: the text of a LocalClusterError."""

    text: str


Reply: TypeAlias = "Stage | Done | Failure"


def encode_reply(reply: Reply) -> bytes:
    """One line."""
    if isinstance(reply, Done):
        return _line({"done": {"status": reply.status.to_json(), "stopped": reply.stopped}})
    return _line({type(reply).__name__.lower(): asdict(reply)})


def decode_reply(line: bytes) -> Reply:
    """What ``encode_reply`` wrote."""
    ((kind, document),) = json.loads(line).items()
    if kind == "done":
        return Done(ClusterStatus.from_json(document["status"]), document["stopped"])
    return Stage(**document) if kind == "stage" else Failure(**document)


def _line(document: dict[str, object]) -> bytes:
    return json.dumps(document).encode() + b"\n"
