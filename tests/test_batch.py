"""Batches: prepared statements that are sent together, in parts that Cassandra accepts."""

# ruff: noqa: PT012 - a batch is a block, at the end of which its error is raised

from __future__ import annotations

import datetime
import itertools
import re
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cassandra import ConsistencyLevel, InvalidRequest
from cassandra.cluster import ResponseFuture
from cassandra.cqlengine import CQLEngineException, ValidationError
from cassandra.cqlengine.models import Model as StockModel
from cassandra.cqlengine.query import BatchQuery, LWTException
from cassandra.cqlengine.query import BatchType as StockBatchType
from cassandra.protocol import BatchMessage
from cassandra.query import BatchStatement, BatchType, BoundStatement
from flask import Flask

from flask_cqlalchemy import Batch, BatchTooLarge, CQLAlchemy
from flask_cqlalchemy.statements.sizes import MOST_IN_BATCH

from .cql_helpers import model, module_fixtures, sent

UTC = datetime.timezone.utc
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=UTC)


def define(database: CQLAlchemy) -> CQLAlchemy:
    db = database

    class Place(db.UserType):
        street = db.columns.Text()
        number = db.columns.Integer()

    class Note(db.Model):
        id = db.columns.Integer(primary_key=True)
        text = db.columns.Text(db_field="t")
        small = db.columns.TinyInt()
        tags = db.columns.Set(db.columns.Text)
        steps = db.columns.List(db.columns.Text)

    class Line(db.Model):
        book = db.columns.Text(primary_key=True)
        number = db.columns.Integer(primary_key=True)
        text = db.columns.Text()

    class Visits(db.Model):
        page = db.columns.Text(primary_key=True)
        count = db.columns.Counter()

    class Wide(db.Model):
        tenant = db.columns.Text(partition_key=True)
        region = db.columns.Text(partition_key=True)
        at = db.columns.DateTime(primary_key=True)
        seq = db.columns.Integer(primary_key=True)
        amount = db.columns.Decimal()
        price = db.columns.Double()
        is_open = db.columns.Boolean()
        uid = db.columns.UUID()
        text = db.columns.Text()
        names = db.columns.Set(db.columns.Text)
        numbers = db.columns.List(db.columns.Integer)
        scores = db.columns.Map(db.columns.Text, db.columns.Integer)
        pair = db.columns.Tuple(db.columns.Integer, db.columns.Text)
        matrix = db.columns.List(db.columns.List(db.columns.Integer))
        place = db.columns.UserDefinedType(Place)

    return db


cassandra_config, database, app = module_fixtures(define, CASSANDRA_GUARDRAILS="off")


def texts(note: Any) -> dict[int, str | None]:
    return {row.id: row.text for row in note.all()}


# What a batch writes


@pytest.mark.parametrize("kind", ["logged", "unlogged", "LOGGED"])
def test_a_batch_sends_all_its_writes_at_the_end_of_the_block(cql: CQLAlchemy, kind: str) -> None:
    note = model(cql, "Note")
    note.create(id=3, text="three")
    note.create(id=4, text="four")
    three, four = note.get(id=3), note.get(id=4)
    with sent(cql) as statements:
        with cql.batch(kind) as batch:
            note.batch(batch).create(id=1, text="one", tags={"a"})
            note(id=2, text="two").batch(batch).save()
            three.batch(batch).update(text="changed")
            four.batch(batch).delete()
            note.objects(id=5).batch(batch).update(text="five", tags__add={"b"})
            note.objects(id=6).batch(batch).delete()
            assert statements == []
        (statement,) = statements
    assert isinstance(statement, BatchStatement)
    assert statement.batch_type == {"unlogged": BatchType.UNLOGGED}.get(kind, BatchType.LOGGED)
    assert {is_prepared for is_prepared, _, _ in statement._statements_and_parameters} == {True}
    assert texts(note) == {1: "one", 2: "two", 3: "changed", 5: "five"}
    assert (note.get(id=1).tags, note.get(id=5).tags) == ({"a"}, {"b"})


def test_a_counter_batch_adds(cql: CQLAlchemy) -> None:
    visits = model(cql, "Visits")
    with sent(cql) as statements, cql.batch("counter") as batch:
        visits(page="a").batch(batch).update(count=2)
        visits.objects(page="b").batch(batch).update(count=3)
        visits.objects(page="b").batch(batch).update(count=4)
    assert [statement.batch_type for statement in statements] == [BatchType.COUNTER]
    assert {row.page: row.count for row in visits.all()} == {"a": 2, "b": 7}


