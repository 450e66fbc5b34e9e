"""``__options__`` of a model: what reaches the table, and that a sync alters nothing twice."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from flask import Flask

from flask_cqlalchemy import CQLAlchemy, SchemaError
from flask_cqlalchemy.tables import apply
from flask_cqlalchemy.tables.options import changed_options, write_options

from .cql_helpers import module_fixtures, sent, text_of

cassandra_config, database, app = module_fixtures(CQLAlchemy())

_numbers = itertools.count()


@pytest.fixture(autouse=True)
def context(app: Flask, database: CQLAlchemy) -> Iterator[None]:
    """The application's context and keyspace, in each test."""
    with app.app_context():
        place = database.place()
        if apply.find_keyspace(place.connection, place.keyspace) is None:
            database.create_keyspace_simple(place.keyspace, 1)
        yield


@pytest.fixture
def table() -> str:
    """A table that no other test has."""
    return f"note_{next(_numbers)}"


def define(db: CQLAlchemy, table: str, options: Mapping[str, object] | None) -> Any:
    class Note(db.Model):
        __table_name__ = table
        __options__ = options
        id = db.columns.Integer(primary_key=True)
        text = db.columns.Text()

    return Note


def row_of(db: CQLAlchemy, table: str) -> dict[str, Any]:
    """What Cassandra says of a table."""
    found = db.execute(
        "SELECT * FROM system_schema.tables WHERE keyspace_name = ? AND table_name = ?",
        [db.place().keyspace, table],
    )
    row: dict[str, Any] = found.one()
    return row


#: Options, and what Cassandra keeps of them.
OPTIONS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"comment": "notes of readers"}, {"comment": "notes of readers"}),
    ({"comment": "it's = {'a': \"b\"}"}, {"comment": "it's = {'a': \"b\"}"}),
    ({"comment": ""}, {"comment": ""}),
    ({"COMMENT": "in capitals"}, {"comment": "in capitals"}),
    ({"gc_grace_seconds": 3600}, {"gc_grace_seconds": 3600}),
    ({"gc_grace_seconds": "3601"}, {"gc_grace_seconds": 3601}),
    ({"default_time_to_live": 60}, {"default_time_to_live": 60}),
    ({"memtable_flush_period_in_ms": 3_600_000}, {"memtable_flush_period_in_ms": 3_600_000}),
    ({"min_index_interval": 64, "max_index_interval": 1024}, {"min_index_interval": 64}),
    ({"bloom_filter_fp_chance": 0.05}, {"bloom_filter_fp_chance": 0.05}),
    ({"bloom_filter_fp_chance": "0.2"}, {"bloom_filter_fp_chance": 0.2}),
    ({"crc_check_chance": 1}, {"crc_check_chance": 1.0}),
    ({"speculative_retry": "95p"}, {"speculative_retry": "95p"}),
    ({"speculative_retry": "95.50PERCENTILE"}, {"speculative_retry": "95.5p"}),
    ({"speculative_retry": "50.0ms"}, {"speculative_retry": "50ms"}),
    ({"speculative_retry": "always"}, {"speculative_retry": "ALWAYS"}),
    ({"speculative_retry": "NONE"}, {"speculative_retry": "NEVER"}),
    ({"speculative_retry": "min(95percentile, 50ms)"}, {"speculative_retry": "MIN(95p,50ms)"}),
    ({"additional_write_policy": "95percentile"}, {"additional_write_policy": "95p"}),
    ({"read_repair": "none"}, {"read_repair": "NONE"}),
    ({"memtable": "default"}, {}),
    ({"cdc": False}, {}),
    ({"cdc": "false"}, {}),
    ({"allow_auto_snapshot": False}, {"allow_auto_snapshot": False}),
    ({"incremental_backups": False}, {"incremental_backups": False}),
    ({"caching": {"keys": "ALL", "rows_per_partition": "10"}}, {}),
    ({"caching": {"keys": "none"}}, {}),
    ({"caching": {"rows_per_partition": 5}}, {}),
    ({"compaction": {"class": "SizeTieredCompactionStrategy"}}, {}),
    ({"compaction": {"class": "LeveledCompactionStrategy", "sstable_size_in_mb": "64"}}, {}),
    ({"compaction": {"class": "LeveledCompactionStrategy", "sstable_size_in_mb": 64}}, {}),
    (
        {
            "compaction": {
                "class": "org.apache.cassandra.db.compaction.TimeWindowCompactionStrategy",
                "compaction_window_unit": "DAYS",
                "compaction_window_size": 1,
                "enabled": True,
            }
        },
        {},
    ),
    ({"compaction": {"class": "SizeTieredCompactionStrategy", "enabled": False}}, {}),
    ({"compaction": {"class": "SizeTieredCompactionStrategy", "min_threshold": 6}}, {}),
    ({"compaction": {"class": "UnifiedCompactionStrategy", "scaling_parameters": "T4"}}, {}),
    ({"compression": {"class": "LZ4Compressor", "chunk_length_in_kb": "32"}}, {}),
    ({"compression": {"class": "ZstdCompressor", "compression_level": 5, "enabled": True}}, {}),
    ({"compression": {"sstable_compression": "LZ4Compressor", "chunk_length_kb": 16}}, {}),
    ({"compression": {"enabled": False}}, {"compression": {"enabled": "false"}}),
    ({"compression": {"class": "LZ4Compressor", "min_compress_ratio": 1.5}}, {}),
    ({"comment": None}, {"comment": ""}),
    ({}, {}),
]


