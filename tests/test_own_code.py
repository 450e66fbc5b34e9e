"""A program's own code is always heard: what it overrides is called, whatever the way in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from cassandra.cqlengine import CQLEngineException
from cassandra.cqlengine.query import BatchQuery

from flask_cqlalchemy import Batch, BulkError, CQLAlchemy, QuerySet
from flask_cqlalchemy.query.dml import DMLQuery

from .cql_helpers import module_fixtures, sent

db = CQLAlchemy()

heard: list[str] = []


def hear(name: str) -> None:
    heard.append(name)


class Base(db.Model):
    __abstract__ = True
    id = db.columns.Integer(primary_key=True)
    title = db.columns.Text()


class WithInit(Base):
    def __init__(self, **values: Any) -> None:
        hear("__init__")
        super().__init__(**values)


class WithSave(Base):
    def save(self) -> Any:
        hear("save")
        return super().save()


class WithUpdate(Base):
    def update(self, **values: Any) -> Any:
        hear("update")
        return super().update(**values)


class WithDelete(Base):
    def delete(self) -> None:
        hear("delete")
        super().delete()


class WithCreate(Base):
    @classmethod
    def create(cls, **values: Any) -> Any:
        hear("create")
        return super().create(**values)


class WithValidate(Base):
    def validate(self) -> None:
        hear("validate")
        super().validate()


class OwnSet(QuerySet[Any]):
    def create(self, **values: Any) -> Any:
        hear("objects.create")
        return super().create(**values)

    def update(self, **values: Any) -> None:
        hear("objects.update")
        super().update(**values)

    def delete(self) -> None:
        hear("objects.delete")
        super().delete()


class WithQuerySet(Base):
    __queryset__ = OwnSet


class OwnDML(DMLQuery):
    def save(self) -> None:
        hear("dml.save")
        super().save()

    def update(self) -> None:
        hear("dml.update")
        super().update()

    def delete(self) -> None:
        hear("dml.delete")
        super().delete()


class WithDML(Base):
    __dmlquery__ = OwnDML


class OwnText(db.columns.Text):
    """A column type of the program's own."""

    def to_python(self, value: Any) -> Any:
        hear("to_python")
        return super().to_python(value)

    def to_database(self, value: Any) -> Any:
        hear("to_database")
        return super().to_database(value)

    def validate(self, value: Any) -> Any:
        hear("validate")
        return super().validate(value)


class WithColumn(db.Model):
    id = db.columns.Integer(primary_key=True)
    title = OwnText()


class Address(db.UserType):
    street = db.columns.Text()

    def validate(self) -> None:
        hear("user type")
        super().validate()


class WithUserType(db.Model):
    id = db.columns.Integer(primary_key=True)
    home = db.columns.UserDefinedType(Address)


cassandra_config, database, app = module_fixtures(db)


@pytest.fixture(autouse=True)
def nothing_heard() -> None:
    heard.clear()


Entry = Callable[[CQLAlchemy, Any], object]

INSERTS: dict[str, Entry] = {
    "Model.create": lambda _, model: model.create(id=1, title="a"),
    "instance": lambda _, model: model(id=1, title="a").save(),
    "query set": lambda _, model: model.objects.create(id=1, title="a"),
    "options": lambda _, model: model.ttl(500).if_not_exists().create(id=1, title="a"),
    "batch": lambda cql, model: _in_batch(cql, lambda b: model.batch(b).create(id=1, title="a")),
    "instance in a batch": lambda cql, model: _in_batch(
        cql, lambda b: model(id=1, title="a").batch(b).save()
    ),
    "bulk": lambda cql, model: cql.bulk_create(model, [{"id": 1, "title": "a"}]),
    "bulk of instances": lambda cql, model: cql.bulk_create(model, [model(id=1, title="a")]),
}

UPDATES: dict[str, Entry] = {
    "save": lambda _, model: _changed(model).save(),
    "update": lambda _, model: _stored(model).update(title="b"),
    "update with an option": lambda _, model: _stored(model).ttl(500).update(title="b"),
    "in a batch": lambda cql, model: _in_batch(
        cql, lambda b: _stored(model).batch(b).update(title="b")
    ),
}

