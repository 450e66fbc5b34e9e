"""Every ``CASSANDRA_`` key in one table: name, type, default, parser and meaning.

``read_settings`` turns an application's configuration into frozen ``Settings``, one for each bind.
It collects all problems before it raises, and never repeats the value of a secret. The README's
table and the docstring of ``init_app`` are made from ``KEYS``.
"""

from __future__ import annotations

import difflib
import json
import math
import os
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from inspect import signature
from pathlib import Path
from typing import Any

from cassandra import ConsistencyLevel
from cassandra.cluster import Cluster

from .errors import ConfigError, NoConfig

PREFIX = "CASSANDRA_"

#: The bind of every model that names no other with ``__bind_key__``.
DEFAULT_BIND = "default"

#: What ``app.config.from_prefixed_env()`` reads a key from.
_ENVIRONMENT_PREFIX = "FLASK_"

#: Cassandra: a keyspace's or table's name has at most 48 characters
#: (https://cassandra.apache.org/doc/latest/cassandra/developing/cql/ddl.html).
MAX_NAME_LENGTH = 48

_NAME = re.compile(r"[A-Za-z]\w{0,47}", re.ASCII)
_HOST = re.compile(
    r"[A-Za-z0-9]([A-Za-z0-9._-]{0,252}[A-Za-z0-9])?|[0-9A-Fa-f:]*:[0-9A-Fa-f:.]+(%\w+)?"
)
_CLUSTER_OPTIONS = frozenset(signature(Cluster.__init__).parameters) - {"self", "contact_points"}
_SERIAL_LEVELS = ("SERIAL", "LOCAL_SERIAL")


@dataclass(frozen=True)
class SSLSettings:
    """Paths of PEM files, and whether the node's certificate must carry the name connected to."""

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    check_hostname: bool = True


@dataclass(frozen=True)
class Settings:
    """How one bind of one application reaches Cassandra. Times are in seconds."""

    hosts: tuple[str, ...] = ()
    port: int = 9042
    keyspace: str = ""
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ssl: SSLSettings | None = None
    cloud: Path | None = None
    local_dc: str | None = None
    consistency: int = ConsistencyLevel.LOCAL_QUORUM
    serial_consistency: int = ConsistencyLevel.SERIAL
    connect_timeout: float = 5.0
    request_timeout: float = 10.0
    schema_timeout: float = 60.0
    fetch_size: int = 1000
    replication: Mapping[str, str] | None = None
    lazy_connect: bool = True
    retry_connect: bool = False
    setup_kwargs: Mapping[str, Any] = field(default_factory=dict, repr=False)
    binds: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)
    local_nodes: int = 0
    local_directory: Path | None = None
    allow_local: bool = False


def _boolean(value: object) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word in {"true", "1", "yes"}:
        return True
    if word in {"false", "0", "no"}:
        return False
    raise ValueError(f"must be true or false (or 1/0, yes/no), not {value!r}")


def _integer(low: int, high: int) -> Callable[[object], int]:
    def parse(value: object) -> int:
        try:
            if isinstance(value, bool | float):
                raise ValueError
            number = int(str(value))
        except ValueError:
            number = low - 1
        if not low <= number <= high:
            raise ValueError(f"must be a whole number from {low} to {high:,}, not {value!r}")
        return number

    return parse


#: Seconds. No wait of ours is longer than an hour: a larger number is a slip of the unit.
_MAX_SECONDS = 3600


def _seconds(value: object) -> float:
    try:
        if isinstance(value, bool):
            raise ValueError
        number = float(str(value))
    except ValueError:
        number = math.nan
    if not 0 < number <= _MAX_SECONDS:
        raise ValueError(
            f"must be a number of seconds above 0 and at most {_MAX_SECONDS}, not {value!r}"
        )
    return number