@pytest.mark.parametrize(("options", "kept"), OPTIONS, ids=str)
class TestOptions:
    """Every option, given in each way that Cassandra takes."""

    def test_it_is_there_when_the_table_is_created_and_is_not_set_again(
        self, database: CQLAlchemy, table: str, options: dict[str, Any], kept: dict[str, Any]
    ) -> None:
        note = define(database, table, options)
        assert len(database.sync_table(note)) == 1
        assert kept.items() <= row_of(database, table).items()
        with sent(database) as statements:
            assert database.sync_table(note) == []
        assert [text for text in map(text_of, statements) if "ALTER" in text] == []

    def test_it_reaches_a_table_that_exists_and_is_not_set_again(
        self, database: CQLAlchemy, table: str, options: dict[str, Any], kept: dict[str, Any]
    ) -> None:
        database.sync_table(define(database, table, {"comment": "before"}))
        note = define(database, table, options)
        for change in database.sync_table(note):
            assert str(change) == f"changed options of the table {table} of Note"
            assert change.cql.startswith(f"ALTER TABLE {database.place().keyspace}.{table} WITH ")
        if options != {"comment": None}:
            assert kept.items() <= row_of(database, table).items()
        assert database.sync_table(note) == []


def test_a_comment_is_stored_as_given_each_time(database: CQLAlchemy, table: str) -> None:
    for comment in ("first", "second, it's longer", "third = 'quoted'"):
        database.sync_table(define(database, table, {"comment": comment}))
        assert row_of(database, table)["comment"] == comment


def test_an_option_that_the_model_no_longer_names_stays(database: CQLAlchemy, table: str) -> None:
    database.sync_table(define(database, table, {"comment": "kept", "gc_grace_seconds": 3600}))
    assert database.sync_table(define(database, table, {"comment": "kept"})) == []
    assert row_of(database, table)["gc_grace_seconds"] == 3600


def test_a_part_that_the_model_does_not_name_stays(database: CQLAlchemy, table: str) -> None:
    """Cassandra alone would set it back, as it replaces the whole map."""
    strategy = {"class": "SizeTieredCompactionStrategy"}
    database.sync_table(define(database, table, {"compaction": {**strategy, "bucket_high": 2}}))
    database.sync_table(define(database, table, {"compaction": {**strategy, "min_threshold": 8}}))
    live = row_of(database, table)["compaction"]
    assert (live["bucket_high"], live["min_threshold"]) == ("2", "8")


def test_the_parts_of_another_class_go_with_it(database: CQLAlchemy, table: str) -> None:
    leveled = {"class": "LeveledCompactionStrategy", "sstable_size_in_mb": 64}
    database.sync_table(define(database, table, {"compaction": leveled}))
    other = {"compaction": {"class": "SizeTieredCompactionStrategy"}}
    assert len(database.sync_table(define(database, table, other))) == 1
    assert "sstable_size_in_mb" not in row_of(database, table)["compaction"]


def test_only_what_differs_is_altered(database: CQLAlchemy, table: str) -> None:
    database.sync_table(define(database, table, {"comment": "same", "gc_grace_seconds": 3600}))
    note = define(database, table, {"comment": "same", "gc_grace_seconds": 7200})
    (change,) = database.sync_table(note)
    assert change.cql == (
        f"ALTER TABLE {database.place().keyspace}.{table} WITH gc_grace_seconds = 7200"
    )


