"""What a local cluster is made of: the options of ``LocalCluster`` as one frozen value.

Checks them, says in which two differ, and keeps what a directory was made with in its
``cluster.json``, so that its contact points stay the same from run to run.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from ..errors import LocalClusterError

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The release of Apache Cassandra that is run: its artifact is org.apache.cassandra:cassandra-all.
CASSANDRA_VERSION = "5.0.9"

#: Seconds between the end of the last lease and the stop. Long enough for ``flask run --debug`` to
#: restart its worker; with the nodes' own stop it stays below 10.
LINGER = 4.0

#: Most nodes of one cluster: addresses 127.0.0.1 to 127.0.0.254.
MAX_NODES = 254

#: What ``commitlog_sync`` may be. ``periodic``, Cassandra's default, acknowledges a write before it
#: is on disk; ``batch`` after.
CommitlogSync = Literal["periodic", "batch"]

#: Keys of cassandra.yaml that have an option of their own.
_OPTION_OF = {
    "authenticator": "auth",
    "client_encryption_options": "tls",
    "commitlog_sync": "commitlog_sync",
    "initial_token": "tokens",
    "native_transport_port": "port",
    "num_tokens": "tokens",
    "endpoint_snitch": "data_centers",
}

#: Keys of cassandra.yaml that the cluster needs for itself.
_RESERVED = frozenset(
    {
        "auto_bootstrap",
        "broadcast_address",
        "broadcast_rpc_address",
        "cdc_raw_directory",
        "cluster_name",
        "commitlog_directory",
        "data_file_directories",
        "hints_directory",
        "listen_address",
        "listen_interface",
        "rpc_address",
        "rpc_interface",
        "saved_caches_directory",
        "seed_provider",
        "storage_port",
    }
)

#: Options that decide where rows are stored, and so cannot change while the data stays.
_FIXED_BY_DATA = ("nodes", "data_centers", "tokens")


@dataclass(frozen=True)
class TLSFiles:
    """The PEM files that turn on client encryption.

    :ivar certificate: the server's certificate, followed by any intermediate ones.
    :ivar key: its private key, without a password.
    :ivar ca: the certificate authority that signed it.
    """

    certificate: Path
    key: Path
    ca: Path

    @classmethod
    def from_directory(cls, directory: Path) -> TLSFiles:
        """The files ``cert.pem``, ``key.pem`` and ``ca.pem`` of ``directory``."""
        return cls(directory / "cert.pem", directory / "key.pem", directory / "ca.pem")

    def absolute(self) -> TLSFiles:
        """The same files, whatever the reader's working directory."""
        return TLSFiles(self.certificate.absolute(), self.key.absolute(), self.ca.absolute())