def _text(value: object) -> str:
    if not isinstance(value, str):
        # Never repr(value): this parser also reads the password.
        raise ValueError(
            f"must be text, not {type(value).__name__}. from_prefixed_env() reads a value such as "
            "1e10 as a number: write it as JSON text, with double quotes inside"
        )
    if not value:
        raise ValueError("must not be empty")
    return value


def _hosts(value: object) -> tuple[str, ...]:
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, list | tuple):
        raise ValueError(f"must be a list of hosts or a comma-separated string, not {value!r}")
    hosts = tuple(item.strip() if isinstance(item, str) else item for item in items)
    for host in hosts:
        if not isinstance(host, str) or not _HOST.fullmatch(host):
            raise ValueError(
                f"has {host!r}, which is neither a host name nor an IP address "
                f"(the port goes into {PREFIX}PORT)"
            )
    if not hosts:
        raise ValueError("must name at least one host")
    return hosts


def check_name(value: object) -> str:
    """Return ``value`` when it can be the name of a keyspace.

    :raises ValueError: with the rule of the CQL documentation, section "Data Definition".
    """
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ValueError(
            f"must be 1 to {MAX_NAME_LENGTH} letters, digits and underscores beginning with a "
            f"letter, not {value!r}"
        )
    return value


def _consistency(value: object) -> int:
    names: dict[str, int] = ConsistencyLevel.name_to_value
    if isinstance(value, str) and value.strip().upper() in names:
        return names[value.strip().upper()]
    try:
        number = int(str(value))
    except ValueError:
        number = -1
    if number not in names.values() or isinstance(value, bool):
        raise ValueError(f"must be one of {', '.join(names)} or its number, not {value!r}")
    return number


def _serial_consistency(value: object) -> int:
    level = _consistency(value)
    if ConsistencyLevel.value_to_name[level] not in _SERIAL_LEVELS:
        raise ValueError(f"must be SERIAL or LOCAL_SERIAL, not {value!r}")
    return level