def test_a_counter_batch_is_never_repeated(cql: CQLAlchemy) -> None:
    visits = model(cql, "Visits")
    with sent(cql) as statements, cql.batch("counter") as batch:
        visits.objects(page="a").batch(batch).update(count=1)
        visits.objects(page="b").batch(batch).update(count=1)
    assert [statement.is_idempotent for statement in statements] == [False]


def test_a_batch_of_plain_writes_may_be_repeated(cql: CQLAlchemy) -> None:
    note = model(cql, "Note")
    with sent(cql) as statements, cql.batch() as batch:
        note.batch(batch).create(id=1)
        note.objects(id=1).batch(batch).delete()
    assert [statement.is_idempotent for statement in statements] == [True]


def test_one_statement_that_may_not_be_repeated_is_enough(cql: CQLAlchemy) -> None:
    note = model(cql, "Note")
    with sent(cql) as statements, cql.batch() as batch:
        note.batch(batch).create(id=1)
        note.objects(id=1).batch(batch).update(steps__append=["x"])
    assert [statement.is_idempotent for statement in statements] == [False]


def test_a_batch_writes_to_several_tables(cql: CQLAlchemy) -> None:
    note, line = model(cql, "Note"), model(cql, "Line")
    with cql.batch() as batch:
        note.batch(batch).create(id=1, text="note")
        line.batch(batch).create(book="b", number=1, text="line")
    assert (note.get(id=1).text, line.get(book="b", number=1).text) == ("note", "line")


def test_none_removes_a_column_in_a_batch(cql: CQLAlchemy) -> None:
    note = model(cql, "Note")
    note.create(id=1, text="one", small=1)
    note.create(id=2, text="two", small=2)
    with cql.batch() as batch:
        note.objects(id=1).batch(batch).update(text=None, small=3)
        note.get(id=2).batch(batch).update(text=None, small=4)
    assert texts(note) == {1: None, 2: None}
    assert {row.small for row in note.all()} == {3, 4}


