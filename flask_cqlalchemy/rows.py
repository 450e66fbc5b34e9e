"""The rows of a query as JSON, without instances.

The encoders of the model's schema are applied to what the driver gave, column by column, and orjson
writes the result. What only a schema can do (hooks, overridden methods, fields of a program's own)
is done by the schema, on instances: the output is the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, cast

import orjson

from .columns import ColumnField
from .columns import formats as f
from .columns.fields import ENCODING_FAILURES, to_dict
from .errors import EncodingError
from .mapping.mapper import mapper_of
from .protocol import UndecodableValue
from .schemas import Schema, column_field, schema_for

if TYPE_CHECKING:
    from cassandra.cqlengine.columns import Column

    from .query.base import Query, Row

#: Encoders whose values orjson writes alike by itself.
_NATIVE = frozenset({f.encode_uuid})

#: The type of a collection in rows, by the encoder of one whose elements need no encoding.
_UNCHANGED: dict[object, type] = {list: list, to_dict: dict}

#: How orjson writes a ``datetime`` without a time zone: as RFC 3339, in UTC.
_TIMES = orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z

#: Otherwise orjson would write the kit's own dataclasses field by field.
_NO_DATACLASSES = orjson.OPT_PASSTHROUGH_DATACLASS

#: Lengths and cut positions in orjson's text for a timestamp, including the quotes (measured by
#: ``tests/benchmarks``, rows to JSON).
_WITH_FRACTION = len('"2030-12-31T23:59:59.999000Z"')
_KNOWN_LENGTHS = {_WITH_FRACTION, len('"2030-12-31T23:59:59Z"'), len("null")}
_SECONDS_END = len('"2030-12-31T23:59:59')
_MILLISECONDS_END = len('"2030-12-31T23:59:59.999')


class RowEncoder:
    """Turns the rows of a query into what JSON has, as a schema would the instances."""

    def __init__(self, schema: Schema, columns: Mapping[str, Column]) -> None:
        self._fields: dict[str, tuple[str, ColumnField]] = {}
        for name, field in schema.dump_fields.items():
            assert isinstance(field, ColumnField)  # noqa: S101 - Schema.encodes_columns has looked
            column = columns[field.attribute or name]
            self._fields[column.db_field_name] = (field.data_key or name, field)
        self._is_renaming = any(name != key for name, (key, _) in self._fields.items())

    def encode(self, rows: Sequence[Row]) -> Sequence[Row]:
        """Return the rows for orjson. It takes them over.

        :raises EncodingError: naming the column whose value cannot be written as JSON.
        """
        if not rows:
            return rows
        for name, (_, field) in self._fields.items():
            if name in rows[0]:
                _encode_column(rows, name, field)
        if self._is_renaming or list(self._fields) != list(rows[0]):
            kept = [(name, key) for name, (key, _) in self._fields.items() if name in rows[0]]
            return [{key: row[name] for name, key in kept} for row in rows]
        return rows


def _encode_column(rows: Sequence[Row], name: str, field: ColumnField) -> None:
    encode, null = field.encode, field.null
    if encode is None or encode in _NATIVE:
        return
    if encode is f.encode_timestamp and _encode_timestamps(rows, name):
        return
    unchanged = _UNCHANGED.get(encode)
    value = None
    try:
        for row in rows:
            value = row[name]
            if value is None:
                if null is not None:
                    row[name] = null()
            elif value.__class__ is not unchanged:
                row[name] = encode(value)
    except ENCODING_FAILURES as problem:
        raise field.error_for(value, problem) from problem


def _encode_timestamps(rows: Sequence[Row], name: str) -> bool:
    """Encode a column of timestamps in one call of orjson, five times as fast as one call each.

    :returns: False, with nothing done, if no ``datetime`` can hold one of the timestamps.
    """
    try:
        text = orjson.dumps([row[name] for row in rows], option=_TIMES | _NO_DATACLASSES).decode()
    except TypeError:
        return False
    moments = text[1:-1].split(",")
    if not _KNOWN_LENGTHS.issuperset(map(len, moments)):
        # With an offset, in what the query gave.
        return False
    for row, moment in zip(rows, moments, strict=True):
        if len(moment) == _WITH_FRACTION:
            row[name] = moment[1:_MILLISECONDS_END] + "Z"
        elif moment != "null":
            row[name] = moment[1:_SECONDS_END] + ".000Z"
    return True


def find_row_encoder(schema: Schema) -> RowEncoder | None:
    """Return what encodes rows as ``schema`` dumps instances; None if that takes instances."""
    if not schema.encodes_columns:
        return None
    mapper = mapper_of(schema.opts.model)
    if mapper is None or not mapper.makes_light:
        return None
    encoder: RowEncoder | None = schema.kept.get(RowEncoder)
    if encoder is None:
        encoder = schema.kept[RowEncoder] = RowEncoder(schema, mapper.columns)
    return encoder


def _refuse(value: object) -> NoReturn:
    if isinstance(value, UndecodableValue):
        raise EncodingError(str(value))
    raise TypeError(f"a {type(value).__name__} cannot be written as JSON")


def write(document: object, items: Iterable[object] = (), schema: Schema | None = None) -> bytes:
    """Return the JSON of what encoders and schemas give.

    :param items: the objects in it that ``schema`` describes, to name the column at fault.
    :raises EncodingError: if a value in it cannot be written as JSON.
    """
    try:
        return orjson.dumps(document, default=_refuse, option=_NO_DATACLASSES)
    except TypeError as error:
        labels = {field.data_key or name: field for name, field in _fields_of(schema)}
        for item in items if labels else ():
            for key, value in item.items() if isinstance(item, dict) else ():
                if not _is_writable(value):
                    label = getattr(labels.get(key), "label", key)
                    raise EncodingError(f"{label}: {error.__cause__ or error}") from error
        raise EncodingError(str(error.__cause__ or error)) from error


def _fields_of(schema: Schema | None) -> Iterable[tuple[str, Any]]:
    return () if schema is None else schema.dump_fields.items()


def _is_writable(value: object) -> bool:
    try:
        orjson.dumps(value, default=_refuse, option=_NO_DATACLASSES)
    except TypeError:
        return False
    return True


def schema_of(query: Query, schema: Schema | None) -> Schema:
    """Return the schema by which a query's rows are written.

    :raises TypeError: if the given schema cannot describe them.
    """
    if schema is None:
        return schema_for(query.model)
    if not isinstance(schema, Schema) or schema.opts.model is None:
        raise TypeError(f"{schema!r} is not an instance of a db.Schema with a model in class Meta.")
    if query.listed is not None:
        raise TypeError("values_list() and a schema both say what is written: use one of them.")
    return schema


def json_rows(query: Query, rows: Sequence[Row], schema: Schema) -> Any:
    """Return the rows of a query for ``write``: a list of objects, or what ``values_list()`` asks.

    :param rows: by the names of columns in CQL; they are taken over.
    :param schema: what ``schema_of`` returned.
    """
    encoder = None
    if query.listed is None:
        mapper = mapper_of(schema.opts.model)
        is_its_own = mapper is not None and mapper.definition is query.mapper.definition
        encoder = find_row_encoder(schema) if is_its_own else None
    if encoder is None:
        return json_items(query, query.make_items(list(rows)), schema)
    fixed = query.known_values()
    return encoder.encode([fixed | row for row in rows] if fixed else rows)


def json_items(query: Query, items: Iterable[object], schema: Schema) -> Any:
    """Return what ``json_rows`` does of what a query has given."""
    names = query.listed
    if names is None:
        return schema.dump(items, many=True)
    encoders = [column_field(query.model, name).encoded for name in names]
    if query.is_flat:
        return [encoders[0](item) for item in items]
    lists = cast("Iterable[list[object]]", items)
    return [[encode(value) for encode, value in zip(encoders, item, strict=True)] for item in lists]


def to_json(query: Query, schema: Schema | None = None) -> bytes:
    """Return the rows of a query set as JSON: what ``schema.dumps(query, many=True)`` says.

    :param schema: says what to write of a row; the model's ``AutoSchema`` unless given.
    :raises EncodingError: naming the column whose value cannot be written as JSON.
    :raises GuardrailError: as iterating over the query set does.
    """
    known = schema_of(query, schema)
    if query.has_items:
        items = json_items(query, query, known)
    else:
        items = json_rows(query, query.raw_rows(), known)
    return write(items, items, known)
