"""Settings: every key, native and from the environment, and what is said about a bad one."""

from __future__ import annotations

import warnings
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from cassandra import ConsistencyLevel
from flask import Flask

from flask_cqlalchemy import ConfigError, CQLAlchemy, NoConfig
from flask_cqlalchemy.config import (
    KEYS,
    Settings,
    SSLSettings,
    keys_as_docstring,
    keys_as_markdown,
    read_settings,
)

ROOT = Path(__file__).parents[1]
BASE = {"CASSANDRA_HOSTS": ["127.0.0.1"], "CASSANDRA_KEYSPACE": "blog"}


def read(**options: object) -> Settings:
    config = {**BASE, **{f"CASSANDRA_{name}": value for name, value in options.items()}}
    return read_settings(config, development=False)["default"]


def problems(config: dict[str, object], *, development: bool = False) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read_settings(config, development=development)
    return caught.value.problems


def problem(**options: object) -> str:
    found = problems({**BASE, **{f"CASSANDRA_{name}": value for name, value in options.items()}})
    assert len(found) == 1
    return found[0]


def test_each_key_stands_for_one_setting() -> None:
    assert [key.attribute for key in KEYS] != []
    assert {key.attribute for key in KEYS} == {field.name for field in fields(Settings)}


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("HOSTS", "10.0.0.1, node2.example.com", ("10.0.0.1", "node2.example.com")),
        ("HOSTS", ["::1"], ("::1",)),
        ("HOSTS", ("a", "b"), ("a", "b")),
        ("PORT", "9142", 9142),
        ("PORT", 9142, 9142),
        ("KEYSPACE", "Blog_2", "Blog_2"),
        ("LOCAL_DC", "dc1", "dc1"),
        ("CONSISTENCY", "quorum", ConsistencyLevel.QUORUM),
        ("CONSISTENCY", ConsistencyLevel.ONE, ConsistencyLevel.ONE),
        ("CONSISTENCY", "6", ConsistencyLevel.LOCAL_QUORUM),
        ("SERIAL_CONSISTENCY", "LOCAL_SERIAL", ConsistencyLevel.LOCAL_SERIAL),
        ("CONNECT_TIMEOUT", "2.5", 2.5),
        ("REQUEST_TIMEOUT", 3, 3.0),
        ("SCHEMA_TIMEOUT", 120, 120.0),
        ("FETCH_SIZE", "500", 500),
        ("LAZY_CONNECT", "False", False),
        ("LAZY_CONNECT", "1", True),
        ("RETRY_CONNECT", "yes", True),
        ("RETRY_CONNECT", True, True),
        (
            "REPLICATION",
            3,
            {"class": "NetworkTopologyStrategy", "replication_factor": "3"},
        ),
        (
            "REPLICATION",
            {"dc1": 3, "dc2": "2"},
            {"class": "NetworkTopologyStrategy", "dc1": "3", "dc2": "2"},
        ),
        (
            "REPLICATION",
            {"class": "SimpleStrategy", "replication_factor": 1},
            {"class": "SimpleStrategy", "replication_factor": "1"},
        ),
        ("SETUP_KWARGS", {"protocol_version": 4}, {"protocol_version": 4}),
        ("SSL", "true", SSLSettings()),
        ("SSL", False, None),
        ("SSL", {"check_hostname": False}, SSLSettings(check_hostname=False)),
        ("LOCAL_NODES", "3", 3),
        ("ALLOW_LOCAL", "true", True),
        ("LOCAL_DIRECTORY", "nodes", Path("nodes")),
        ("PORT", None, 9042),
    ],
)
def test_a_value_is_read(name: str, value: object, expected: object) -> None:
    assert getattr(read(**{name: value}), name.lower()) == expected