REFUSED: list[dict[str, Any]] = [
    {"gc_grace_seconds": "soon"},
    {"gc_grace_seconds": True},
    {"default_time_to_live": -1},
    {"bloom_filter_fp_chance": 2},
    {"speculative_retry": "sometimes"},
    {"read_repair": "perhaps"},
    {"memtable": "no such"},
    {"cdc": "perhaps"},
    {"compaction": {"class": "NoSuchStrategy"}},
    {"compaction": {"min_threshold": 6}},
    {"compaction": "LeveledCompactionStrategy"},
    {"compression": {"class": "NoSuchCompressor"}},
    {"caching": {"keys": "some"}},
    {"colour": "red"},
    {"comment = 'x' AND gc_grace_seconds": 0},
]


@pytest.mark.parametrize("options", REFUSED, ids=str)
@pytest.mark.parametrize("exists", [True, False], ids=["existing", "new"])
def test_an_option_that_cassandra_refuses_is_an_error_that_names_the_model(
    database: CQLAlchemy, table: str, options: dict[str, Any], exists: bool
) -> None:
    if exists:
        database.sync_table(define(database, table, {}))
    with pytest.raises(SchemaError, match=f"^table {table} of Note: ") as caught:
        database.sync_table(define(database, table, options))
    assert "Error from server" not in str(caught.value)


def test_a_refusal_quotes_cassandra_and_the_statement(database: CQLAlchemy, table: str) -> None:
    database.sync_table(define(database, table, {}))
    with pytest.raises(SchemaError) as caught:
        database.sync_table(define(database, table, {"colour": "red"}))
    assert str(caught.value) == (
        f"table {table} of Note: Cassandra refused the change (Unknown property 'colour'): ALTER "
        f"TABLE {database.place().keyspace}.{table} WITH colour = 'red'"
    )


LIVE = {
    "comment": "x",
    "gc_grace_seconds": 864_000,
    "speculative_retry": "MIN(99p,50ms)",
    "cdc": None,
    "memtable": None,
    "caching": {"keys": "ALL", "rows_per_partition": "NONE"},
    "compaction": {
        "class": "org.apache.cassandra.db.compaction.SizeTieredCompactionStrategy",
        "max_threshold": "32",
        "min_threshold": "4",
    },
    "compression": {
        "class": "org.apache.cassandra.io.compress.LZ4Compressor",
        "chunk_length_in_kb": "16",
    },
}


@pytest.mark.parametrize(
    ("options", "changes"),
    [
        ({"speculative_retry": "min( 50MS , 99.0percentile )"}, {}),
        ({"speculative_retry": "MAX(99p,50ms)"}, {"speculative_retry": "MAX(99p,50ms)"}),
        ({"cdc": True}, {"cdc": True}),
        ({"cdc": "no"}, {}),
        ({"memtable": "trie"}, {"memtable": "trie"}),
        ({"caching": {"keys": "all"}}, {}),
        (
            {"caching": {"keys": "NONE"}},
            {"caching": {"keys": "NONE", "rows_per_partition": "NONE"}},
        ),
        ({"compaction": {"class": "SizeTieredCompactionStrategy", "enabled": "TRUE"}}, {}),
        (
            {"compression": {"class": "LZ4Compressor", "chunk_length_in_kb": 16.0}},
            {},
        ),
        ({"compression": {"sstable_compression": ""}}, {"compression": {"enabled": "false"}}),
        ({"compression": {"enabled": False}}, {"compression": {"enabled": "false"}}),
        ({"unheard_of": 1}, {"unheard_of": 1}),
    ],
    ids=str,
)
def test_values_are_compared_by_what_they_mean(
    options: dict[str, Any], changes: dict[str, Any]
) -> None:
    assert changed_options(options, LIVE) == changes


def test_options_are_written_as_cql() -> None:
    assert write_options(
        {
            "Comment": "it's",
            "cdc": True,
            "crc_check_chance": 0.5,
            "caching": {"keys": "it's", "rows_per_partition": 10},
            "memtable": None,
        }
    ) == [
        "comment = 'it''s'",
        "cdc = true",
        "crc_check_chance = 0.5",
        "caching = {'keys': 'it''s', 'rows_per_partition': '10'}",
    ]