ROWS_UPDATED: dict[str, Entry] = {
    "query set": lambda _, model: model.objects(id=1).update(title="b"),
    "batch": lambda cql, model: _in_batch(
        cql, lambda b: model.objects(id=1).batch(b).update(title="b")
    ),
    "bulk": lambda cql, model: cql.bulk_update(model, [{"id": 1, "title": "b"}]),
}

DELETES: dict[str, Entry] = {
    "instance": lambda _, model: _stored(model).delete(),
    "batch": lambda cql, model: _in_batch(cql, lambda b: _stored(model).batch(b).delete()),
    "bulk": lambda cql, model: cql.bulk_delete(model, [_stored(model)]),
}

ROWS_DELETED: dict[str, Entry] = {
    "query set": lambda _, model: model.objects(id=1).delete(),
    "batch": lambda cql, model: _in_batch(cql, lambda b: model.objects(id=1).batch(b).delete()),
    "bulk": lambda cql, model: cql.bulk_delete(model, [1]),
}


def _in_batch(cql: CQLAlchemy, write: Callable[[Batch], object]) -> None:
    with cql.batch() as batch:
        write(batch)


def _stored(model: Any) -> Any:
    row = model(id=1, title="a")
    row.save()
    heard.clear()
    return row


def _changed(model: Any) -> Any:
    row = _stored(model)
    row.title = "b"
    return row


@pytest.mark.parametrize("entry", INSERTS.values(), ids=INSERTS)
@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (WithInit, "__init__"),
        (WithSave, "save"),
        (WithValidate, "validate"),
        (WithDML, "dml.save"),
        (WithColumn, "validate"),
    ],
)
def test_a_row_is_inserted_by_the_program_s_own_code(
    cql: CQLAlchemy, entry: Entry, model: Any, expected: str
) -> None:
    entry(cql, model)
    assert expected in heard
    assert [(row.id, row.title) for row in model.objects] == [(1, "a")]


@pytest.mark.parametrize("entry", ["Model.create", "query set", "options", "batch", "bulk"])
def test_a_query_set_s_own_create_is_called(cql: CQLAlchemy, entry: str) -> None:
    INSERTS[entry](cql, WithQuerySet)
    assert heard == ["objects.create"]


@pytest.mark.parametrize("entry", UPDATES.values(), ids=UPDATES)
@pytest.mark.parametrize(
    ("model", "expected"),
    [(WithValidate, "validate"), (WithDML, "dml."), (WithColumn, "validate")],
)
def test_an_instance_is_updated_by_the_program_s_own_code(
    cql: CQLAlchemy, entry: Entry, model: Any, expected: str
) -> None:
    entry(cql, model)
    assert any(each.startswith(expected) for each in heard)
    assert [(row.id, row.title) for row in model.objects] == [(1, "b")]


@pytest.mark.parametrize("entry", ROWS_UPDATED.values(), ids=ROWS_UPDATED)
@pytest.mark.parametrize(
    ("model", "expected"), [(WithQuerySet, "objects.update"), (WithColumn, "validate")]
)
def test_rows_are_updated_by_the_program_s_own_code(
    cql: CQLAlchemy, entry: Entry, model: Any, expected: str
) -> None:
    _stored(model)
    entry(cql, model)
    assert expected in heard
    assert [(row.id, row.title) for row in model.objects] == [(1, "b")]


@pytest.mark.parametrize("entry", DELETES.values(), ids=DELETES)
@pytest.mark.parametrize(("model", "expected"), [(WithDelete, "delete"), (WithDML, "dml.delete")])
def test_an_instance_is_deleted_by_the_program_s_own_code(
    cql: CQLAlchemy, entry: Entry, model: Any, expected: str
) -> None:
    entry(cql, model)
    if entry is not DELETES["bulk"] or model is WithDelete:
        assert expected in heard
    assert not model.objects(id=1).exists()


