"""An option belongs to one write, and what was not written stays to be written."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from itertools import count
from typing import Any

import pytest
from cassandra.cqlengine import CQLEngineException, ValidationError
from cassandra.cqlengine.query import BatchQuery, LWTException

from flask_cqlalchemy import BulkError, CQLAlchemy

from .cql_helpers import module_fixtures, sent, text_of

db = CQLAlchemy()


class Note(db.Model):
    id = db.columns.Integer(primary_key=True)
    text = db.columns.Text()
    author = db.columns.Text()
    tags = db.columns.Set(db.columns.Text)
    lines = db.columns.List(db.columns.Text)
    links = db.columns.Map(db.columns.Text, db.columns.Text)


class Visits(db.Model):
    page = db.columns.Text(primary_key=True)
    reads = db.columns.Counter()
    writes = db.columns.Counter()


cassandra_config, database, app = module_fixtures(db, CASSANDRA_GUARDRAILS="off")


def ttl_of(cql: CQLAlchemy) -> int | None:
    row = cql.execute("SELECT TTL(text) AS left FROM note WHERE id = 1").one()
    left: int | None = row["left"]
    return left


def written_at(cql: CQLAlchemy, key: int) -> int:
    row = cql.execute("SELECT WRITETIME(text) AS at FROM note WHERE id = ?", [key]).one()
    at: int = row["at"]
    return at


OPTIONS: dict[str, Callable[[Any], Any]] = {
    "ttl": lambda row: row.ttl(500),
    "timestamp": lambda row: row.timestamp(datetime.now(timezone.utc) - timedelta(days=1)),
    "iff": lambda row: row.iff(text="a"),
    "if_exists": lambda row: row.if_exists(),
    "timeout": lambda row: row.timeout(5),
    "consistency": lambda row: row.consistency(1),
}


def assign(row: Any, text: str) -> Any:
    row.text = text
    return row


WAYS: dict[str, Callable[[Any, str], Any]] = {
    "save": lambda row, text: assign(row, text).save(),
    "update": lambda row, text: row.update(text=text),
    "a collection": lambda row, text: (row.tags.add(text), row.update(text=text)),
}


@pytest.mark.parametrize("state", ["read", "created", "saved"])
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("option", OPTIONS.values(), ids=OPTIONS)
def test_an_option_ends_with_its_write(
    cql: CQLAlchemy, option: Callable[[Any], Any], way: Callable[[Any, str], Any], state: str
) -> None:
    row = Note.create(id=1, text="a")
    if state == "read":
        row = Note.get(id=1)
    elif state == "saved":
        row = Note(id=1, text="a")
        row.save()
    way(option(row), "b")
    with sent(cql) as statements:
        way(row, "c")
    (statement,) = statements
    assert " IF " not in text_of(statement)
    assert " USING " not in text_of(statement)
    assert statement.consistency_level is None
    assert Note.get(id=1).text == "c"
    assert ttl_of(cql) is None


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_condition_that_failed_is_forgotten(
    cql: CQLAlchemy, way: Callable[[Any, str], Any]
) -> None:
    Note.create(id=1, text="a")
    row = Note.get(id=1)
    with pytest.raises(LWTException):
        row.iff(text="other").update(text="b")
    way(row, "c")
    assert Note.get(id=1).text == "c"


def test_an_option_ends_with_a_write_that_was_refused(cql: CQLAlchemy) -> None:
    row = Note.create(id=1, text="a")
    with pytest.raises(ValidationError):
        row.ttl(500).update(nothing=1)
    row.update(text="b")
    assert ttl_of(cql) is None


def test_if_not_exists_ends_with_its_write(cql: CQLAlchemy) -> None:
    row = Note(id=1, text="a").if_not_exists()
    row.save()
    row.text = "b"
    row.save()
    assert Note.get(id=1).text == "b"


def test_a_condition_that_a_write_cannot_have_is_refused(cql: CQLAlchemy) -> None:
    row = Note.create(id=1, text="a")
    with pytest.raises(CQLEngineException, match="if_not_exists"):
        row.if_not_exists().update(text="b")
    with pytest.raises(CQLEngineException, match="if_not_exists"):
        Note(id=2).iff(text="a").save()
    with pytest.raises(CQLEngineException, match="if_not_exists"):
        Note.objects.if_exists().create(id=2)
    assert [note.text for note in Note.objects] == ["a"]


def test_an_option_is_a_reason_to_write_what_is_the_same(cql: CQLAlchemy) -> None:
    row = Note.create(id=1, text="a")
    row.ttl(500).update(text="a")
    assert ttl_of(cql) is not None
    with pytest.raises(LWTException):
        row.iff(author="Ada").update(text="a")


def test_an_instance_s_timeout_is_for_one_write(cql: CQLAlchemy) -> None:
    row = Note.create(id=1, text="a")
    row.timeout(None).update(text="b")
    row.batch(cql.batch()).update(text="c")


# Batches that are over


def write_again(row: Any) -> None:
    row.text = "third"
    row.save()


def test_an_instance_is_written_plainly_after_its_batch(cql: CQLAlchemy) -> None:
    row = Note.create(id=1, text="first")
    with cql.batch() as batch:
        row.batch(batch).update(text="second")
    write_again(row)
    assert Note.get(id=1).text == "third"


OVER: dict[str, Callable[[Any], None]] = {
    "sent by its block": lambda batch: batch.__exit__(None, None, None),
    "executed": lambda batch: batch.execute(),
    "left by an error": lambda batch: batch.__exit__(ValueError, ValueError(), None),
}

LATE: dict[str, Callable[[Any], object]] = {
    "create": lambda batch: Note.batch(batch).create(id=2, text="late"),
    "save": lambda batch: Note(id=2, text="late").batch(batch).save(),
    "update": lambda batch: Note.get(id=1).batch(batch).update(text="late"),
    "delete": lambda batch: Note.get(id=1).batch(batch).delete(),
    "query set": lambda batch: Note.objects(id=1).batch(batch).update(text="late"),
    "rows": lambda batch: Note.objects(id=1).batch(batch).delete(),
}


@pytest.mark.parametrize("late", LATE.values(), ids=LATE)
@pytest.mark.parametrize("end", OVER.values(), ids=OVER)
def test_a_batch_that_is_over_takes_no_write(
    cql: CQLAlchemy, end: Callable[[Any], None], late: Callable[[Any], object]
) -> None:
    Note.create(id=1, text="first")
    batch = cql.batch()
    batch.__enter__()
    Note.objects(id=1).batch(batch).update(text="second")
    end(batch)
    with pytest.raises(CQLEngineException, match="The batch is over"):
        late(batch)
    text = "first" if end is OVER["left by an error"] else "second"
    assert [(row.id, row.text) for row in Note.objects] == [(1, text)]


def test_cqlengine_s_batch_that_is_over_takes_no_write(cql: CQLAlchemy) -> None:
    with BatchQuery() as batch:
        Note.batch(batch).create(id=1, text="a")
    with pytest.raises(CQLEngineException, match="The batch is over"):
        Note.batch(batch).create(id=2, text="b")


# Batches that were not sent


def leave_unsent(batch: Any, write: Callable[[Any], Any]) -> Any:
    """Write in the block of a batch, which an error ends."""
    written: list[Any] = []
    with contextlib.suppress(RuntimeError), batch:
        written.append(write(batch))
        raise RuntimeError
    return written[0]


CHANGES: dict[str, Callable[[Any], None]] = {
    "a scalar": lambda row: setattr(row, "text", "b"),
    "null": lambda row: setattr(row, "text", None),
    "a set": lambda row: row.tags.add("b"),
    "a list": lambda row: row.lines.append("b"),
    "a map": lambda row: row.links.update(b="b"),
    "an assigned set": lambda row: setattr(row, "tags", {"b"}),
}


def state_of(row: Any) -> list[Any]:
    return [row.text, row.author, row.tags, row.lines, row.links]


@pytest.mark.parametrize(
    "kind", [lambda cql: cql.batch(), lambda _: BatchQuery()], ids=["own", "stock"]
)
@pytest.mark.parametrize("state", ["read", "created"])
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_whose_batch_was_not_sent_stays_a_change(
    cql: CQLAlchemy,
    change: Callable[[Any], None],
    state: str,
    kind: Callable[[CQLAlchemy], Any],
) -> None:
    row = Note.create(id=1, text="a", tags={"a"}, lines=["a"], links={"a": "a"})
    if state == "read":
        row = Note.get(id=1)
    change(row)
    leave_unsent(kind(cql), lambda batch: row.batch(batch).save())
    row.save()
    assert state_of(Note.get(id=1)) == state_of(row)
    with sent(cql) as statements:
        row.save()
    assert statements == []


@pytest.mark.parametrize(
    "insert",
    [
        lambda batch: Note.batch(batch).create(id=1, text="a", tags={"a"}),
        lambda batch: Note(id=1, text="a", tags={"a"}).batch(batch).save(),
    ],
)
@pytest.mark.parametrize("changed", [False, True])
def test_a_row_whose_batch_was_not_sent_is_new(
    cql: CQLAlchemy, insert: Callable[[Any], Any], changed: bool
) -> None:
    row = leave_unsent(cql.batch(), insert)
    if changed:
        row.text = "b"
        row.tags.add("b")
    row.save()
    assert state_of(Note.get(id=1)) == state_of(row)
    row.text = "c"
    with sent(cql) as statements:
        row.save()
    assert text_of(statements[0]).startswith("UPDATE")


def test_a_row_that_is_deleted_in_a_batch_that_was_not_sent_is_there(cql: CQLAlchemy) -> None:
    row = Note.create(id=1, text="a")
    leave_unsent(cql.batch(), lambda batch: row.batch(batch).delete())
    with sent(cql) as statements:
        row.save()
    assert statements == []


def test_a_change_after_the_write_in_a_batch_stays_a_change(cql: CQLAlchemy) -> None:
    row = Note.create(id=1, text="a", tags={"a"})
    with cql.batch() as batch:
        row.text = "b"
        row.tags.add("b")
        row.batch(batch).save()
        row.text = "c"
        row.tags.add("c")
    row.save()
    assert state_of(Note.get(id=1)) == state_of(row)
    assert (row.text, row.tags) == ("c", {"a", "b", "c"})


def test_a_second_write_of_an_instance_in_a_batch_builds_on_the_first(cql: CQLAlchemy) -> None:
    row = Note.create(id=1, text="a", tags={"a"}, lines=["a"], links={"a": "a"})
    with cql.batch() as batch:
        row.lines.append("b")
        row.tags.remove("a")
        row.links["b"] = "b"
        row.batch(batch).save()
        row.lines.append("c")
        row.tags.add("a")
        del row.links["b"]
        row.batch(batch).save()
    assert state_of(Note.get(id=1)) == state_of(row)
    assert row.lines == ["a", "b", "c"]


def test_counters_count_once_in_a_batch(cql: CQLAlchemy) -> None:
    Visits.objects(page="/").update(reads=1)
    row: Any = Visits.get(page="/")
    with cql.batch("counter") as batch:
        row.reads += 1
        row.batch(batch).save()
        row.reads += 1
        row.batch(batch).save()
    assert Visits.get(page="/").reads == 3
    row.reads += 1
    row.save()
    assert Visits.get(page="/").reads == 4


# Deleting


@pytest.mark.parametrize("origin", ["created", "saved", "read"])
@pytest.mark.parametrize("changed", [False, True])
@pytest.mark.parametrize("how", ["delete", "batch", "bulk"])
def test_a_deleted_instance_is_new_again(
    cql: CQLAlchemy, origin: str, changed: bool, how: str
) -> None:
    row = Note(id=1, text="a", author="Ada", tags={"a"})
    row.save()
    if origin == "created":
        row = Note.create(id=1, text="a", author="Ada", tags={"a"})
    elif origin == "read":
        row = Note.get(id=1)
    if how == "delete":
        row.delete()
    elif how == "bulk":
        cql.bulk_delete(Note, [row])
    else:
        with cql.batch() as batch:
            row.batch(batch).delete()
    assert not Note.objects(id=1).exists()
    if changed:
        row.text = "b"
    row.save()
    assert state_of(Note.get(id=1)) == ["b" if changed else "a", "Ada", {"a"}, [], {}]


# The key


KEYED: dict[str, Callable[[Any], object]] = {
    "update": lambda row: row.update(text="b"),
    "delete": lambda row: row.delete(),
}


@pytest.mark.parametrize("write", KEYED.values(), ids=KEYED)
@pytest.mark.parametrize("full", [False, True])
def test_an_instance_of_another_key_is_not_written_in_part(
    cql: CQLAlchemy, write: Callable[[Any], object], full: bool
) -> None:
    Note.create(id=1, text="a")
    Note.create(id=2, text="other")
    row = Note.get(id=1)
    if full:
        row.tags = {"x"}
    row.id = 2
    with pytest.raises(ValidationError, match=r"Note\.id, of the primary key, was changed from 1"):
        write(row)
    assert {note.id: note.text for note in Note.objects} == {1: "a", 2: "other"}


def test_an_instance_that_was_read_in_part_is_not_copied(cql: CQLAlchemy) -> None:
    Note.create(id=1, text="a", author="Ada")
    row = Note.objects(id=1).only(["text"]).get()
    row.id = 2
    with pytest.raises(ValidationError, match="author"):
        row.save()
    assert [note.id for note in Note.objects] == [1]


# Timestamps


MOMENT = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)
MICROSECONDS = 1_767_268_800_000_000
TIMES = [
    MOMENT,
    MOMENT.astimezone(timezone(timedelta(hours=9))),
    MOMENT.astimezone(timezone(timedelta(hours=-5))),
    MOMENT.astimezone().replace(tzinfo=None),
    MICROSECONDS,
]


#: Keys of rows that no deletion has touched, which a timestamp in the past would not outlive.
NEW = count(1000)


def _stamped_batch(key: int, at: Any) -> None:
    with db.batch(timestamp=at) as batch:
        Note.batch(batch).create(id=key, text="b")


STAMPED: dict[str, Callable[[int, Any], object]] = {
    "create": lambda key, at: Note.timestamp(at).create(id=key, text="b"),
    "create by a query": lambda key, at: Note.objects.timestamp(at).create(id=key, text="b"),
    "save": lambda key, at: Note(id=key, text="b").timestamp(at).save(),
    "update": lambda key, at: Note(id=key).timestamp(at).update(text="b"),
    "rows": lambda key, at: Note.objects(id=key).timestamp(at).update(text="b"),
    "batch": _stamped_batch,
}


@pytest.mark.parametrize("write", STAMPED.values(), ids=STAMPED)
@pytest.mark.parametrize("at", TIMES, ids=["utc", "tokyo", "new york", "naive", "number"])
def test_a_timestamp_is_the_moment_that_was_given(
    cql: CQLAlchemy, write: Callable[[int, Any], object], at: Any
) -> None:
    key = next(NEW)
    write(key, at)
    assert written_at(cql, key) == MICROSECONDS


@pytest.mark.parametrize("write", STAMPED.values(), ids=STAMPED)
def test_a_timestamp_of_zero_is_1970(cql: CQLAlchemy, write: Callable[[int, Any], object]) -> None:
    key = next(NEW)
    write(key, 0)
    assert written_at(cql, key) == 0


@pytest.mark.parametrize("write", STAMPED.values(), ids=STAMPED)
@pytest.mark.parametrize("wrong", ["yesterday", True, 1.5])
def test_what_is_no_timestamp_is_refused(
    cql: CQLAlchemy, write: Callable[[int, Any], object], wrong: Any
) -> None:
    with pytest.raises((ValidationError, TypeError), match="timestamp is a datetime"):
        write(1, wrong)
    assert Note.objects.count() == 0


# Null


def now() -> int:
    return time.time_ns() // 1000


def _null_in_a_batch(cql: CQLAlchemy, at: int) -> None:
    with cql.batch(timestamp=at) as batch:
        Note.get(id=1).batch(batch).update(text="old", author=None)


NULLS: dict[str, Callable[[CQLAlchemy, int], object]] = {
    "update": lambda _, at: Note.get(id=1).timestamp(at).update(text="old", author=None),
    "save": lambda _, at: _assigned().timestamp(at).save(),
    "create": lambda _, at: Note.timestamp(at).create(id=1, text="old", author=None),
    "new": lambda _, at: Note(id=1, text="old", author=None).timestamp(at).save(),
    "rows": lambda _, at: Note.objects(id=1).timestamp(at).update(text="old", author=None),
    "collections": lambda _, at: (
        Note.get(id=1).timestamp(at).update(text="old", tags=set(), lines=None, links={})
    ),
    "batch": _null_in_a_batch,
}


def _assigned() -> Any:
    row = Note.get(id=1)
    row.text, row.author = "old", None
    return row


def full_note() -> list[Any]:
    row = Note.create(id=1, text="new", author="Ada", tags={"a"}, lines=["a"], links={"a": "a"})
    return state_of(row)


@pytest.mark.parametrize("write", NULLS.values(), ids=NULLS)
def test_a_null_has_the_timestamp_of_its_write(
    cql: CQLAlchemy, write: Callable[[CQLAlchemy, int], object]
) -> None:
    before = full_note()
    with sent(cql) as statements:
        write(cql, now() - 3_600_000_000)
    assert [text_of(each)[:6] for each in statements if "SELECT" not in text_of(each)] in (
        ["UPDATE"],
        ["INSERT"],
        ["BATCH"],
    )
    assert state_of(Note.get(id=1)) == before


@pytest.mark.parametrize("write", NULLS.values(), ids=NULLS)
def test_a_null_removes_what_is_older(
    cql: CQLAlchemy, write: Callable[[CQLAlchemy, int], object]
) -> None:
    full_note()
    write(cql, now() + 10_000_000)
    found = Note.get(id=1)
    assert found.text == "old"
    assert None in (found.author,) or found.tags == set()


@pytest.mark.parametrize(
    "write",
    [
        lambda: Note.get(id=1).iff(text="other").update(text="b", author=None, tags=set()),
        lambda: Note.objects(id=1).iff(text="other").update(text="b", author=None),
        lambda: Note.objects(id=1).iff(text="other").update(author=None),
        lambda: Note.if_not_exists().create(id=1, text="b", author=None),
        lambda: Note(id=1, author=None, text="b").if_not_exists().save(),
    ],
)
def test_a_null_is_not_written_where_its_write_was_not_applied(
    cql: CQLAlchemy, write: Callable[[], object]
) -> None:
    before = full_note()
    with pytest.raises(LWTException):
        write()
    assert state_of(Note.get(id=1)) == before


def test_a_null_and_a_value_with_a_time_to_live_are_one_statement(cql: CQLAlchemy) -> None:
    full_note()
    row = Note.get(id=1)
    with sent(cql) as statements:
        row.ttl(500).update(text="b", author=None, links={"a": "b"})
    assert len(statements) == 1
    assert (Note.get(id=1).text, Note.get(id=1).author) == ("b", None)
    assert ttl_of(cql) is not None


# Instances that are no whole rows


def test_an_update_of_a_new_instance_does_not_make_it_one_that_is_stored(cql: CQLAlchemy) -> None:
    """What the batch would have written beside it stays to be written."""
    row = leave_unsent(
        cql.batch(), lambda batch: Note.batch(batch).create(id=1, text="a", author="Ada")
    )
    row.ttl(500).update(text="b")
    row.save()
    assert state_of(Note.get(id=1)) == ["b", "Ada", set(), [], {}]


def test_a_deleted_instance_is_written_whole_in_the_same_batch(cql: CQLAlchemy) -> None:
    row = Note.create(id=1, text="a", author="Ada", tags={"a"})
    with cql.batch() as batch:
        row.batch(batch).delete()
        row.text = "b"
        row.batch(batch).save()
    assert state_of(Note.get(id=1)) == ["b", "Ada", {"a"}, [], {}]
    with sent(cql) as statements:
        row.save()
    assert statements == []


def test_a_second_insert_removes_nothing_that_was_not_given(cql: CQLAlchemy) -> None:
    Note.objects(id=1).update(author="theirs")
    row = leave_unsent(cql.batch(), lambda batch: Note.batch(batch).create(id=1, text="a"))
    row.save()
    assert state_of(Note.get(id=1)) == ["a", "theirs", set(), [], {}]


def test_an_option_is_a_reason_to_write_the_same_collection(cql: CQLAlchemy) -> None:
    row = Note.create(id=1, text="a", tags={"a"})
    with sent(cql) as statements:
        row.ttl(500).update(tags={"a"})
    assert len(statements) == 1
    with pytest.raises(LWTException):
        row.iff(author="Ada").update(tags={"a"})
    assert Note.get(id=1).tags == {"a"}


def test_a_bulk_delete_refuses_an_instance_of_another_key(cql: CQLAlchemy) -> None:
    row = Note.create(id=1, text="a")
    Note.create(id=2, text="other")
    row.id = 2
    with pytest.raises(BulkError, match="was changed from 1 to 2"):
        cql.bulk_delete(Note, [row])
    assert Note.objects.count() == 2


def test_a_bulk_write_has_the_options_of_its_instances(cql: CQLAlchemy) -> None:
    cql.bulk_create(Note, [Note(id=1, text="a").ttl(500)])
    assert ttl_of(cql) is not None
    with pytest.raises(BulkError, match="no batch and no condition"):
        cql.bulk_create(Note, [Note(id=2, text="a").if_not_exists()])


def test_looking_at_a_collection_that_was_not_read_does_not_read_it(cql: CQLAlchemy) -> None:
    Note.create(id=1, text="a", tags={"a"})
    row = Note.objects(id=1).only(["text", "author", "lines", "links"]).get()
    assert row.tags == set()
    row.id = 2
    with pytest.raises(ValidationError, match="tags"):
        row.save()
