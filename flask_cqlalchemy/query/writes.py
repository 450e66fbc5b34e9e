"""Writes of one row in one statement of a text that does not depend on the values.

An INSERT names every column: what is not given is left unset, what is given as None is null, so it
needs no second statement. An UPDATE names the columns that change. ``choose_writer`` decides which
writes are done so; all others go through cqlengine's statements (``stock``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Literal, TypeVar

from cassandra.cqlengine import ValidationError
from cassandra.cqlengine.connection import NOT_SET
from cassandra.query import UNSET_VALUE

from .._cqlengine import BatchQuery, Model
from ..batch import microseconds
from ..mapping.instances import (
    forget_changes,
    given_values,
    is_light,
    make_instance,
    make_light,
    scalar_changes,
)
from ..mapping.naming import unknown_name
from ..statements.sending import BoundQuery, bind_query

if TYPE_CHECKING:
    from ..connection.place import Place
    from ..mapping.mapper import Mapper
    from ..mapping.writer import Writer
    from ..statements.info import StatementInfo

M = TypeVar("M", bound=Model)

Verb = Literal["insert", "update", "delete"]

#: Options that a query set or an instance may carry, by the names under which cqlengine keeps them.
OPTIONS = frozenset(
    {
        "__consistency__",
        "_batch",
        "_conditional",
        "_connection",
        "_consistency",
        "_if_exists",
        "_if_not_exists",
        "_timeout",
        "_timestamp",
        "_ttl",
    }
)

#: Of these, the ones that a statement of the kit's own takes.
_TAKEN: Mapping[Verb, AbstractSet[str]] = {
    "insert": frozenset({"_batch", "_ttl"}),
    "update": frozenset(),
    "delete": frozenset(),
}

_NONE: frozenset[str] = frozenset()


def options_of(state: Mapping[str, object]) -> AbstractSet[str]:
    """Return which options are set, by what an instance or a query has for their names."""
    if OPTIONS.isdisjoint(state):
        return _NONE
    return {name for name in OPTIONS & state.keys() if _is_set(name, state[name])}


def _is_set(name: str, option: object) -> bool:
    if name == "_timeout":
        # None is to wait for ever.
        return option is not NOT_SET
    return option is not None and option is not False and option not in ([], ())


def choose_writer(
    mapper: Mapper,
    verb: Verb,
    options: AbstractSet[str] = _NONE,
    *,
    instance: Model | None = None,
    changes: Mapping[str, object] | None = None,
) -> Writer | None:
    """Decide how a write is sent: by the writer returned, in one statement; or, for None, by
    cqlengine's.

    The rule: a write is one statement of the kit's own if all of these hold.

    1. The table has no counter and no static column, whose statements differ, and is not shared by
       several models (``Mapper.writer``).
    2. The program has no version of its own of what such a statement would pass by
       (``Mapper.overridden``).
    3. No option is set but those that such a statement takes: a batch and a TTL for an INSERT,
       which names every column; for the others none.
    4. An UPDATE of an instance sets scalar columns to values other than None, and nothing else of
       the instance has changed: cqlengine removes columns, and parts of collections, by statements
       of their own.

    A write is refused, before any of this, if it names a column that does not exist
    (``check_columns``), or lacks a part of the primary key (``check_key``, ``ColumnWriter``).

    :param options: what ``options_of`` returned.
    :param instance: whose columns an UPDATE is to write; None if the row was not read.
    :param changes: the columns to write of it.
    """
    writer = mapper.writer
    if writer is None or mapper.overridden or not options <= _TAKEN[verb]:
        return None
    if instance is not None:
        for name, value in (changes or {}).items():
            if value is None or name not in writer.scalars:
                return None
        if not is_light(instance):
            return None
    return writer


def check_columns(mapper: Mapper, given: Mapping[str, object]) -> None:
    """Refuse names that are not columns.

    :raises ValidationError: naming the first.
    """
    if not given.keys() <= mapper.columns.keys():
        unknown = min(map(str, given.keys() - mapper.columns.keys()))
        raise ValidationError(unknown_name(mapper.name, unknown, mapper.columns))


def check_key(mapper: Mapper, given: Mapping[str, object]) -> None:
    """Refuse a row without the whole primary key, or with names that are not columns.

    :raises ValidationError: naming the column.
    """
    check_columns(mapper, given)
    for name in mapper.primary_key:
        if given.get(name) is None:
            raise ValidationError(f"{mapper.name}: {name}, of the primary key, is missing.")


def check_changes(mapper: Mapper, given: Mapping[str, object]) -> None:
    """Refuse an update without the whole primary key, or without a column to write.

    :raises ValidationError: naming the column.
    """
    check_key(mapper, given)
    if given.keys() <= mapper.primary_key.keys():
        raise ValidationError(f"{mapper.name}: only the key is given, and no column to write.")


# INSERT


def bind_insert(
    mapper: Mapper,
    writer: Writer,
    place: Place,
    given: Mapping[str, object],
    *,
    ttl: int | None = None,
    timestamp: int | None = None,
    defaults: bool = True,
) -> tuple[BoundQuery, dict[str, object]]:
    """Make the INSERT of a row.

    :param given: values by the names of attributes.
    :param defaults: whether the others take their defaults; an instance has done so before.
    :param ttl: seconds.
    :param timestamp: microseconds since 1970.
    :returns: the query, and the row by the names of attributes.
    :raises ValidationError: naming the column whose value cannot be stored.
    """
    row: dict[str, object] = {}
    values = []
    for name, passthrough, column in writer.columns:
        if name in given:
            value = given[name]
            if value.__class__ is passthrough:
                row[name] = value
                values.append(value)
            else:
                row[name], bound = column.convert(value)
                values.append(bound)
        else:
            value, bound = column.convert(column.default() if defaults and column.default else None)
            row[name] = value
            values.append(UNSET_VALUE if bound is None else bound)
    used: tuple[str, ...] = ()
    if ttl is not None or timestamp is not None:
        options = {"TTL": ttl, "TIMESTAMP": timestamp}
        used = tuple(name for name, option in options.items() if option is not None)
        values += [options[name] for name in used]
    key = (place.keyspace, "insert", *used)
    info = mapper.statements.get(key) or mapper.remember(
        key, _insert_cql(mapper.qualified(place.keyspace), writer, used)
    )
    return _bind(mapper, place, info, values), row


def insert(
    model: type[M],
    writer: Writer,
    given: Mapping[str, object],
    *,
    batch: BatchQuery | None = None,
    ttl: int | None = None,
) -> M:
    """Insert a row and return its instance; with a batch, as soon as that is executed.

    :raises ValidationError: naming the column whose value cannot be stored.
    """
    return make_instance(model, _insert(model.__mapper__, writer, given, batch, ttl))


def insert_instance(instance: Model) -> bool:
    """Insert the row of a new instance, in its batch if it has one, if one statement can.

    :returns: False if it cannot, and nothing was done.
    :raises ValidationError: naming the column whose value cannot be stored.
    """
    mapper = instance.__mapper__
    state = instance.__dict__
    writer = choose_writer(mapper, "insert", options_of(state))
    if writer is None:
        return False
    given = given_values(instance)
    row = _insert(mapper, writer, given, state.get("_batch"), state.get("_ttl"), defaults=False)
    make_light(instance, row)
    return True


def _insert(
    mapper: Mapper,
    writer: Writer,
    given: Mapping[str, object],
    batch: BatchQuery | None,
    ttl: int | None,
    *,
    defaults: bool = True,
) -> dict[str, object]:
    query, row = bind_insert(
        mapper,
        writer,
        mapper.place(),
        given,
        ttl=ttl or None,
        timestamp=None if batch is None else microseconds(batch),
        defaults=defaults,
    )
    if batch is None:
        query.execute()
    else:
        query.add_to(batch)
    return row


# UPDATE


def save_changes(instance: Model, given: Mapping[str, object]) -> bool:
    """Write the columns given, and those assigned since a light instance was read, if one
    UPDATE can.

    :returns: False if it cannot, and nothing was done.
    :raises ValidationError: naming the column whose value cannot be stored.
    """
    mapper: Mapper = instance.__mapper__
    row = instance.__dict__
    originals = scalar_changes(instance)
    wanted = {**{name: row[name] for name in originals}, **given} if originals else given
    writer = choose_writer(mapper, "update", options_of(row), instance=instance, changes=wanted)
    if writer is None:
        return False
    for column in writer.required:
        if column.name not in wanted:
            column.validate(row.get(column.name))
    kept: dict[str, object] = {}
    changes: dict[str, object] = {}
    values: list[object] = []
    for name, value in wanted.items():
        column = writer.scalars[name]
        stored, bound = (
            (value, value) if value.__class__ is column.passthrough else column.convert(value)
        )
        kept[name] = stored
        if stored != (originals[name] if name in originals else row.get(name)):
            changes[name] = stored
            values.append(bound)
    if changes:
        _bind_update(mapper, writer, mapper.place(), changes, values, row).execute()
    row.update(kept)
    if originals:
        forget_changes(instance)
    return True


def bind_update(
    mapper: Mapper, writer: Writer, place: Place, given: Mapping[str, object]
) -> BoundQuery:
    """Make the UPDATE of a row that was not read. None removes a value.

    :param given: the whole primary key, and the columns to write.
    :raises ValidationError: naming the column whose value cannot be stored.
    """
    changes = {name: value for name, value in given.items() if name in writer.settable}
    values = [writer.settable[name].convert(value)[1] for name, value in changes.items()]
    return _bind_update(mapper, writer, place, changes, values, given)


def _bind_update(
    mapper: Mapper,
    writer: Writer,
    place: Place,
    changes: Mapping[str, object],
    values: list[object],
    row: Mapping[str, object],
) -> BoundQuery:
    key = (place.keyspace, "update", *changes)
    info = mapper.statements.get(key) or mapper.remember(
        key, _update_cql(mapper.qualified(place.keyspace), writer, changes)
    )
    for column in writer.keys:
        value = row.get(column.name)
        values.append(value if value.__class__ is column.passthrough else column.convert(value)[1])
    return _bind(mapper, place, info, values)


# DELETE


def bind_delete(
    mapper: Mapper, writer: Writer, place: Place, key: Mapping[str, object]
) -> BoundQuery:
    """Make the DELETE of a row, by its whole primary key.

    :raises ValidationError: naming the column whose value cannot be stored.
    """
    name = (place.keyspace, "delete")
    info = mapper.statements.get(name) or mapper.remember(
        name, f"DELETE FROM {mapper.qualified(place.keyspace)} WHERE {_key_cql(writer)}"
    )
    values = [column.convert(key[column.name])[1] for column in writer.keys]
    return _bind(mapper, place, info, values)


def _bind(
    mapper: Mapper, place: Place, info: StatementInfo, values: Sequence[object]
) -> BoundQuery:
    return bind_query(
        place,
        info,
        values,
        subject=mapper.name,
        idempotent=True,
        consistency=mapper.consistency,
    )


# Texts


def _insert_cql(table: str, writer: Writer, options: Sequence[str]) -> str:
    names = ", ".join(f'"{column.field}"' for _, _, column in writer.columns)
    markers = ", ".join("?" * len(writer.columns))
    using = " AND ".join(f"{option} ?" for option in options)
    return f"INSERT INTO {table} ({names}) VALUES ({markers}){' USING ' if using else ''}{using}"


def _update_cql(table: str, writer: Writer, changes: Mapping[str, object]) -> str:
    assignments = ", ".join(f'"{writer.settable[name].field}" = ?' for name in changes)
    return f"UPDATE {table} SET {assignments} WHERE {_key_cql(writer)}"


def _key_cql(writer: Writer) -> str:
    return " AND ".join(f'"{column.field}" = ?' for column in writer.keys)
