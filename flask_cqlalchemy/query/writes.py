"""Writes: one statement each, prepared, with every value bound.

An INSERT names every column, or those of a partition alone: what is not given is left unset, and
what is given as None is null.
An UPDATE names the columns that change, and null for those that are removed. Options and conditions
are of the one statement. Its text does not depend on the values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from cassandra.cqlengine import CQLEngineException, ValidationError
from cassandra.cqlengine.query import QueryException, check_applied
from cassandra.query import UNSET_VALUE

from ..mapping.naming import unknown_name
from ..statements.info import StatementInfo, Timed
from ..statements.sending import BoundQuery, bind_query
from .assignments import Assignments
from .conditions import render
from .options import PLAIN, WriteOptions

if TYPE_CHECKING:
    from ..connection.place import Place
    from ..mapping.mapper import Mapper
    from ..mapping.writer import ColumnWriter, Writer

#: What a program may have its own version of, that a write of many rows, or ``create()``, would
#: pass by if it made its statements itself: by the write.
HEARD: Mapping[str, frozenset[str]] = {
    "insert": frozenset({"__init__", "save", "validate", "__dmlquery__", "objects.create"}),
    "update": frozenset({"objects.update"}),
    "delete": frozenset({"objects.delete"}),
}


def makes_itself(mapper: Mapper, verb: str) -> bool:
    """Decide whether a row is written without asking anybody but the columns.

    The rule: a statement is made straight from the values if there is nothing of the program's own
    that this would pass by (``HEARD``), and the row stands for one model alone. Otherwise an
    instance, or the model's query set, writes the row, one as well as many; they make the same
    statement in the end. A model's own ``create()``, ``update()`` and ``delete()`` are called by
    those who call them, as everywhere in Python; where a write of many rows would have to, it is
    refused (``bulk``).
    """
    return mapper.overridden.isdisjoint(HEARD[verb]) and not (
        verb == "insert" and (mapper.is_polymorphic or mapper.has_counters)
    )


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
    place: Place,
    given: Mapping[str, object],
    options: WriteOptions = PLAIN,
    *,
    defaults: bool = True,
) -> tuple[BoundQuery, dict[str, object]]:
    """Make the INSERT of a row; of a partition's own columns alone, if the clustering key is not
    given and nothing but them is.

    :param given: values by the names of attributes.
    :param defaults: whether the others take their defaults; an instance has done so before.
    :returns: the query, and the row by the names of attributes.
    :raises ValidationError: naming the column whose value cannot be stored.
    :raises CQLEngineException: for options that an INSERT does not have.
    """
    writer = mapper.writer
    if options.conditions or options.if_exists:
        raise CQLEngineException(
            f"{mapper.name}: a new row has no condition but if_not_exists(); iff() and if_exists() "
            "are for update(), delete(), and save() of a row that was read."
        )
    only_static = writer.has_static and _is_static_row(mapper, given, defaults=defaults)
    columns = _static_columns(writer) if only_static else writer.columns
    row: dict[str, object] = {}
    values: list[object] = []
    for name, passthrough, column in columns:
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
    if only_static:
        row = {name: row.get(name) for name in writer.by_name}
    used: tuple[str, ...] = ()
    if options is not PLAIN:
        used, bound_options = _using(options)
        values += bound_options
    key = (place.keyspace, "insert", only_static, options.if_not_exists, *used)
    info = mapper.statements.get(key)
    if info is None:
        cql, timed = _insert_cql(_table(mapper, place), columns, options, used)
        info = mapper.remember(key, cql, timed)
    return _bind(mapper, place, info, values, options), row


def _is_static_row(mapper: Mapper, given: Mapping[str, object], *, defaults: bool) -> bool:
    """Return whether what is given is a partition's alone."""
    columns = mapper.writer.by_name
    if not mapper.clustering_key or any(
        given.get(name) is not None or (defaults and name not in given and columns[name].default)
        for name in mapper.clustering_key
    ):
        return False
    return all(
        columns[name].is_static or columns[name].is_key or columns[name].is_null(value)
        for name, value in given.items()
    )


def _static_columns(writer: Writer) -> Sequence[tuple[str, type | None, ColumnWriter]]:
    return [each for each in writer.columns if each[2].is_static or each[2] in writer.partition]


# UPDATE and DELETE


def bind_update(
    mapper: Mapper,
    place: Place,
    assignments: Assignments,
    where: Sequence[tuple[str, Sequence[object]]],
    options: WriteOptions = PLAIN,
) -> BoundQuery:
    """Make an UPDATE.

    :param where: conditions, each with its values.
    """
    used, values = _using(options)
    texts, condition, bound = _clauses(where, options)
    values += [*assignments.values, *bound]
    info = _update_info(mapper, place, assignments.texts, texts, used, condition)
    return _bind(mapper, place, info, values, options, idempotent=assignments.is_idempotent)


def bind_scalars(
    mapper: Mapper, place: Place, texts: Sequence[str], values: Sequence[object]
) -> BoundQuery:
    """Make an UPDATE of a row without options.

    :param texts: the assignments.
    :param values: theirs, and those of the primary key.
    """
    where = [column.equals for column in mapper.writer.keys]
    return _bind(mapper, place, _update_info(mapper, place, texts, where, ()), values, PLAIN)