BAD_VALUES: list[tuple[str, object, str]] = [
    ("HOSTS", [], "CASSANDRA_HOSTS must name at least one host."),
    (
        "HOSTS",
        "10.0.0.1:9042",
        "CASSANDRA_HOSTS has '10.0.0.1:9042', which is neither a host name nor an IP address "
        "(the port goes into CASSANDRA_PORT).",
    ),
    ("BATCH_SIZE", 0, "CASSANDRA_BATCH_SIZE must be a whole number from 1 to 1,000,000, not 0."),
    (
        "GUARDRAILS",
        "scream",
        "CASSANDRA_GUARDRAILS must be one of off, warn, raise, not 'scream'.",
    ),
    (
        "GUARDRAILS",
        3,
        "CASSANDRA_GUARDRAILS must be one of off, warn, raise, or a mapping of guardrails to "
        "these, not 3.",
    ),
    (
        "GUARDRAILS",
        {"filtering": "off"},
        "CASSANDRA_GUARDRAILS has 'filtering', which is not a guardrail; the guardrails are "
        "allow_filtering, unpaged_rows, in_values, batch_partitions, logged_batch_partitions, "
        "repeated_statements.",
    ),
    (
        "GUARDRAILS",
        {"in_values": "shout"},
        "CASSANDRA_GUARDRAILS in_values must be one of off, warn, raise, not 'shout'.",
    ),
    (
        "GUARDRAILS",
        {"in_values": ["warn", -1]},
        "CASSANDRA_GUARDRAILS in_values must be a whole number from 1 to 1,000,000,000, not -1.",
    ),
    (
        "GUARDRAILS",
        {"in_values": ["warn"]},
        "CASSANDRA_GUARDRAILS in_values must be an action, or an action and a limit, not ['warn'].",
    ),
    (
        "GUARDRAILS",
        {"allow_filtering": ["warn", 5]},
        "CASSANDRA_GUARDRAILS allow_filtering has no limit: give the action alone.",
    ),
    *(
        (
            "HOSTS",
            name,
            f"CASSANDRA_HOSTS has {name!r}, which is neither a host name nor an IP address "
            "(the port goes into CASSANDRA_PORT).",
        )
        for name in ("node..example.com", f"{'n' * 64}.example.com", f"{'n' * 64}")
    ),
    (
        "HOSTS",
        7,
        "CASSANDRA_HOSTS must be a list of hosts or a comma-separated string, not 7.",
    ),
    (
        "HOSTS",
        ["a", None],
        "CASSANDRA_HOSTS has None, which is neither a host name nor an IP address "
        "(the port goes into CASSANDRA_PORT).",
    ),
    ("PORT", 0, "CASSANDRA_PORT must be a whole number from 1 to 65,535, not 0."),
    ("PORT", True, "CASSANDRA_PORT must be a whole number from 1 to 65,535, not True."),
    (
        "PORT",
        "tcp://10.0.0.1:9042",
        "CASSANDRA_PORT must be a whole number from 1 to 65,535, not 'tcp://10.0.0.1:9042'.",
    ),
    (
        "KEYSPACE",
        'blog"; DROP KEYSPACE blog',
        "CASSANDRA_KEYSPACE must be 1 to 48 letters, digits and underscores beginning with a "
        "letter, not 'blog\"; DROP KEYSPACE blog'.",
    ),
    (
        "KEYSPACE",
        "",
        "CASSANDRA_KEYSPACE must be 1 to 48 letters, digits and underscores beginning with a "
        "letter, not ''.",
    ),
    (
        "CONSISTENCY",
        "MOST",
        "CASSANDRA_CONSISTENCY must be one of ANY, ONE, TWO, THREE, QUORUM, ALL, LOCAL_QUORUM, "
        "EACH_QUORUM, SERIAL, LOCAL_SERIAL, LOCAL_ONE or its number, not 'MOST'.",
    ),
    (
        "CONSISTENCY",
        99,
        "CASSANDRA_CONSISTENCY must be one of ANY, ONE, TWO, THREE, QUORUM, ALL, LOCAL_QUORUM, "
        "EACH_QUORUM, SERIAL, LOCAL_SERIAL, LOCAL_ONE or its number, not 99.",
    ),
    (
        "SERIAL_CONSISTENCY",
        "QUORUM",
        "CASSANDRA_SERIAL_CONSISTENCY must be SERIAL or LOCAL_SERIAL, not 'QUORUM'.",
    ),
    ("LOCAL_DC", "", "CASSANDRA_LOCAL_DC must not be empty."),
    (
        "CONNECT_TIMEOUT",
        0,
        "CASSANDRA_CONNECT_TIMEOUT must be a number of seconds above 0 and at most 3600, not 0.",
    ),
    (
        "REQUEST_TIMEOUT",
        "nan",
        "CASSANDRA_REQUEST_TIMEOUT must be a number of seconds above 0 and at most 3600, "
        "not 'nan'.",
    ),
    (
        "SCHEMA_TIMEOUT",
        "10s",
        "CASSANDRA_SCHEMA_TIMEOUT must be a number of seconds above 0 and at most 3600, not '10s'.",
    ),
    (
        "FETCH_SIZE",
        1.5,
        "CASSANDRA_FETCH_SIZE must be a whole number from 1 to 1,000,000, not 1.5.",
    ),
    (
        "CURSOR_AGE",
        "a day",
        "CASSANDRA_CURSOR_AGE must be a number of seconds above 0 and at most 315360000, not "
        "'a day'.",
    ),
    (
        "SKIP_METADATA",
        "sometimes",
        "CASSANDRA_SKIP_METADATA must be true or false (or 1/0, yes/no), not 'sometimes'.",
    ),
    (
        "LAZY_CONNECT",
        "maybe",
        "CASSANDRA_LAZY_CONNECT must be true or false (or 1/0, yes/no), not 'maybe'.",
    ),
    (
        "RETRY_CONNECT",
        2,
        "CASSANDRA_RETRY_CONNECT must be true or false (or 1/0, yes/no), not 2.",
    ),
    (
        "REPLICATION",
        "many",
        "CASSANDRA_REPLICATION must be a replication factor, or a mapping of data centres to "
        "factors, or CQL's own mapping with a class, not 'many'.",
    ),
    ("REPLICATION", {}, "CASSANDRA_REPLICATION names no replication factor."),
    (
        "REPLICATION",
        {"dc1": 0},
        "CASSANDRA_REPLICATION dc1 must be a whole number from 1 to 1,000, not 0.",
    ),
    (
        "REPLICATION",
        {"dc1'": 1},
        'CASSANDRA_REPLICATION has "dc1\'", which cannot be the name of a data centre.',
    ),
    (
        "REPLICATION",
        {"class": "Magic", "dc1": 1},
        "CASSANDRA_REPLICATION has the class 'Magic'; it must be SimpleStrategy or "
        "NetworkTopologyStrategy.",
    ),
    (
        "SETUP_KWARGS",
        {"contact_points": ["a"]},
        "CASSANDRA_SETUP_KWARGS must not have contact_points: they go into CASSANDRA_HOSTS.",
    ),
    (
        "SETUP_KWARGS",
        {"retries": 3},
        "CASSANDRA_SETUP_KWARGS has 'retries', which is not an argument of "
        "cassandra.cluster.Cluster.",
    ),
    ("SETUP_KWARGS", [], "CASSANDRA_SETUP_KWARGS must be a mapping with text keys, not list."),
    (
        "SSL",
        "perhaps",
        "CASSANDRA_SSL must be true, false or a mapping with the keys ca, certificate, key and "
        "check_hostname, not 'perhaps'.",
    ),
    (
        "SSL",
        {"cafile": "ca.pem"},
        "CASSANDRA_SSL has the unknown key 'cafile'; the keys are ca, certificate, key, "
        "check_hostname.",
    ),
    ("SSL", {"key": "key.pem"}, "CASSANDRA_SSL needs certificate and key together."),
    (
        "SSL",
        {"ca": "missing.pem"},
        "CASSANDRA_SSL ca names 'missing.pem', which is not a file.",
    ),
    ("CLOUD", "missing.zip", "CASSANDRA_CLOUD names 'missing.zip', which is not a file."),
    ("CLOUD", 3, "CASSANDRA_CLOUD must be the path of a file, not int."),
    (
        "USERNAME",
        "app",
        "CASSANDRA_USERNAME and CASSANDRA_PASSWORD must be set together.",
    ),
    (
        "LOCAL_NODES",
        10,
        "CASSANDRA_LOCAL_NODES must be a whole number from 0 to 9, not 10.",
    ),
    (
        "ALLOW_LOCAL",
        "ok",
        "CASSANDRA_ALLOW_LOCAL must be true or false (or 1/0, yes/no), not 'ok'.",
    ),
    (
        "LOCAL_DIRECTORY",
        "",
        "CASSANDRA_LOCAL_DIRECTORY must be the path of a directory, not ''.",
    ),
    (
        "BINDS",
        {"archive": "old"},
        "CASSANDRA_BINDS archive must be a mapping of keys without CASSANDRA_, such as "
        "{'KEYSPACE': 'archive'}.",
    ),
    (
        "BINDS",
        {"default": {}},
        "CASSANDRA_BINDS must not have 'default': that is the main configuration.",
    ),
    (
        "BINDS",
        {"archive": {"PORT": "x"}},
        "CASSANDRA_BINDS['archive'] PORT must be a whole number from 1 to 65,535, not 'x'.",
    ),
    (
        "BINDS",
        {"archive": {"LOCAL_NODES": 1}},
        "CASSANDRA_BINDS['archive'] LOCAL_NODES is not a key that a bind can set.",
    ),
]