@dataclass(frozen=True)
class LocalOptions:
    """The options of a local cluster; ``LocalCluster`` documents each that has a parameter there.

    :ivar linger: seconds for which a supervisor that these settings start outlives the last lease.
    :ivar program: what runs instead of Cassandra, with ``Node.marker``, address and port as its
        last arguments; ready when it listens. For tests of what does not concern Cassandra.
    """

    nodes: int = 1
    port: int | None = None
    auth: bool = False
    tls: TLSFiles | None = None
    data_centers: int = 1
    tokens: int = 1
    commitlog_sync: CommitlogSync = "periodic"
    yaml: Mapping[str, object] = field(default_factory=dict)
    temporary: bool = False
    linger: float = LINGER
    program: tuple[str, ...] = ()

    def check(self) -> None:
        """Raise LocalClusterError for the first option that cannot be used."""
        if self.nodes < 1 or self.nodes > MAX_NODES:
            raise LocalClusterError(
                f"nodes={self.nodes}: a local cluster has 1 to {MAX_NODES} nodes."
            )
        if self.nodes > 1 and sys.platform == "darwin":
            raise LocalClusterError(
                f"nodes={self.nodes}: macOS answers only 127.0.0.1, and each node needs a loopback "
                "address of its own. Use nodes=1, or several nodes on Linux."
            )
        if self.port is not None and not 0 < self.port < 65536:
            raise LocalClusterError(f"port={self.port}: a port lies between 1 and 65535.")
        if not 1 <= self.data_centers <= self.nodes:
            raise LocalClusterError(
                f"data_centers={self.data_centers}: each data centre needs a node, and there "
                f"{'is 1' if self.nodes == 1 else f'are {self.nodes}'}."
            )
        if self.tokens < 1:
            raise LocalClusterError(f"tokens={self.tokens}: a node has at least one token.")
        if self.commitlog_sync not in get_args(CommitlogSync):
            raise LocalClusterError(
                f"commitlog_sync={self.commitlog_sync!r}: use 'periodic' or 'batch'."
            )
        self._check_tls()
        self._check_yaml()

    def _check_tls(self) -> None:
        for name, path in asdict(self.tls).items() if self.tls else ():
            if not path.is_file():
                raise LocalClusterError(f"tls: the {name} file {path} does not exist.")

    def _check_yaml(self) -> None:
        for key in self.yaml:
            if key in _OPTION_OF:
                raise LocalClusterError(
                    f"yaml[{key!r}]: use LocalCluster({_OPTION_OF[key]}=...) instead."
                )
            if key in _RESERVED:
                raise LocalClusterError(f"yaml[{key!r}]: LocalCluster sets this key itself.")
        try:
            json.dumps(dict(self.yaml))
        except (TypeError, ValueError) as error:
            raise LocalClusterError(f"yaml: {error}. Use numbers, text, lists and dicts.") from None

    def difference(self, wanted: LocalOptions) -> str:
        """The options in which ``wanted`` differs from these, as ``nodes=1, not nodes=3``.

        A port that is None means any port, so it never differs; nor does what has no say in the
        nodes themselves.
        """
        different = [
            f"{name.name}={getattr(self, name.name)!r}, not {name.name}={theirs!r}"
            for name in fields(self)
            if (theirs := getattr(wanted, name.name)) != getattr(self, name.name)
            and name.name not in ("temporary", "linger")
            and not (name.name == "port" and theirs is None)
        ]
        return " and ".join(different)

    def to_json(self) -> dict[str, object]:
        """A form that ``from_json`` reads back."""
        tls = self.tls and {name: str(path) for name, path in asdict(self.tls).items()}
        return {f.name: getattr(self, f.name) for f in fields(self)} | {
            "tls": tls,
            "yaml": dict(self.yaml),
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> LocalOptions:
        """What ``to_json`` wrote."""
        tls = document["tls"]
        return cls(
            **document
            | {
                "tls": tls and TLSFiles(**{name: Path(path) for name, path in tls.items()}),
                "program": tuple(document["program"]),
            }
        )


@dataclass(frozen=True)
class Manifest:
    """What ``cluster.json`` keeps of a directory: all that must not change while its data stays.

    :ivar cassandra: the release that wrote the data.
    :ivar port: the native protocol's port, the same on every node's address.
    :ivar storage_port: the port between the nodes, likewise.
    :ivar auth_ready: the default superuser has logged in once, so a refusal later on means that its
        password was changed and not that it is still to be made.
    """

    cassandra: str
    nodes: int
    data_centers: int
    tokens: int
    port: int
    storage_port: int
    auth_ready: bool = False

    @classmethod
    def read(cls, directory: Path) -> Manifest | None:
        """The directory's ``cluster.json``; None when it has none.

        :raises LocalClusterError: when it cannot be understood.
        """
        path = directory / "cluster.json"
        try:
            return cls(**json.loads(path.read_text()))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError) as error:
            raise LocalClusterError(
                f"{path} cannot be read ({error}). Remove the directory to begin again, or use "
                "another one."
            ) from error

    def write(self, directory: Path) -> None:
        """Write ``cluster.json`` so that a reader sees the old text or the new one."""
        unfinished = directory / "cluster.json.new"
        unfinished.write_text(json.dumps(asdict(self), indent=1) + "\n")
        unfinished.replace(directory / "cluster.json")

    def check(self, directory: Path, settings: LocalOptions) -> None:
        """Raise LocalClusterError when ``settings`` cannot run on the data of ``directory``."""
        if self.cassandra != CASSANDRA_VERSION:
            raise LocalClusterError(
                f"{directory} was made by Cassandra {self.cassandra}, and this is "
                f"{CASSANDRA_VERSION}. Use another directory, or remove this one to begin again."
            )
        for name in _FIXED_BY_DATA:
            made, wanted = getattr(self, name), getattr(settings, name)
            if made != wanted:
                raise LocalClusterError(
                    f"{directory} was made with {name}={made}, and {name}={wanted} was asked for. "
                    f"Use {name}={made}, another directory, or remove this one to begin again."
                )
