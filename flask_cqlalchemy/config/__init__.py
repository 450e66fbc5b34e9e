"""Every ``CASSANDRA_`` key in one table: name, type, default, parser and meaning.

``read_settings`` turns an application's configuration into frozen ``Settings``, one for each bind.
It collects all problems before it raises, and never repeats the value of a secret. The README's
table and the docstring of ``init_app`` are made from ``KEYS``.
"""

from __future__ import annotations

import difflib
import json
import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cassandra import ConsistencyLevel

from ..errors import ConfigError, NoConfig
from .parsers import (
    DEFAULT_BIND,
    PREFIX,
    SSLSettings,
    check_name,
    parse_age,
    parse_binds,
    parse_boolean,
    parse_consistency,
    parse_directory,
    parse_existing_file,
    parse_hosts,
    parse_integer,
    parse_replication,
    parse_seconds,
    parse_serial_consistency,
    parse_setup_kwargs,
    parse_ssl,
    parse_text,
)
from .rails import Guardrail, Guardrails, parse_guardrails

__all__ = [
    "DEFAULT_BIND",
    "KEYS",
    "PREFIX",
    "Guardrail",
    "Guardrails",
    "Key",
    "SSLSettings",
    "Settings",
    "check_name",
    "keys_as_docstring",
    "keys_as_markdown",
    "read_settings",
]

#: What ``app.config.from_prefixed_env()`` reads a key from.
_ENVIRONMENT_PREFIX = "FLASK_"


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
    fetch_size: int = 5000
    skip_metadata: bool = True
    batch_size: int = 50
    guardrails: Guardrails = field(default_factory=Guardrails)
    replication: Mapping[str, str] | None = None
    lazy_connect: bool = True
    retry_connect: bool = False
    setup_kwargs: Mapping[str, Any] = field(default_factory=dict, repr=False)
    binds: Mapping[str, Mapping[str, object]] = field(default_factory=dict, repr=False)
    cursor_age: float = 86_400.0
    local_nodes: int = 0
    local_directory: Path | None = None
    allow_local: bool = False


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
        if self.parse in (parse_consistency, parse_serial_consistency):
            return str(ConsistencyLevel.value_to_name[value])
        if self.parse is parse_guardrails:
            return "warn"
        return "" if value in (None, "", (), {}) else str(value)


_DEFAULTS = Settings()

KEYS: tuple[Key, ...] = (
    Key("HOSTS", "list, or comma-separated text", parse_hosts, "Where to look for the cluster."),
    Key("PORT", "integer", parse_integer(1, 65535), "The native protocol's port on every node."),
    Key("KEYSPACE", "text", check_name, "The keyspace of every model that names none itself."),
    Key("USERNAME", "text", parse_text, "The role to sign in as."),
    Key("PASSWORD", "text", parse_text, "Its password. Never logged.", secret=True),
    Key(
        "SSL",
        "boolean or mapping",
        parse_ssl,
        "Encrypt connections. A mapping has paths of PEM files, `ca`, `certificate` and `key`, and "
        "`check_hostname` (true unless set).",
    ),
    Key("CLOUD", "path", parse_existing_file, "A secure connect bundle, in place of HOSTS."),
    Key(
        "LOCAL_DC",
        "text",
        parse_text,
        "The data centre to send requests to; without it, that of the first node that answers.",
    ),
    Key("CONSISTENCY", "name or number", parse_consistency, "Replicas that must answer a request."),
    Key(
        "SERIAL_CONSISTENCY",
        "name or number",
        parse_serial_consistency,
        "`SERIAL` or `LOCAL_SERIAL`, for conditional writes.",
    ),
    Key(
        "CONNECT_TIMEOUT", "seconds", parse_seconds, "The longest that a request waits to connect."
    ),
    Key("REQUEST_TIMEOUT", "seconds", parse_seconds, "The longest that a statement may take."),
    Key("SCHEMA_TIMEOUT", "seconds", parse_seconds, "The same for a schema change or a TRUNCATE."),
    Key("FETCH_SIZE", "integer", parse_integer(1, 1_000_000), "Rows fetched at a time."),
    Key(
        "SKIP_METADATA",
        "boolean",
        parse_boolean,
        "Let nodes leave out the description of a prepared statement's columns (protocol v5).",
    ),
    Key(
        "BATCH_SIZE",
        "integer",
        parse_integer(1, 1_000_000),
        "KiB that a batch over several partitions may have: `batch_size_fail_threshold` of "
        "cassandra.yaml.",
    ),
    Key(
        "GUARDRAILS",
        "`off`, `warn`, `raise`, or mapping",
        parse_guardrails,
        "What to do about risky queries: one action for all, or one for each, such as "
        "`{'allow_filtering': 'raise', 'in_values': ['warn', 20]}`.",
    ),
    Key(
        "REPLICATION",
        "integer or mapping",
        parse_replication,
        "For a keyspace that `sync_db()` creates: a factor, or `{data centre: factor}`. One node "
        "needs none.",
    ),
    Key(
        "LAZY_CONNECT",
        "boolean",
        parse_boolean,
        "Connect with the first query. If false, `init_app` connects.",
    ),
    Key(
        "RETRY_CONNECT",
        "boolean",
        parse_boolean,
        "Repeat a failed connect, with growing waits, until CONNECT_TIMEOUT is over.",
    ),
    Key(
        "SETUP_KWARGS",
        "mapping",
        parse_setup_kwargs,
        "Further arguments of `cassandra.cluster.Cluster`.",
    ),
    Key(
        "CURSOR_AGE",
        "seconds",
        parse_age,
        "How long a page's cursor is good.",
        per_bind=False,
    ),
    Key(
        "BINDS",
        "mapping",
        parse_binds,
        "Further clusters or keyspaces by name, such as `{'archive': {'KEYSPACE': 'archive'}}`: "
        "a model picks one with `__bind_key__`. A key left out is as in the main configuration.",
        per_bind=False,
    ),
    Key(
        "LOCAL_NODES",
        "integer",
        parse_integer(0, 9),
        "Start so many nodes on this machine when HOSTS is not set. For development and tests.",
        per_bind=False,
    ),
    Key(
        "LOCAL_DIRECTORY",
        "path",
        parse_directory,
        "Where those nodes keep their data; `cassandra` in the instance folder if not set.",
        per_bind=False,
    ),
    Key(
        "ALLOW_LOCAL",
        "boolean",
        parse_boolean,
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
        if key.parse is parse_text:
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


def read_settings(config: Mapping[str, object], *, development: bool) -> dict[str, Settings]:
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