@pytest.mark.parametrize(("name", "value", "message"), BAD_VALUES)
def test_a_bad_value_is_named_with_the_remedy(name: str, value: object, message: str) -> None:
    assert problem(**{name: value}) == message


def test_every_key_has_a_bad_value_above() -> None:
    assert {name for name, _, _ in BAD_VALUES} | {"PASSWORD"} == {key.name for key in KEYS}


def test_a_bad_password_is_never_shown() -> None:
    assert problem(USERNAME="app", PASSWORD=987654321) == (
        "CASSANDRA_PASSWORD must be text, not int. from_prefixed_env() reads a value such as 1e10 "
        "as a number: write it as JSON text, with double quotes inside."
    )
    assert "987654321" not in repr(read(USERNAME="app", PASSWORD="987654321"))


def test_all_problems_come_in_one_error() -> None:
    found = problems({"CASSANDRA_PORT": "x", "CASSANDRA_KEYSPACE": "1", "CASSANDRA_HOSTS": []})
    assert [text.split()[0] for text in found] == [
        "CASSANDRA_PORT",
        "CASSANDRA_KEYSPACE",
        "CASSANDRA_HOSTS",
    ]


def test_a_configuration_without_hosts_and_keyspace_is_no_config() -> None:
    with pytest.raises(NoConfig) as caught:
        read_settings({}, development=True)
    assert caught.value.problems == [
        "CASSANDRA_HOSTS is not set: name the cluster's hosts, or set CASSANDRA_LOCAL_NODES=1 to "
        "run a node on this machine.",
        "CASSANDRA_KEYSPACE is not set: name the keyspace of the models.",
    ]