def _mapping(value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise ValueError(f"must be a mapping with text keys, not {type(value).__name__}")
    return value


def _existing_file(value: object) -> Path:
    if not isinstance(value, str | os.PathLike):
        raise ValueError(f"must be the path of a file, not {type(value).__name__}")
    path = Path(value)
    if not path.is_file():
        raise ValueError(f"names {str(path)!r}, which is not a file")
    return path


def _ssl(value: object) -> SSLSettings | None:
    if not isinstance(value, Mapping):
        try:
            return SSLSettings() if _boolean(value) else None
        except ValueError:
            raise ValueError(
                "must be true, false or a mapping with the keys ca, certificate, key and "
                f"check_hostname, not {value!r}"
            ) from None
    unknown = sorted(set(map(str, value)) - set(SSLSettings.__dataclass_fields__))
    if unknown:
        raise ValueError(
            f"has the unknown key {unknown[0]!r}; the keys are ca, certificate, key, check_hostname"
        )
    if ("certificate" in value) != ("key" in value):
        raise ValueError("needs certificate and key together")
    paths = {}
    for name in ("ca", "certificate", "key"):
        if name in value:
            try:
                paths[name] = _existing_file(value[name])
            except ValueError as problem:
                raise ValueError(f"{name} {problem}") from None
    return SSLSettings(check_hostname=_boolean(value.get("check_hostname", True)), **paths)


#: NetworkTopologyStrategy and SimpleStrategy are the two that Cassandra offers to users
#: (https://cassandra.apache.org/doc/latest/cassandra/architecture/dynamo.html).
_STRATEGIES = ("SimpleStrategy", "NetworkTopologyStrategy")


def _replication(value: object) -> Mapping[str, str]:
    """Read ``3``, or ``{"dc1": 3}``, or CQL's own form with ``class``, into CQL's own form."""
    number = _integer(1, 1000)
    if not isinstance(value, Mapping):
        try:
            factor = number(value)
        except ValueError:
            raise ValueError(
                "must be a replication factor, or a mapping of data centres to factors, or CQL's "
                f"own mapping with a class, not {value!r}"
            ) from None
        return {"class": "NetworkTopologyStrategy", "replication_factor": str(factor)}
    options = dict(value)
    strategy = str(options.pop("class", "NetworkTopologyStrategy")).rpartition(".")[2]
    if strategy not in _STRATEGIES:
        raise ValueError(f"has the class {strategy!r}; it must be {' or '.join(_STRATEGIES)}")
    if not options:
        raise ValueError("names no replication factor")
    factors = {}
    for name, raw in options.items():
        if not re.fullmatch(r"[\w.-]+", str(name), re.ASCII):
            raise ValueError(f"has {name!r}, which cannot be the name of a data centre")
        try:
            factors[str(name)] = str(number(raw))
        except ValueError as problem:
            raise ValueError(f"{name} {problem}") from None
    return {"class": strategy, **factors}


def _setup_kwargs(value: object) -> Mapping[str, Any]:
    options = _mapping(value)
    for name in options:
        if name == "contact_points":
            raise ValueError(f"must not have contact_points: they go into {PREFIX}HOSTS")
        if name not in _CLUSTER_OPTIONS:
            raise ValueError(f"has {name!r}, which is not an argument of cassandra.cluster.Cluster")
    return options


def _binds(value: object) -> Mapping[str, Mapping[str, Any]]:
    binds = _mapping(value)
    for name, options in binds.items():
        if name == DEFAULT_BIND:
            raise ValueError(f"must not have {DEFAULT_BIND!r}: that is the main configuration")
        if not isinstance(options, Mapping):
            raise ValueError(
                f"{name} must be a mapping of keys without {PREFIX}, such as "
                "{'KEYSPACE': 'archive'}"
            )
    return binds


def _directory(value: object) -> Path:
    if not isinstance(value, str | os.PathLike) or not str(value):
        raise ValueError(f"must be the path of a directory, not {value!r}")
    path = Path(value)
    if path.exists() and not path.is_dir():
        raise ValueError(f"names {str(path)!r}, which is not a directory")
    return path


@dataclass(frozen=True)
class Key:
    """One ``CASSANDRA_`` key. ``per_bind`` says whether ``CASSANDRA_BINDS`` may set it as well."""

    name: str
    kind: str
    parse: Callable[[object], Any]
    meaning: str
    per_bind: bool = True
    secret: bool = False

    @property
    def attribute(self) -> str:
        return self.name.lower()

    @property
    def default(self) -> str:
        """The default as the documentation writes it."""
        value = getattr(_DEFAULTS, self.attribute)
        if self.parse in (_consistency, _serial_consistency):
            return str(ConsistencyLevel.value_to_name[value])
        return "" if value in (None, "", (), {}) else str(value)


_DEFAULTS = Settings()

KEYS: tuple[Key, ...] = (
    Key("HOSTS", "list, or comma-separated text", _hosts, "Where to look for the cluster."),
    Key("PORT", "integer", _integer(1, 65535), "The native protocol's port on every node."),
    Key("KEYSPACE", "text", check_name, "The keyspace of every model that names none itself."),
    Key("USERNAME", "text", _text, "The role to sign in as."),
    Key("PASSWORD", "text", _text, "Its password. Never logged.", secret=True),
    Key(
        "SSL",
        "boolean or mapping",
        _ssl,
        "Encrypt connections. A mapping has paths of PEM files, `ca`, `certificate` and `key`, and "
        "`check_hostname` (true unless set).",
    ),
    Key("CLOUD", "path", _existing_file, "A secure connect bundle, in place of HOSTS."),
    Key(
        "LOCAL_DC",
        "text",
        _text,
        "The data centre to send requests to; without it, that of the first node that answers.",
    ),
    Key("CONSISTENCY", "name or number", _consistency, "Replicas that must answer a request."),
    Key(
        "SERIAL_CONSISTENCY",
        "name or number",
        _serial_consistency,
        "`SERIAL` or `LOCAL_SERIAL`, for conditional writes.",
    ),
    Key("CONNECT_TIMEOUT", "seconds", _seconds, "The longest that a request waits to connect."),
    Key("REQUEST_TIMEOUT", "seconds", _seconds, "The longest that a statement may take."),
    Key("SCHEMA_TIMEOUT", "seconds", _seconds, "The same for a schema change or a TRUNCATE."),
    Key("FETCH_SIZE", "integer", _integer(1, 1_000_000), "Rows fetched at a time."),
    Key(
        "REPLICATION",
        "integer or mapping",
        _replication,
        "For a keyspace that `sync_db()` creates: a factor, or `{data centre: factor}`. One node "
        "needs none.",
    ),
    Key(
        "LAZY_CONNECT",
        "boolean",
        _boolean,
        "Connect with the first query. If false, `init_app` connects.",
    ),
    Key(
        "RETRY_CONNECT",
        "boolean",
        _boolean,
        "Repeat a failed connect, with growing waits, until CONNECT_TIMEOUT is over.",
    ),
    Key(
        "SETUP_KWARGS",
        "mapping",
        _setup_kwargs,
        "Further arguments of `cassandra.cluster.Cluster`.",
    ),
    Key(
        "BINDS",
        "mapping",
        _binds,
        "Further clusters or keyspaces by name, such as `{'archive': {'KEYSPACE': 'archive'}}`: "
        "a model picks one with `__bind_key__`. A key left out is as in the main configuration.",
        per_bind=False,
    ),
    Key(
        "LOCAL_NODES",
        "integer",
        _integer(0, 9),
        "Start so many nodes on this machine when HOSTS is not set. For development and tests.",
        per_bind=False,
    ),
    Key(
        "LOCAL_DIRECTORY",
        "path",
        _directory,
        "Where those nodes keep their data; `cassandra` in the instance folder if not set.",
        per_bind=False,
    ),
    Key(
        "ALLOW_LOCAL",
        "boolean",
        _boolean,
        "Permit LOCAL_NODES outside debug mode and tests too.",
        per_bind=False,
    ),
)

_KEY_BY_NAME = {key.name: key for key in KEYS}


def keys_as_markdown() -> str:
    """The README's table of keys."""
    rows = [
        f"| `{PREFIX}{key.name}` | {key.kind} | {f'`{key.default}`' if key.default else ''} | "
        f"{key.meaning} |"
        for key in KEYS
    ]
    return "\n".join(["| key | type | default | meaning |", "|---|---|---|---|", *rows])


def keys_as_docstring(indent: str) -> str:
    """The list of keys in ``init_app``'s docstring."""
    return "\n".join(
        f"{indent}- ``{PREFIX}{key.name}`` ({key.kind}"
        f"{f'; {key.default}' if key.default else ''}): {key.meaning.replace('`', '``')}"
        for key in KEYS
    )


def _text_from_environment(key: Key, value: object) -> object:
    """Undo what ``from_prefixed_env`` made of a text key: it reads ``1e10`` as a number."""
    verbatim = os.environ.get(f"{_ENVIRONMENT_PREFIX}{PREFIX}{key.name}")
    if isinstance(value, str) or verbatim is None:
        return value
    try:
        return verbatim if json.loads(verbatim) == value else value
    except ValueError:
        return value


def _parse(
    options: Mapping[str, object], base: Settings, label: str, problems: list[str]
) -> Settings:
    """Return ``base`` with every option that parses; append a sentence for each that does not."""
    parsed = {}
    for name, value in options.items():
        key = _KEY_BY_NAME[name]
        if value is None:
            continue
        if key.parse is _text:
            value = _text_from_environment(key, value)
        try:
            parsed[key.attribute] = key.parse(value)
        except ValueError as problem:
            problems.append(f"{label}{name} {problem}.")
    return replace(base, **parsed)


def _check_unknown(names: list[str], problems: list[str]) -> None:
    """An unknown key that is nearly a known one is a slip; any other may be somebody else's.

    Kubernetes, for one, injects ``CASSANDRA_SERVICE_HOST`` beside a service named cassandra.
    """
    for name in names:
        close = difflib.get_close_matches(name, _KEY_BY_NAME, n=1, cutoff=0.8)
        if close:
            problems.append(f"{PREFIX}{name} is not a key; did you mean {PREFIX}{close[0]}?")
        else:
            warnings.warn(f"{PREFIX}{name} is not a key of Flask-CQLAlchemy.", stacklevel=4)


def _check_together(settings: Settings, label: str, problems: list[str]) -> None:
    """Append what is wrong with values that are fine one by one."""
    misread = any(text.startswith((f"{label}USERNAME", f"{label}PASSWORD")) for text in problems)
    if (settings.username is None) != (settings.password is None) and not misread:
        problems.append(f"{label}USERNAME and {label}PASSWORD must be set together.")
    if settings.cloud and settings.hosts:
        problems.append(f"{label}CLOUD and {label}HOSTS must not both be set.")
    for name, ours in (("auth_provider", "USERNAME"), ("ssl_context", "SSL"), ("cloud", "CLOUD")):
        if name in settings.setup_kwargs and getattr(settings, ours.lower()):
            problems.append(
                f"{label}SETUP_KWARGS has {name}, which {label}{ours} sets as well; keep one."
            )


def read_settings(config: Mapping[str, Any], *, development: bool) -> dict[str, Settings]:
    """Read an application's configuration.

    :param config: a mapping such as ``app.config``. Keys without ``CASSANDRA_`` are ignored, and
        so is a key whose value is ``None``.
    :param development: whether the application runs in debug mode or in a test, where
        ``CASSANDRA_LOCAL_NODES`` needs no further permission.
    :returns: the settings by the name of the bind; the main configuration is ``"default"``.
    :raises NoConfig: if nothing says where Cassandra is or which keyspace to use.
    :raises ConfigError: with every problem found, each beginning with the key's name.
    """
    given = {
        name.removeprefix(PREFIX): value
        for name, value in config.items()
        if name.startswith(PREFIX)
    }
    problems: list[str] = []
    _check_unknown([name for name in given if name not in _KEY_BY_NAME], problems)
    options = {name: value for name, value in given.items() if name in _KEY_BY_NAME}
    main = _parse(options, Settings(), PREFIX, problems)
    reachable = bool(main.hosts or main.cloud or main.local_nodes)
    if not reachable and options.get("HOSTS") is None and options.get("CLOUD") is None:
        problems.append(
            f"{PREFIX}HOSTS is not set: name the cluster's hosts, or set {PREFIX}LOCAL_NODES=1 to "
            "run a node on this machine."
        )
    if not main.keyspace and options.get("KEYSPACE") is None:
        problems.append(f"{PREFIX}KEYSPACE is not set: name the keyspace of the models.")
    if problems and all("is not set" in problem for problem in problems):
        raise NoConfig(problems)
    if main.local_nodes and not (main.hosts or main.cloud or development or main.allow_local):
        problems.append(
            f"{PREFIX}LOCAL_NODES is for development: outside debug mode and tests set "
            f"{PREFIX}HOSTS, or {PREFIX}ALLOW_LOCAL=true if an empty local node is what you want."
        )
    _check_together(main, PREFIX, problems)
    settings = {DEFAULT_BIND: main}
    for bind, bind_options in main.binds.items():
        label = f"{PREFIX}BINDS[{bind!r}] "
        allowed = {}
        for name, value in bind_options.items():
            if name in _KEY_BY_NAME and _KEY_BY_NAME[name].per_bind:
                allowed[name] = value
            else:
                problems.append(f"{label}{name} is not a key that a bind can set.")
        settings[bind] = _parse(allowed, main, label, problems)
        _check_together(settings[bind], label, problems)
    if problems:
        raise ConfigError(problems)
    return settings