def test_a_time_to_live_holds_in_a_batch(cql: CQLAlchemy) -> None:
    note = model(cql, "Note")
    note.create(id=2, text="two")
    with cql.batch() as batch:
        note.ttl(1000).batch(batch).create(id=1, text="one")
        note.objects(id=2).ttl(2000).batch(batch).update(text="changed")
        note(id=3, text="three").ttl(3000).batch(batch).save()
    found = cql.execute("SELECT id, ttl(t) AS left FROM note")
    left = {row["id"]: row["left"] for row in found}
    assert [left[number] // 1000 for number in (1, 2, 3)] in ([0, 1, 2], [1, 2, 3])


def test_a_condition_that_does_not_hold_undoes_the_whole_batch(cql: CQLAlchemy) -> None:
    line = model(cql, "Line")
    line.create(book="b", number=1, text="first")
    with pytest.raises(LWTException), cql.batch() as batch:
        line.if_not_exists().batch(batch).create(book="b", number=1, text="second")
        line.batch(batch).create(book="b", number=2, text="beside")
    assert {row.number: row.text for row in line.all()} == {1: "first"}


def test_a_condition_that_holds_lets_the_batch_through(cql: CQLAlchemy) -> None:
    line = model(cql, "Line")
    with sent(cql) as statements, cql.batch() as batch:
        line.if_not_exists().batch(batch).create(book="b", number=1, text="first")
        line.batch(batch).create(book="b", number=2, text="beside")
    assert {row.number: row.text for row in line.all()} == {1: "first", 2: "beside"}
    assert [statement.is_idempotent for statement in statements] == [False]


def test_callbacks_of_a_batch_whose_condition_failed_are_not_called(cql: CQLAlchemy) -> None:
    line = model(cql, "Line")
    line.create(book="b", number=1)
    called: list[str] = []
    with pytest.raises(LWTException), cql.batch() as batch:
        batch.add_callback(called.append, "x")
        line.if_not_exists().batch(batch).create(book="b", number=1)
    assert called == []


# When a batch is sent


def test_nothing_is_sent_when_the_block_raises(cql: CQLAlchemy) -> None:
    note = model(cql, "Note")
    called: list[str] = []
    with sent(cql) as statements, pytest.raises(RuntimeError), cql.batch() as batch:
        batch.add_callback(called.append, "x")
        note.batch(batch).create(id=1)
        raise RuntimeError("stop")
    assert (statements, called) == ([], [])


def test_execute_on_exception_sends_it_all_the_same(cql: CQLAlchemy) -> None:
    note = model(cql, "Note")
    with pytest.raises(RuntimeError), cql.batch(execute_on_exception=True) as batch:
        note.batch(batch).create(id=1, text="kept")
        raise RuntimeError("stop")
    assert texts(note) == {1: "kept"}


def test_callbacks_are_called_in_order_once_the_batch_is_written(cql: CQLAlchemy) -> None:
    note = model(cql, "Note")
    called: list[object] = []
    with cql.batch() as batch:
        batch.add_callback(lambda: called.append(texts(note)))
        batch.add_callback(called.append, "second")
        note.batch(batch).create(id=1, text="one")
    assert called == [{1: "one"}, "second"]


def test_what_cannot_be_called_is_no_callback(cql: CQLAlchemy) -> None:
    with pytest.raises(ValueError, match="is not a callable object"):
        cql.batch().add_callback("print")  # type: ignore[arg-type]  # pyright: ignore


def test_a_batch_without_statements_sends_nothing_and_calls_back(cql: CQLAlchemy) -> None:
    called: list[str] = []
    with sent(cql) as statements, cql.batch() as batch:
        batch.add_callback(called.append, "x")
    assert (statements, called) == ([], ["x"])


def test_a_batch_that_is_executed_twice_warns_and_sends_nothing_again(cql: CQLAlchemy) -> None:
    note = model(cql, "Note")
    batch = cql.batch()
    note.batch(batch).create(id=1)
    batch.execute()
    with sent(cql) as statements, pytest.warns(UserWarning, match="Batch") as caught:
        batch.execute()
    assert [str(warning.message) for warning in caught] == ["Batch executed multiple times."]
    assert caught[0].filename == __file__
    assert statements == []


def test_size_counts_the_statements(cql: CQLAlchemy) -> None:
    note = model(cql, "Note")
    batch = cql.batch()
    note.batch(batch).create(id=1)
    note.objects(id=2).batch(batch).delete()
    assert batch.size == 2
    batch.execute()
    assert batch.size == 0


def test_reading_in_a_batch_is_refused(cql: CQLAlchemy) -> None:
    with pytest.raises(CQLEngineException) as caught:
        list(model(cql, "Note").objects(id=1).batch(cql.batch()))
    assert str(caught.value) == "Only inserts, updates, and deletes are available in batch mode"


def test_a_kind_that_does_not_exist_is_refused(cql: CQLAlchemy) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is asserted
        cql.batch("atomic")
    assert str(caught.value) == "A batch is logged, unlogged, counter; not 'atomic'."


def test_a_batch_is_in_the_keyspace_of_the_moment_of_each_write(
    cql: CQLAlchemy, second_keyspace: str
) -> None:
    note = model(cql, "Note")
    with cql.batch() as batch:
        note.batch(batch).create(id=1, text="here")
        with cql.use_keyspace(second_keyspace):
            note.batch(batch).create(id=1, text="there")
            note.objects(id=2).batch(batch).update(text="there, too")
        note.objects(id=3).batch(batch).update(text="here, too")
    assert texts(note) == {1: "here", 3: "here, too"}
    with cql.use_keyspace(second_keyspace):
        assert texts(note) == {1: "there", 2: "there, too"}


@pytest.fixture
def second_keyspace(cql: CQLAlchemy) -> Iterator[str]:
    """Another keyspace with the table of Note."""
    name = f"{cql.place().keyspace}_2"
    cql.create_keyspace_simple(name, 1)
    with cql.use_keyspace(name):
        cql.sync_table(model(cql, "Note"))
    yield name
    cql.execute(f"DROP KEYSPACE {name}")


def test_an_instance_is_written_plainly_after_its_batch(cql: CQLAlchemy) -> None:
    note = model(cql, "Note")
    row = note(id=1, text="one")
    with cql.batch() as batch:
        row.batch(batch).save()
    row.text = "two"
    row.save()
    assert texts(note) == {1: "two"}


@pytest.mark.parametrize("change", ["scalar", "collection"])
def test_an_instance_that_was_read_is_written_plainly_after_its_batch(
    cql: CQLAlchemy, change: str
) -> None:
    note = model(cql, "Note")
    note.create(id=1, text="one", tags={"a"})
    row = note.get(id=1)
    with cql.batch() as batch:
        if change == "scalar":
            row.text = "two"
        else:
            row.tags.add("b")
        row.batch(batch).save()
    row.batch(None)
    row.text = "three"
    row.save()
    assert texts(note) == {1: "three"}


# Timestamps


NOON = datetime.datetime(2020, 1, 2, 12, 0, 0, 123457, tzinfo=UTC)


def write_times(cql: CQLAlchemy) -> list[int]:
    found = cql.execute("SELECT id, writetime(t) AS at FROM note")
    return [row["at"] for row in sorted(found, key=lambda row: row["id"])]


#: Keys that no test used before: what it left, deleted now, would be newer than these writes.
fresh = itertools.count(1000)


def write_three(cql: CQLAlchemy, batch: BatchQuery) -> None:
    note = model(cql, "Note")
    note.batch(batch).create(id=next(fresh), text="created")
    note(id=next(fresh), text="saved").batch(batch).save()
    note.objects(id=next(fresh)).batch(batch).update(text="updated")


MOMENTS: dict[str, tuple[Any, int]] = {
    "int": (1_500_000_000_000_001, 1_500_000_000_000_001),
    "one": (1, 1),
    "negative": (-5, -5),
    "utc": (NOON, (NOON - EPOCH) // datetime.timedelta(microseconds=1)),
    "aware": (
        NOON.astimezone(datetime.timezone(datetime.timedelta(hours=5, minutes=30))),
        (NOON - EPOCH) // datetime.timedelta(microseconds=1),
    ),
    "naive": (
        NOON.astimezone().replace(tzinfo=None),
        (NOON - EPOCH) // datetime.timedelta(microseconds=1),
    ),
    "before-1970": (datetime.datetime(1960, 1, 1, tzinfo=UTC), -315_619_200_000_000),
}


@pytest.mark.parametrize(
    ("name", "stock"),
    [
        *((name, False) for name in MOMENTS),
        # cqlengine's own batch takes no number.
        *((name, True) for name, (given, _) in MOMENTS.items() if not isinstance(given, int)),
    ],
)
def test_every_write_has_the_batchs_timestamp(cql: CQLAlchemy, name: str, stock: bool) -> None:
    given, expected = MOMENTS[name]
    with BatchQuery(timestamp=given) if stock else cql.batch(timestamp=given) as batch:
        write_three(cql, batch)
    assert write_times(cql) == [expected] * 3


def test_a_timestamp_of_zero_is_1970(cql: CQLAlchemy) -> None:
    with cql.batch(timestamp=0) as batch:
        write_three(cql, batch)
    assert write_times(cql) == [0] * 3


def test_a_timedelta_counts_from_now(cql: CQLAlchemy) -> None:
    before = datetime.datetime.now(UTC)
    with cql.batch(timestamp=datetime.timedelta(hours=-1)) as batch:
        write_three(cql, batch)
    after = datetime.datetime.now(UTC)
    hour = datetime.timedelta(hours=1)
    bounds = [(at - hour - EPOCH) // datetime.timedelta(microseconds=1) for at in (before, after)]
    assert all(bounds[0] <= at <= bounds[1] for at in write_times(cql))


def test_a_timedelta_is_one_moment_for_the_whole_batch(cql: CQLAlchemy) -> None:
    with cql.batch(timestamp=datetime.timedelta(hours=-1)) as batch:
        write_three(cql, batch)
    assert len(set(write_times(cql))) == 1


def test_a_write_keeps_a_timestamp_of_its_own(cql: CQLAlchemy) -> None:
    note = model(cql, "Note")
    own = datetime.datetime(2020, 1, 2, 12)
    with cql.batch(timestamp=1_000_000) as batch:
        note.objects(id=next(fresh)).timestamp(own).batch(batch).update(text="own")
        note.objects(id=next(fresh)).batch(batch).update(text="batch's")
    assert write_times(cql) == [int(own.timestamp() * 1_000_000), 1_000_000]


@pytest.mark.parametrize("wrong", ["soon", "10; DROP TABLE note", 1.5, object()])
def test_a_timestamp_of_another_type_is_refused(cql: CQLAlchemy, wrong: Any) -> None:
    note = model(cql, "Note")
    with (
        pytest.raises((TypeError, ValueError, CQLEngineException), match="timestamp"),
        cql.batch(timestamp=wrong) as batch,
    ):
        note.batch(batch).create(id=1)
    assert texts(note) == {}


def test_deletes_have_the_batchs_timestamp(cql: CQLAlchemy) -> None:
    note = model(cql, "Note")
    note.create(id=1, text="newer")
    note.create(id=2, text="newer")
    row = note.get(id=2)
    with cql.batch(timestamp=1_000_000) as batch:
        note.objects(id=1).batch(batch).delete()
        row.batch(batch).delete()
    assert texts(note) == {1: "newer", 2: "newer"}


# cqlengine's own batches


def messages(cql: CQLAlchemy) -> tuple[list[Any], Callable[[ResponseFuture], None]]:
    found: list[Any] = []
    return found, lambda future: found.append(future.message)


def test_cqlengines_batch_sends_prepared_statements_with_its_options(cql: CQLAlchemy) -> None:
    note = model(cql, "Note")
    found, listen = messages(cql)
    called: list[str] = []
    connection = cql.place().connection
    connection.add_listener(listen)
    with BatchQuery(
        batch_type=StockBatchType.Unlogged, consistency=ConsistencyLevel.ONE, timestamp=NOON
    ) as batch:
        batch.add_callback(called.append, "done")
        note.batch(batch).create(id=next(fresh), text="one")
        note.objects(id=next(fresh)).batch(batch).update(text="two")
    connection.remove_listener(listen)
    (message,) = found
    assert isinstance(message, BatchMessage)
    assert message.batch_type == BatchType.UNLOGGED
    assert message.consistency_level == ConsistencyLevel.ONE
    assert [is_prepared for is_prepared, _, _ in message.queries] == [True, True]
    assert called == ["done"]
    assert write_times(cql) == [(NOON - EPOCH) // datetime.timedelta(microseconds=1)] * 2


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, BatchType.LOGGED),
        (BatchType.LOGGED, BatchType.LOGGED),
        (BatchType.UNLOGGED, BatchType.UNLOGGED),
        (StockBatchType.Unlogged, BatchType.UNLOGGED),
    ],
)
def test_cqlengines_batch_has_the_type_it_was_given(
    cql: CQLAlchemy, given: Any, expected: BatchType
) -> None:
    note = model(cql, "Note")
    with sent(cql) as statements, BatchQuery(batch_type=given) as batch:
        note.batch(batch).create(id=1)
        note.batch(batch).create(id=2)
    assert [statement.batch_type for statement in statements] == [expected]


def test_cqlengines_batch_of_counters_counts(cql: CQLAlchemy) -> None:
    visits = model(cql, "Visits")
    with BatchQuery(batch_type=StockBatchType.Counter) as batch:
        visits.objects(page="a").batch(batch).update(count=2)
        visits.objects(page="b").batch(batch).update(count=3)
    assert {row.page: row.count for row in visits.all()} == {"a": 2, "b": 3}


def test_a_type_that_cqlengines_batch_does_not_have_is_refused(cql: CQLAlchemy) -> None:
    note = model(cql, "Note")
    with pytest.raises(CQLEngineException), BatchQuery(batch_type="ATOMIC") as batch:
        note.batch(batch).create(id=1)
        note.batch(batch).create(id=2)


def test_nothing_of_cqlengines_batch_is_sent_when_the_block_raises(cql: CQLAlchemy) -> None:
    note = model(cql, "Note")
    with sent(cql) as statements, pytest.raises(RuntimeError), BatchQuery() as batch:
        note.batch(batch).create(id=1)
        raise RuntimeError("stop")
    assert statements == []


def test_the_consistency_may_be_set_later(cql: CQLAlchemy) -> None:
    note = model(cql, "Note")
    with sent(cql) as statements, cql.batch(consistency=ConsistencyLevel.ALL) as batch:
        batch.consistency(ConsistencyLevel.ONE)
        note.batch(batch).create(id=1)
    assert [statement.consistency_level for statement in statements] == [ConsistencyLevel.ONE]


class Stranger(StockModel):
    """A cqlengine model of no CQLAlchemy object."""

    __keyspace__ = "elsewhere"
    from cassandra.cqlengine import columns as _columns

    id = _columns.Integer(primary_key=True)


@pytest.mark.parametrize("make", [BatchQuery, Batch])
@pytest.mark.parametrize("ours_first", [True, False])
def test_a_stock_model_beside_ours_is_refused(
    cql: CQLAlchemy, make: Callable[[], BatchQuery], ours_first: bool
) -> None:
    note = model(cql, "Note")
    writes: list[Callable[[BatchQuery], Any]] = [
        lambda batch: note.batch(batch).create(id=1),
        lambda batch: Stranger.batch(batch).create(id=1),
    ]
    with (
        sent(cql) as statements,
        pytest.raises(CQLEngineException) as caught,
        make() as batch,
    ):
        for write in writes if ours_first else reversed(writes):
            write(batch)
    assert str(caught.value) == (
        "The batch holds statements of models that do not belong to a CQLAlchemy object; they "
        "need a batch of their own."
    )
    assert statements == []


# What cannot be in a batch


def test_counters_need_a_counter_batch(cql: CQLAlchemy) -> None:
    visits = model(cql, "Visits")
    with pytest.raises(ValidationError) as caught, cql.batch() as batch:
        visits.objects(page="a").batch(batch).update(count=1)
    assert str(caught.value) == (
        "Visits has counters, and cannot be in a batch of the kind 'logged': use "
        "db.batch('counter')."
    )
    assert list(visits.all()) == []


def test_a_counter_batch_takes_nothing_else(cql: CQLAlchemy) -> None:
    note, visits = model(cql, "Note"), model(cql, "Visits")
    with pytest.raises(ValidationError) as caught, cql.batch("counter") as batch:
        visits.objects(page="a").batch(batch).update(count=1)
        note.batch(batch).create(id=1)
    assert str(caught.value) == (
        "Note has no counters, and cannot be in a batch of the kind 'counter': use "
        "db.batch('logged')."
    )
    assert (list(visits.all()), texts(note)) == ([], {})


def test_a_wrong_value_is_refused_at_the_line_that_adds_it(cql: CQLAlchemy) -> None:
    note = model(cql, "Note")
    reached = []
    with sent(cql) as statements, pytest.raises(ValidationError) as caught, cql.batch() as batch:
        note.batch(batch).create(id=1, text="fine")
        reached.append("the line before")
        note.batch(batch).create(id=2, small=1000)
        reached.append("the line behind")
    assert reached == ["the line before"]
    assert str(caught.value) == (
        "Note.small takes a whole number from -2^7 to 2^7-1; this one is too large"
    )
    assert statements == []


def test_two_binds_need_two_batches(cql: CQLAlchemy, cassandra_config: dict[str, Any]) -> None:
    db = define(CQLAlchemy())

    class Archived(db.Model):
        __bind_key__ = "archive"
        id = db.columns.Integer(primary_key=True)

    app = Flask(__name__)
    binds = {"archive": {"REQUEST_TIMEOUT": 9}}
    app.config.from_mapping(cassandra_config, CASSANDRA_BINDS=binds)
    db.init_app(app)
    with app.app_context(), pytest.raises(CQLEngineException) as caught, db.batch() as batch:
        db.sync_table(Archived)
        model(db, "Note").batch(batch).create(id=1)
        Archived.batch(batch).create(id=1)
    assert str(caught.value) == (
        f"{cassandra_config['CASSANDRA_KEYSPACE']}.archived is reached by the bind 'archive'; the "
        "batch holds statements of another cluster. Use one batch for each."
    )
    assert texts(model(cql, "Note")) == {}
    with app.app_context():
        db.close()


# Sizes


KIB = 1024


@pytest.fixture(scope="module")
def strict(database: CQLAlchemy, cassandra_config: dict[str, Any]) -> Iterator[Flask]:
    """An application on the same tables that takes batches of 1 KiB: an error names the size."""
    app = Flask("strict", root_path=".")
    app.config.from_mapping(cassandra_config, CASSANDRA_BATCH_SIZE=1)
    database.init_app(app)
    yield app
    with app.app_context():
        database.close()


def fill_scalars(wide: Any, batch: Batch) -> None:
    for number in range(150):
        wide.batch(batch).create(
            tenant=f"tenant {number}",
            region="eu",
            at=datetime.datetime(2020, 1, 1),
            seq=number,
            price=1.5,
            is_open=True,
            text="x" * 50,
        )


def fill_narrow(note: Any, batch: Batch) -> None:
    for number in range(400):
        note.batch(batch).create(id=number, small=1)


def fill_texts(note: Any, batch: Batch) -> None:
    for number in range(10):
        note.batch(batch).create(id=number, text="é" * 1500)


def fill_sets(wide: Any, batch: Batch) -> None:
    for number in range(20):
        names = {f"name {each}" for each in range(50)}
        wide.batch(batch).create(
            tenant=str(number), region="r", at=datetime.datetime(2020, 1, 1), seq=1, names=names
        )


def fill_lists(wide: Any, batch: Batch) -> None:
    for number in range(20):
        wide.batch(batch).create(
            tenant=str(number),
            region="r",
            at=datetime.datetime(2020, 1, 1),
            seq=1,
            numbers=list(range(50)),
        )


def fill_maps(wide: Any, batch: Batch) -> None:
    for number in range(20):
        scores = {f"name {each}": each for each in range(50)}
        wide.batch(batch).create(
            tenant=str(number), region="r", at=datetime.datetime(2020, 1, 1), seq=1, scores=scores
        )


def fill_updates(wide: Any, batch: Batch) -> None:
    for number in range(20):
        wide.objects(tenant=str(number), region="r", at=datetime.datetime(2020, 1, 1), seq=1).batch(
            batch
        ).update(text="x" * 1000, price=2.5)


def fill_lives(note: Any, batch: Batch) -> None:
    for number in range(200):
        note.ttl(1000).batch(batch).create(id=number, text="y" * 100)


def fill_appends(note: Any, batch: Batch) -> None:
    for number in range(100):
        note.objects(id=number).batch(batch).update(
            steps__append=[f"item {each}" for each in range(5)]
        )


def fill_rows_of_partitions(line: Any, batch: Batch) -> None:
    for number in range(300):
        line.batch(batch).create(book=str(number % 3), number=number, text="z" * 20)


def fill_removed(note: Any, batch: Batch) -> None:
    for number in range(400):
        note.objects(id=number).batch(batch).update(text=None, small=None)


def fill_deletes(note: Any, batch: Batch) -> None:
    for number in range(400):
        note.objects(id=number).batch(batch).delete()


def fill_frozen(wide: Any, batch: Batch) -> None:
    for number in range(30):
        wide.batch(batch).create(
            tenant=str(number),
            region="r",
            at=datetime.datetime(2020, 1, 1),
            seq=1,
            matrix=[list(range(20)) for _ in range(5)],
            pair=(1, "x" * 100),
        )


def fill_types(wide: Any, batch: Batch) -> None:
    place = wide._columns["place"].user_type
    for number in range(40):
        wide.batch(batch).create(
            tenant=str(number),
            region="r",
            at=datetime.datetime(2020, 1, 1),
            seq=1,
            place=place(street="s" * 800, number=number),
        )


def fill_nulls(note: Any, batch: Batch) -> None:
    for number in range(300):
        note.batch(batch).create(id=number, text=None, small=None)


def fill_counters(visits: Any, batch: Batch) -> None:
    for number in range(300):
        visits.objects(page=f"page {number}").batch(batch).update(count=1)


def counted_by_cassandra(batch: Batch, session: Any) -> int:
    """The bytes of which Cassandra warns when it is sent the batch."""
    statement = batch.to_query().statement
    response = session.execute(statement).response_future
    (warning,) = [text for text in response.warnings or () if "is of size" in text]
    found = re.search(r"is of size (\d+), exceeding", warning)
    assert found, warning
    return int(found[1])


def size_in(error: str) -> int:
    """The bytes that a BatchTooLarge names, to half a KiB."""
    found = re.search(r"(\d+) KiB, on", error)
    assert found, error
    return int(found[1]) * KIB


#: What fills a batch with 30 to 50 KiB, and how much more than Cassandra the kit may count.
FILLS: dict[str, tuple[str, Callable[[Any, Batch], None], float]] = {
    "scalars": ("Wide", fill_scalars, 1.05),
    "narrow rows": ("Note", fill_narrow, 1.05),
    "texts": ("Note", fill_texts, 1.05),
    "sets": ("Wide", fill_sets, 1.05),
    "lists": ("Wide", fill_lists, 1.05),
    "maps": ("Wide", fill_maps, 1.05),
    "updates": ("Wide", fill_updates, 1.05),
    "time to live": ("Note", fill_lives, 1.05),
    "appends": ("Note", fill_appends, 1.1),
    "rows of partitions": ("Line", fill_rows_of_partitions, 1.05),
    "removed columns": ("Note", fill_removed, 1.05),
    "deletes": ("Note", fill_deletes, 1.1),
    "frozen": ("Wide", fill_frozen, 1.05),
    "nulls": ("Note", fill_nulls, 1.05),
    "types": ("Wide", fill_types, 1.05),
    "counters": ("Visits", fill_counters, 1.05),
}


@pytest.mark.parametrize("name", FILLS)
def test_the_size_is_what_cassandra_counts_or_a_little_more(
    cql: CQLAlchemy, strict: Flask, name: str
) -> None:
    subject, fill, most = FILLS[name]
    kind = "counter" if name == "counters" else "logged"
    with strict.app_context(), pytest.raises(BatchTooLarge) as caught, cql.batch(kind) as batch:
        fill(model(cql, subject), batch)
    ours = size_in(str(caught.value))
    batch = cql.batch(kind)
    fill(model(cql, subject), batch)
    theirs = counted_by_cassandra(batch, cql.session)
    assert 0.97 * theirs - KIB / 2 <= ours <= most * theirs + KIB / 2


def test_an_unlogged_batch_that_is_too_large_is_split_between_partitions(cql: CQLAlchemy) -> None:
    line = model(cql, "Line")
    with sent(cql) as statements, cql.batch("unlogged") as batch:
        for number in range(400):
            line.batch(batch).create(
                book=f"book {number % 40}", number=number // 40, text="x" * 400
            )
    parts = [
        {values[0] for _, _, values in statement._statements_and_parameters}
        for statement in statements
    ]
    assert len(parts) > 3
    assert sum(map(len, parts)) == len(set().union(*parts)) == 40
    assert line.objects.count() == 400


def test_a_batch_of_one_partition_is_not_limited(cql: CQLAlchemy) -> None:
    line = model(cql, "Line")
    for kind in ("logged", "unlogged"):
        with sent(cql) as statements, cql.batch(kind) as batch:
            for number in range(20):
                line.batch(batch).create(book=kind, number=number, text="x" * 10 * KIB)
        assert len(statements) == 1
        assert line.objects(book=kind).count() == 20


def test_an_unlogged_batch_with_one_large_partition_is_split(cql: CQLAlchemy) -> None:
    line = model(cql, "Line")
    with sent(cql) as statements, cql.batch("unlogged") as batch:
        line.batch(batch).create(book="before", number=1, text="x")
        for number in range(20):
            line.batch(batch).create(book="large", number=number, text="x" * 10 * KIB)
        line.batch(batch).create(book="behind", number=1, text="x")
    assert len(statements) == 3
    assert line.objects.count() == 22


def test_a_logged_batch_that_is_too_large_is_refused_before_anything_is_sent(
    cql: CQLAlchemy,
) -> None:
    note = model(cql, "Note")
    with sent(cql) as statements, pytest.raises(BatchTooLarge) as caught, cql.batch() as batch:
        for number in range(60):
            note.batch(batch).create(id=number, text="x" * KIB)
    assert str(caught.value) == (
        f"{cql.place().keyspace}.note: a logged batch of 60 statements, 64 KiB, on 60 partitions; "
        "Cassandra takes 50 KiB (CASSANDRA_BATCH_SIZE) and 65535 statements. Use "
        "smaller batches, or writes that need no batch: db.bulk_create()."
    )
    assert statements == []
    assert texts(note) == {}


def test_a_counter_batch_that_is_too_large_is_refused_before_anything_is_sent(
    cql: CQLAlchemy,
) -> None:
    visits = model(cql, "Visits")
    with (
        sent(cql) as statements,
        pytest.raises(BatchTooLarge) as caught,
        cql.batch("counter") as batch,
    ):
        for number in range(900):
            visits.objects(page=f"a page of the site, number {number}").batch(batch).update(count=1)
    assert str(caught.value).startswith(
        f"{cql.place().keyspace}.visits: a counter batch of 900 statements, "
    )
    assert statements == []


@pytest.mark.parametrize("kind", ["logged", "unlogged"])
def test_a_batch_just_below_the_limit_is_sent_whole(cql: CQLAlchemy, kind: str) -> None:
    note = model(cql, "Note")
    with sent(cql) as statements, cql.batch(kind) as batch:
        for number in range(45):
            note.batch(batch).create(id=number, text="x" * KIB)
    assert len(statements) == 1
    assert len(texts(note)) == 45


def test_more_statements_than_the_protocol_allows_are_split(cql: CQLAlchemy) -> None:
    line = model(cql, "Line")
    with sent(cql) as statements, cql.batch("unlogged") as batch:
        for number in range(MOST_IN_BATCH + 1):
            line.batch(batch).create(book="long", number=number)
    assert [len(statement) for statement in statements] == [MOST_IN_BATCH, 1]
    assert line.objects(book="long").count() == MOST_IN_BATCH + 1


def test_more_statements_than_the_protocol_allows_are_refused_in_a_logged_batch(
    cql: CQLAlchemy,
) -> None:
    line = model(cql, "Line")
    batch = cql.batch()
    line.batch(batch).create(book="long", number=1)
    batch.contents.entries *= MOST_IN_BATCH + 1
    with sent(cql) as statements, pytest.raises(BatchTooLarge) as caught:
        batch.execute()
    assert str(caught.value).startswith(
        f"{cql.place().keyspace}.line: a logged batch of 65536 statements, "
    )
    assert statements == []


def test_a_partition_beyond_what_the_protocol_takes_is_cassandras_error(cql: CQLAlchemy) -> None:
    line = model(cql, "Line")
    with pytest.raises(InvalidRequest, match="exceeds allowed maximum"), cql.batch() as batch:
        for number in range(8):
            line.batch(batch).create(book="huge", number=number, text="x" * KIB * KIB)
    assert line.objects.count() == 0


def test_to_query_sends_nothing(cql: CQLAlchemy) -> None:
    note = model(cql, "Note")
    batch = cql.batch()
    with pytest.raises(CQLEngineException, match="There is nothing to write"):
        batch.to_query()
    with sent(cql) as statements, warnings.catch_warnings():
        note.batch(batch).create(id=1)
        single = batch.to_query().statement
        note.batch(batch).create(id=2)
        both = batch.to_query().statement
    assert (type(single), type(both)) == (BoundStatement, BatchStatement)
    assert statements == []