def test_local_nodes_are_refused_outside_development() -> None:
    config: dict[str, object] = {"CASSANDRA_KEYSPACE": "blog", "CASSANDRA_LOCAL_NODES": 1}
    assert problems(config) == [
        "CASSANDRA_LOCAL_NODES is for development: outside debug mode and tests set "
        "CASSANDRA_HOSTS, or CASSANDRA_ALLOW_LOCAL=true if an empty local node is what you want."
    ]
    assert read_settings(config, development=True)["default"].local_nodes == 1
    allowed = {**config, "CASSANDRA_ALLOW_LOCAL": True}
    assert read_settings(allowed, development=False)["default"].local_nodes == 1


def test_a_key_that_is_nearly_right_is_an_error() -> None:
    assert problems({**BASE, "CASSANDRA_HOST": "a"}) == [
        "CASSANDRA_HOST is not a key; did you mean CASSANDRA_HOSTS?"
    ]


def test_a_foreign_key_is_a_warning() -> None:
    config = {**BASE, "CASSANDRA_SERVICE_HOST": "10.0.0.1"}
    with pytest.warns(
        UserWarning, match="^CASSANDRA_SERVICE_HOST is not a key of Flask-CQLAlchemy.$"
    ):
        read_settings(config, development=False)


def test_keys_of_others_are_left_alone() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_settings({**BASE, "SECRET_KEY": "x", "HOSTS": 3}, development=False)