@pytest.mark.parametrize("entry", ROWS_DELETED.values(), ids=ROWS_DELETED)
def test_rows_are_deleted_by_the_program_s_own_query_set(cql: CQLAlchemy, entry: Entry) -> None:
    _stored(WithQuerySet)
    entry(cql, WithQuerySet)
    assert heard == ["objects.delete"]
    assert not WithQuerySet.objects(id=1).exists()


@pytest.mark.parametrize(
    "entry",
    [
        lambda _: WithUserType.create(id=1, home=Address(street="a")),
        lambda _: WithUserType(id=1, home=Address(street="a")).save(),
        lambda _: WithUserType.objects(id=1).update(home=Address(street="a")),
        lambda cql: cql.bulk_create(WithUserType, [{"id": 1, "home": Address(street="a")}]),
        lambda cql: cql.bulk_update(WithUserType, [{"id": 1, "home": Address(street="a")}]),
    ],
)
def test_a_user_type_s_own_validate_is_called(
    cql: CQLAlchemy, entry: Callable[[CQLAlchemy], object]
) -> None:
    entry(cql)
    assert "user type" in heard
    assert WithUserType.get(id=1).home.street == "a"


def test_a_column_s_own_to_python_is_called_when_a_row_is_read(cql: CQLAlchemy) -> None:
    WithColumn.create(id=1, title="a")
    heard.clear()
    assert WithColumn.get(id=1).title == "a"
    assert heard == ["to_python"]


def test_a_model_s_own_create_is_called_by_who_calls_it(cql: CQLAlchemy) -> None:
    WithCreate.create(id=1, title="a")
    assert heard == ["create"]


def test_what_a_bulk_write_cannot_call_is_refused(cql: CQLAlchemy) -> None:
    with pytest.raises(CQLEngineException, match=r"WithCreate has a create\(\) of its own"):
        cql.bulk_create(WithCreate, [{"id": 1}])
    with pytest.raises(CQLEngineException, match=r"WithUpdate has a update\(\) of its own"):
        cql.bulk_update(WithUpdate, [{"id": 1, "title": "b"}])


def test_a_save_that_refuses_a_row_refuses_it_everywhere(cql: CQLAlchemy) -> None:
    class Booking(WithSave):
        __table_name__ = "with_save"

        def save(self) -> Any:
            if self.title == "no":
                raise ValueError("not this one")
            return super().save()

    db.registry.models.remove(Booking)
    for write in (
        lambda: Booking.create(id=1, title="no"),
        lambda: Booking.objects.create(id=1, title="no"),
        lambda: _in_batch(cql, lambda b: Booking.batch(b).create(id=1, title="no")),
    ):
        with pytest.raises(ValueError, match="not this one"):
            write()
    with pytest.raises(BulkError, match="not this one"):
        cql.bulk_create(Booking, [{"id": 1, "title": "no"}])
    assert WithSave.objects.count() == 0


class Logged(Batch):
    seen: ClassVar[list[int]] = []

    def execute(self) -> None:
        self.seen.append(self.size)
        super().execute()


class LoggedStock(BatchQuery):
    seen: ClassVar[list[str]] = []

    def execute(self) -> None:
        self.seen.append("before")
        super().execute()
        self.seen.append("after")


def test_a_batch_s_own_execute_is_called(cql: CQLAlchemy) -> None:
    with Logged() as batch:
        WithSave.batch(batch).create(id=1, title="a")
    assert Logged.seen == [1]
    assert WithSave.get(id=1).title == "a"


def test_the_own_execute_of_cqlengine_s_batch_is_called(cql: CQLAlchemy) -> None:
    with sent(cql) as statements, LoggedStock() as batch:
        WithSave.batch(batch).create(id=1, title="a")
        assert isinstance(batch, LoggedStock)
    assert LoggedStock.seen == ["before", "after"]
    assert len(statements) == 1
    assert WithSave.get(id=1).title == "a"
