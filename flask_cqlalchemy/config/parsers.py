"""Reads one setting each: from a native value, or from what the environment made of it.

A parser returns the value, or raises ValueError with what follows the key's name in an error. None
repeats a value that may be secret.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import signature
from pathlib import Path

from cassandra import ConsistencyLevel
from cassandra.cluster import Cluster

PREFIX = "CASSANDRA_"

#: The bind of every model that names no other with ``__bind_key__``.
DEFAULT_BIND = "default"

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


def parse_boolean(value: object) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word in {"true", "1", "yes"}:
        return True
    if word in {"false", "0", "no"}:
        return False
    raise ValueError(f"must be true or false (or 1/0, yes/no), not {value!r}")


def parse_integer(low: int, high: int) -> Callable[[object], int]:
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


#: Seconds in ten years.
_MAX_AGE = 315_360_000


def parse_age(value: object) -> float:
    return _parse_seconds(value, _MAX_AGE)


def parse_seconds(value: object) -> float:
    return _parse_seconds(value, _MAX_SECONDS)


def _parse_seconds(value: object, most: int) -> float:
    try:
        if isinstance(value, bool):
            raise ValueError
        number = float(str(value))
    except ValueError:
        number = math.nan
    if not 0 < number <= most:
        raise ValueError(f"must be a number of seconds above 0 and at most {most}, not {value!r}")
    return number


def parse_text(value: object) -> str:
    if not isinstance(value, str):
        # Never repr(value): this parser also reads the password.
        raise ValueError(
            f"must be text, not {type(value).__name__}. from_prefixed_env() reads a value such as "
            "1e10 as a number: write it as JSON text, with double quotes inside"
        )
    if not value:
        raise ValueError("must not be empty")
    return value


def parse_hosts(value: object) -> tuple[str, ...]:
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, list | tuple):
        raise ValueError(f"must be a list of hosts or a comma-separated string, not {value!r}")
    hosts = tuple(item.strip() if isinstance(item, str) else item for item in items)
    for host in hosts:
        if not isinstance(host, str) or not _HOST.fullmatch(host) or not _has_labels(host):
            raise ValueError(
                f"has {host!r}, which is neither a host name nor an IP address "
                f"(the port goes into {PREFIX}PORT)"
            )
    if not hosts:
        raise ValueError("must name at least one host")
    return hosts


def _has_labels(host: str) -> bool:
    """Return whether each part of a host's name has 1 to 63 characters (RFC 1035, 2.3.4), without
    which nobody can look it up.
    """
    return ":" in host or all(0 < len(label) < 64 for label in host.split("."))


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


def parse_consistency(value: object) -> int:
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


def parse_serial_consistency(value: object) -> int:
    level = parse_consistency(value)
    if ConsistencyLevel.value_to_name[level] not in _SERIAL_LEVELS:
        raise ValueError(f"must be SERIAL or LOCAL_SERIAL, not {value!r}")
    return level


def parse_mapping(value: object) -> Mapping[str, object]:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise ValueError(f"must be a mapping with text keys, not {type(value).__name__}")
    return value


def parse_existing_file(value: object) -> Path:
    if not isinstance(value, str | os.PathLike):
        raise ValueError(f"must be the path of a file, not {type(value).__name__}")
    path = Path(value)
    if not path.is_file():
        raise ValueError(f"names {str(path)!r}, which is not a file")
    return path


def parse_ssl(value: object) -> SSLSettings | None:
    if not isinstance(value, Mapping):
        try:
            return SSLSettings() if parse_boolean(value) else None
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
                paths[name] = parse_existing_file(value[name])
            except ValueError as problem:
                raise ValueError(f"{name} {problem}") from None
    return SSLSettings(check_hostname=parse_boolean(value.get("check_hostname", True)), **paths)


#: NetworkTopologyStrategy and SimpleStrategy are the two that Cassandra offers to users
#: (https://cassandra.apache.org/doc/latest/cassandra/architecture/dynamo.html).
_STRATEGIES = ("SimpleStrategy", "NetworkTopologyStrategy")


def parse_replication(value: object) -> Mapping[str, str]:
    """Read ``3``, or ``{"dc1": 3}``, or CQL's own form with ``class``, into CQL's own form."""
    number = parse_integer(1, 1000)
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


def parse_setup_kwargs(value: object) -> Mapping[str, object]:
    options = parse_mapping(value)
    for name in options:
        if name == "contact_points":
            raise ValueError(f"must not have contact_points: they go into {PREFIX}HOSTS")
        if name not in _CLUSTER_OPTIONS:
            raise ValueError(f"has {name!r}, which is not an argument of cassandra.cluster.Cluster")
    return options


def parse_binds(value: object) -> Mapping[str, Mapping[str, object]]:
    binds: dict[str, Mapping[str, object]] = {}
    for name, options in parse_mapping(value).items():
        if name == DEFAULT_BIND:
            raise ValueError(f"must not have {DEFAULT_BIND!r}: that is the main configuration")
        if not isinstance(options, Mapping):
            raise ValueError(
                f"{name} must be a mapping of keys without {PREFIX}, such as "
                "{'KEYSPACE': 'archive'}"
            )
        binds[name] = options
    return binds


def parse_directory(value: object) -> Path:
    if not isinstance(value, str | os.PathLike) or not str(value):
        raise ValueError(f"must be the path of a directory, not {value!r}")
    path = Path(value)
    if path.exists() and not path.is_dir():
        raise ValueError(f"names {str(path)!r}, which is not a directory")
    return path