def test_settings_that_exclude_each_other_are_an_error(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.zip"
    bundle.touch()
    assert problem(CLOUD=str(bundle)) == "CASSANDRA_CLOUD and CASSANDRA_HOSTS must not both be set."
    assert problem(SSL=True, SETUP_KWARGS={"ssl_context": object()}) == (
        "CASSANDRA_SETUP_KWARGS has ssl_context, which CASSANDRA_SSL sets as well; keep one."
    )


def test_a_bind_takes_what_it_leaves_out_from_the_main_configuration() -> None:
    config: dict[str, Any] = {
        **BASE,
        "CASSANDRA_PORT": 9142,
        "CASSANDRA_BINDS": {"archive": {"KEYSPACE": "archive", "HOSTS": "10.0.0.9"}},
    }
    archive = read_settings(config, development=False)["archive"]
    assert (archive.keyspace, archive.hosts, archive.port) == ("archive", ("10.0.0.9",), 9142)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("HOSTS", "a,b", ("a", "b")),
        ("HOSTS", '["a"]', ("a",)),
        ("LAZY_CONNECT", "False", False),
        ("LAZY_CONNECT", "false", False),
        ("PASSWORD", "1e10", "1e10"),
        ("PASSWORD", "00123", "00123"),
        ("PASSWORD", "true", "true"),
        ("PASSWORD", '"quoted"', "quoted"),
        ("LOCAL_DC", "7", "7"),
        ("REPLICATION", '{"dc1": 3}', {"class": "NetworkTopologyStrategy", "dc1": "3"}),
        ("REPLICATION", "3", {"class": "NetworkTopologyStrategy", "replication_factor": "3"}),
    ],
)
def test_a_value_from_the_environment_is_read(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str, expected: object
) -> None:
    monkeypatch.setenv("FLASK_CASSANDRA_HOSTS", "127.0.0.1")
    monkeypatch.setenv("FLASK_CASSANDRA_KEYSPACE", "blog")
    if name == "PASSWORD":
        monkeypatch.setenv("FLASK_CASSANDRA_USERNAME", "app")
    monkeypatch.setenv(f"FLASK_CASSANDRA_{name}", text)
    app = Flask(__name__)
    app.config.from_prefixed_env()
    settings = read_settings(app.config, development=False)["default"]
    assert getattr(settings, name.lower()) == expected


def test_a_value_from_an_object_is_read() -> None:
    class Config:
        CASSANDRA_HOSTS = ("a",)
        CASSANDRA_KEYSPACE = "blog"

    app = Flask(__name__)
    app.config.from_object(Config)
    assert read_settings(app.config, development=False)["default"].hosts == ("a",)


def test_the_readme_has_the_table_of_keys() -> None:
    assert keys_as_markdown() in (ROOT / "README.md").read_text()


def test_the_docstring_of_init_app_has_every_key() -> None:
    documentation = CQLAlchemy.init_app.__doc__ or ""
    assert keys_as_docstring(" " * 8).strip() in documentation
    assert "{keys}" not in documentation
