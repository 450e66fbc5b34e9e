"""What is written of an instance, of new values, and of the rows that a query names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from cassandra import InvalidRequest
from cassandra.cqlengine import CQLEngineException, ValidationError
from cassandra.cqlengine.query import QueryException

from .._cqlengine import Model, WhereClause
from ..mapping.instances import (
    UNKNOWN,
    changed_key,
    changes_of,
    forget_changes,
    given_values,
    is_light,
    is_stored,
    make_instance,
    make_light,
    mark_deleted,
    mark_stored,
    mark_written,
    scalar_changes,
    was_read,
)
from ..statements.sending import contents_of
from .assignments import Assignments, key_refusal
from .conditions import check_lengths, render
from .options import PLAIN, WriteOptions
from .writes import (
    bind_delete,
    bind_insert,
    bind_scalars,
    bind_update,
    check_columns,
    send,
)

if TYPE_CHECKING:
    from ..connection.place import Place
    from ..mapping.mapper import Mapper

M = TypeVar("M", bound=Model)


class IncompleteKeyError(QueryException, InvalidRequest):  # type: ignore[misc]
    """A write does not say which rows it is about. Cassandra would refuse it, too."""


# New rows


def insert(model: type[M], given: Mapping[str, object], options: WriteOptions = PLAIN) -> M:
    """Insert a row and return its instance; with a batch, as soon as that is executed.

    :raises ValidationError: naming the column whose value cannot be stored.
    :raises LWTException: if the row exists, and must not.
    """
    mapper: Mapper = model.__mapper__
    query, row = bind_insert(mapper, mapper.place(options.bind), given, options)
    instance = make_instance(model, row)
    if options.batch is not None:
        row["_is_persisted"] = False
    if options.connection is not None:
        row["_connection"] = options.connection
    send(query, options, partial(mark_stored, instance))
    return instance


def _insert_instance(instance: Model, options: WriteOptions) -> None:
    mapper: Mapper = instance.__mapper__
    place = mapper.place(options.bind)
    given = given_values(instance)
    query, row = bind_insert(mapper, place, given, options, defaults=False)
    if options.batch is None:
        send(query, options, partial(make_light, instance, row))
    else:
        query.add_to(options.batch, partial(mark_stored, instance))
        # From here on it is seen what changes after this.
        make_light(instance, row)
        instance.__dict__["_is_persisted"] = False


# Instances


def check_changed_names(instance: Model, given: Mapping[str, object]) -> None:
    """Refuse to change the key of an instance, or what is not a column.

    :raises ValidationError: naming the column.
    """
    mapper: Mapper = instance.__mapper__
    check_columns(mapper, given)
    for name in given.keys() & mapper.primary_key.keys():
        if given[name] != getattr(instance, name):
            raise key_refusal(mapper.writer.by_name[name])


def save_instance(instance: Model, options: WriteOptions = PLAIN) -> None:
    """Insert the row of a new instance, or write what has changed since it was read.

    An instance whose key was changed is another row, which is inserted.

    :raises ValidationError: naming the column whose value cannot be stored.
    :raises LWTException: if a condition did not hold.
    """
    mapper: Mapper = instance.__mapper__
    if mapper.has_counters:
        change_instance(instance, {}, options)
        return
    if is_stored(instance):
        changed = changed_key(instance)
        if not changed:
            change_instance(instance, {}, options)
            return
        unread = [name for name in mapper.columns if not was_read(instance, name)]
        if unread:
            raise ValidationError(
                f"{_key_changed(mapper, changed)} A row of the new key would be written without "
                f"{', '.join(unread)}, which the instance was read without."
            )
    _insert_instance(instance, options)


def change_instance(
    instance: Model, given: Mapping[str, object], options: WriteOptions = PLAIN
) -> None:
    """Write the columns given, and those changed since the instance was read, in one UPDATE.

    :raises ValidationError: naming the column whose value cannot be stored.
    :raises LWTException: if a condition did not hold.
    """
    mapper: Mapper = instance.__mapper__
    if options.if_not_exists:
        raise CQLEngineException(
            f"{mapper.name}: if_not_exists() is for a new row, and this one was read, or is "
            "updated. Use if_exists() or iff(), or create()."
        )
    if options is PLAIN and _change_light(instance, given):
        return
    for name, value in given.items():
        if name not in mapper.primary_key:
            setattr(instance, name, value)
    if changed := changed_key(instance):
        raise ValidationError(
            f"{_key_changed(mapper, changed)} An update would write a part of another row; "
            "save() writes the whole of it."
        )
    pending = None if options.batch is None else contents_of(options.batch).pending(instance)
    changes = changes_of(instance, pending or {}, given if options.is_wanted else ())
    assignments = Assignments()
    written: dict[str, tuple[object, object]] = {}
    for name, (value, previous) in changes.items():
        column = mapper.writer.by_name[name]
        if column.is_key:
            continue
        if value == previous and column.kind != "counter":
            # The same, for the sake of an option: the whole of it.
            previous = UNKNOWN
        stored = assignments.change(column, value, previous)
        # Before the batch is sent, a program may change a collection in place.
        kept = deepcopy(value) if pending is not None and name in mapper.readers else value
        written[name] = kept, stored
    for column in mapper.writer.required:
        if column.name not in written and was_read(instance, column.name):
            column.validate(getattr(instance, column.name))
    if not assignments:
        return
    place = mapper.place(options.bind)
    only_partition = assignments.only_static and _is_static(mapper, options.conditions)
    where = _key_where(mapper, instance, only_partition=only_partition)
    query = bind_update(mapper, place, assignments, where, options)
    send(query, options, partial(mark_written, instance, written))
    if pending is not None:
        pending.update((name, stored) for name, (_, stored) in written.items())


def _change_light(instance: Model, given: Mapping[str, object]) -> bool:
    """Write scalars of a light instance, without a step that these do not need.

    :returns: False if there is more to write, and nothing was done.
    """
    mapper: Mapper = instance.__mapper__
    writer = mapper.writer
    row = instance.__dict__
    originals = scalar_changes(instance)
    wanted = {**{name: row[name] for name in originals}, **given} if originals else given
    if not (wanted.keys() <= writer.scalars.keys() and is_light(instance)):
        return False
    for column in writer.required:
        if column.name not in wanted and column.name in row:
            column.validate(row[column.name])
    kept: dict[str, object] = {}
    texts: list[str] = []
    values: list[object] = []
    for name, value in wanted.items():
        column = writer.scalars[name]
        stored, bound = (
            (value, value) if value.__class__ is column.passthrough else column.convert(value)
        )
        kept[name] = stored
        before = originals[name] if name in originals else row.get(name, UNKNOWN)
        if stored is None or stored != before:
            texts.append(column.equals)
            values.append(bound)
    if texts:
        place = mapper.place()
        for column in writer.keys:
            value = row.get(column.name)
            values.append(
                value if value.__class__ is column.passthrough else column.convert(value)[1]
            )
        bind_scalars(mapper, place, texts, values).execute()
    row.update(kept)
    if originals:
        forget_changes(instance)
    return True


def check_unchanged_key(instance: Model) -> None:
    """Refuse to delete the row of an instance whose key was changed.

    :raises ValidationError: naming the column.
    """
    mapper: Mapper = instance.__mapper__
    if changed := changed_key(instance):
        raise ValidationError(
            f"{_key_changed(mapper, changed)} It is not clear which row shall be deleted: use "
            f"{mapper.name}.objects(...).delete()."
        )


def delete_instance(instance: Model, options: WriteOptions = PLAIN) -> None:
    """Delete the row of an instance, which is a new one then.

    :raises ValidationError: if its key was changed, or lacks a part of the partition key.
    :raises LWTException: if a condition did not hold.
    """
    mapper: Mapper = instance.__mapper__
    check_unchanged_key(instance)
    query = bind_delete(mapper, mapper.place(options.bind), _key_where(mapper, instance), options)
    send(query, options, partial(mark_deleted, instance))
    if options.batch is not None:
        gone = {name: None for name, each in mapper.writer.settable.items() if not each.is_static}
        contents_of(options.batch).pending(instance).update(gone)


def _is_static(mapper: Mapper, conditions: Iterable[WhereClause]) -> bool:
    """Return whether all conditions are on columns that a partition has once."""
    static = {mapper.columns[name].db_field_name for name in mapper.static}
    return all(clause.field in static for clause in conditions)


def _key_changed(mapper: Mapper, changed: Mapping[str, tuple[object, object]]) -> str:
    name, (before, now) = next(iter(changed.items()))
    return (
        f"{mapper.name}.{name}, of the primary key, was changed from {before!r} to {now!r} after "
        "the row was read."
    )


def _key_where(
    mapper: Mapper, instance: Model, *, only_partition: bool = False
) -> list[tuple[str, Sequence[object]]]:
    """Return the conditions that name an instance's row, or its partition.

    :raises ValidationError: naming the column that is missing.
    """
    writer = mapper.writer
    values = {column.name: getattr(instance, column.name) for column in writer.keys}
    if not only_partition:
        # As in cqlengine, an instance without a clustering key stands for its partition.
        only_partition = all(values[name] is None for name in mapper.clustering_key)
    columns = writer.partition if only_partition else writer.keys
    return [(column.equals, [column.convert(values[column.name])[1]]) for column in columns]


# Rows that a query names


def update_rows(
    mapper: Mapper,
    clauses: Sequence[WhereClause],
    values: Mapping[str, object],
    options: WriteOptions,
) -> None:
    """Write columns of the rows that conditions name, in one UPDATE.

    :param values: by the arguments of ``update()``, such as ``tags__add``.
    :raises ValidationError: naming the column or operation that does not exist, or whose value
        cannot be stored.
    :raises QueryException: naming the columns of the key that have no condition.
    :raises LWTException: if a condition did not hold.
    """
    assignments = Assignments()
    for argument, value in values.items():
        assignments.apply(mapper, argument, value)
    if not assignments:
        return
    if options.if_not_exists:
        raise CQLEngineException(
            f"{mapper.name}: if_not_exists() is for create(); update() has if_exists() and iff()."
        )
    keys = mapper.partition_key if assignments.only_static else mapper.primary_key
    _check_rows(mapper, clauses, keys, "update()", IncompleteKeyError)
    query = bind_update(
        mapper,
        _place(mapper, clauses, options),
        assignments,
        [render(clause) for clause in clauses],
        options,
    )
    send(query, options)


def delete_rows(mapper: Mapper, clauses: Sequence[WhereClause], options: WriteOptions) -> None:
    """Delete the rows that conditions name: a row, a range in a partition, or a partition.

    :raises QueryException: naming the columns of the partition key that have no condition.
    :raises LWTException: if a condition did not hold.
    """
    _check_rows(mapper, clauses, mapper.partition_key, "delete()", QueryException)
    place = _place(mapper, clauses, options)
    query = bind_delete(mapper, place, [render(clause) for clause in clauses], options)
    send(query, options)


def _place(mapper: Mapper, clauses: Iterable[WhereClause], options: WriteOptions) -> Place:
    place = mapper.place(options.bind)
    check_lengths(place.connection.settings.guardrails, clauses, mapper.name)
    return place


def _check_rows(
    mapper: Mapper,
    clauses: Iterable[WhereClause],
    keys: Iterable[str],
    what: str,
    error: type[QueryException],
) -> None:
    known = {clause.field for clause in clauses}
    missing = [name for name in keys if mapper.columns[name].db_field_name not in known]
    if missing:
        raise error(
            f"{mapper.name}: {what} needs to know {', '.join(keys)}; there is no filter for "
            f"{', '.join(missing)}. Read the rows and write each, or many with db.bulk_update() "
            "and db.bulk_delete()."
        )