def _update_info(
    mapper: Mapper,
    place: Place,
    texts: Sequence[str],
    where: Sequence[str],
    used: Sequence[str],
    condition: str = "",
) -> StatementInfo:
    key = (place.keyspace, "update", condition, *used, *texts, "", *where)
    info = mapper.statements.get(key)
    if info is None:
        begin = f"UPDATE {_table(mapper, place)}"
        end = f" SET {', '.join(texts)} WHERE {' AND '.join(where)}{condition}"
        timed = None
        if not condition and "TIMESTAMP" not in used and not mapper.has_counters:
            timed = Timed(f"{begin}{_using_cql([*used, 'TIMESTAMP'])}{end}", len(used))
        info = mapper.remember(key, f"{begin}{_using_cql(used)}{end}", timed)
    return info


def bind_delete(
    mapper: Mapper,
    place: Place,
    where: Sequence[tuple[str, Sequence[object]]],
    options: WriteOptions = PLAIN,
) -> BoundQuery:
    """Make a DELETE.

    :param where: conditions, each with its values.
    """
    used, values = _using(options, has_ttl=False)
    texts, condition, bound = _clauses(where, options)
    values += bound
    key = (place.keyspace, "delete", condition, *used, *texts)
    info = mapper.statements.get(key)
    if info is None:
        begin = f"DELETE FROM {_table(mapper, place)}"
        end = f" WHERE {' AND '.join(texts)}{condition}"
        timed = None
        if not condition and not used and not mapper.has_counters:
            timed = Timed(f"{begin}{_using_cql(['TIMESTAMP'])}{end}", 0)
        info = mapper.remember(key, f"{begin}{_using_cql(used)}{end}", timed)
    return _bind(mapper, place, info, values, options)


def bind_change(mapper: Mapper, place: Place, given: Mapping[str, object]) -> BoundQuery:
    """Make the UPDATE of a row that was not read. None removes a value.

    :param given: the whole primary key, and the columns to write.
    :raises ValidationError: naming the column whose value cannot be stored.
    """
    assignments = Assignments()
    for name, value in given.items():
        if name not in mapper.primary_key:
            assignments.apply(mapper, name, value)
    keys = mapper.writer.partition if assignments.only_static else mapper.writer.keys
    where = [(column.equals, [column.convert(given[column.name])[1]]) for column in keys]
    return bind_update(mapper, place, assignments, where)


def bind_removal(mapper: Mapper, place: Place, key: Mapping[str, object]) -> BoundQuery:
    """Make the DELETE of a row, by its whole primary key.

    :raises ValidationError: naming the column whose value cannot be stored.
    """
    where = [
        (column.equals, [column.convert(key[column.name])[1]]) for column in mapper.writer.keys
    ]
    return bind_delete(mapper, place, where)


def _clauses(
    where: Sequence[tuple[str, Sequence[object]]], options: WriteOptions
) -> tuple[list[str], str, list[object]]:
    """Return the conditions of a WHERE and the IF behind them, and the values of both."""
    conditions = [render(clause) for clause in options.conditions]
    values = [value for _, bound in (*where, *conditions) for value in bound]
    condition = _if_cql([text for text, _ in conditions], options)
    return [text for text, _ in where], condition, values


# Sending


def _bind(
    mapper: Mapper,
    place: Place,
    info: StatementInfo,
    values: Sequence[object],
    options: WriteOptions,
    *,
    idempotent: bool = True,
) -> BoundQuery:
    return bind_query(
        place,
        info,
        values,
        subject=mapper.name,
        idempotent=idempotent and not options.is_conditional,
        consistency=mapper.consistency if options.consistency is None else options.consistency,
    )


def send(
    query: BoundQuery, options: WriteOptions, written: Callable[[], object] | None = None
) -> None:
    """Execute a write, or add it to its batch.

    :param written: called as soon as it has been sent.
    :raises LWTException: if a condition did not hold.
    """
    if options.batch is not None:
        query.add_to(options.batch, written)
        return
    rows = query.execute(timeout=options.timeout)
    if options.is_conditional:
        check_applied(rows)
    if written is not None:
        written()


# Texts


def _table(mapper: Mapper, place: Place) -> str:
    """Return the table that a statement writes to, as its text is made.

    :raises QueryException: if it is a view.
    """
    if mapper.is_view:
        raise QueryException(
            f"{mapper.name} is over a materialised view, which Cassandra keeps by itself: write to "
            "the model of its table."
        )
    return mapper.qualified(place.keyspace)


def _using(options: WriteOptions, *, has_ttl: bool = True) -> tuple[tuple[str, ...], list[object]]:
    """Return the options of a USING, and their values."""
    given = {"TTL": options.ttl if has_ttl else None, "TIMESTAMP": options.microseconds()}
    used = {name: value for name, value in given.items() if value is not None}
    return tuple(used), [*used.values()]


def _using_cql(used: Sequence[str]) -> str:
    return f" USING {' AND '.join(f'{name} ?' for name in used)}" if used else ""


def _if_cql(conditions: Sequence[str], options: WriteOptions) -> str:
    if conditions:
        return f" IF {' AND '.join(conditions)}"
    return " IF EXISTS" if options.if_exists else ""


def _insert_cql(
    table: str,
    columns: Sequence[tuple[str, type | None, ColumnWriter]],
    options: WriteOptions,
    used: Sequence[str],
) -> tuple[str, Timed | None]:
    names = ", ".join(f'"{column.field}"' for _, _, column in columns)
    markers = ", ".join("?" * len(columns))
    cql = f"INSERT INTO {table} ({names}) VALUES ({markers})"
    if options.if_not_exists:
        return f"{cql} IF NOT EXISTS{_using_cql(used)}", None
    timed = None
    if "TIMESTAMP" not in used:
        timed = Timed(f"{cql}{_using_cql([*used, 'TIMESTAMP'])}", len(columns) + len(used))
    return f"{cql}{_using_cql(used)}", timed
