"""JSON of models, rows, pages and Cassandra's types.

Three ways, with one output. ``install`` lets whatever JSON provider an application has write models
(``jsonify(post)``). ``CassandraJSONProvider`` is a faster provider, for whoever wants it. And rows
become bytes without instances (``to_json``): the encoders of the model's schema are applied to what
the driver gave, column by column, and orjson writes the result.
"""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime, time, timedelta, timezone
from typing import TYPE_CHECKING, Any, cast

import orjson
from cassandra import util
from cassandra.cqlengine.usertype import BaseUserType
from flask import Flask, Response
from flask.json.provider import DefaultJSONProvider
from marshmallow import missing
from marshmallow.decorators import POST_DUMP, PRE_DUMP

from .columns import ColumnField, find_encode
from .columns import formats as f
from .columns.fields import ENCODING_FAILURES, as_text, json_order, to_dict
from .columns.table import KNOWN_MODULES
from .errors import EncodingError
from .models import BoundModel, definition_of
from .protocol import OutOfRangeTimestamp, UndecodableValue
from .query import QuerySet
from .schemas import Schema, column_field, schema_for

if TYPE_CHECKING:
    from cassandra.cqlengine.columns import Column

Row = dict[str, Any]

#: What a provider calls for an object that its library cannot write.
Default = Callable[[Any], Any]

#: orjson writes these itself, as their encoders would.
_NATIVE = frozenset({f.encode_uuid})

#: Of a collection whose elements need no encoding, the type in which rows have it.
_UNCHANGED: dict[Any, type] = {list: list, to_dict: dict}

#: How orjson writes a ``datetime`` without a time zone: as RFC 3339, in UTC.
_TIMES = orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z

#: Or it would write ours as their fields.
_NO_DATACLASSES = orjson.OPT_PASSTHROUGH_DATACLASS

#: Of what it writes, quotation mark and all: the length where there are microseconds, and where the
#: seconds and the milliseconds end.
_WITH_FRACTION = len('"2030-12-31T23:59:59.999000Z"')
_KNOWN_LENGTHS = {_WITH_FRACTION, len('"2030-12-31T23:59:59Z"'), len("null")}
_SECONDS_END = len('"2030-12-31T23:59:59')
_MILLISECONDS_END = len('"2030-12-31T23:59:59.999')


# From rows


class RowEncoder:
    """Turns the rows of a query into what JSON has, as a schema would the instances."""

    def __init__(self, schema: Schema, columns: Mapping[str, Column]) -> None:
        self._fields: dict[str, tuple[str, ColumnField]] = {}
        for name, field in schema.dump_fields.items():
            assert isinstance(field, ColumnField)  # noqa: S101 - _make_row_encoder has looked
            column = columns[field.attribute or name]
            self._fields[column.db_field_name] = (field.data_key or name, field)
        self._is_renaming = any(name != key for name, (key, _) in self._fields.items())

    def encode(self, rows: Sequence[Row]) -> Sequence[Row]:
        """Return the rows for orjson. It takes them over.

        :raises EncodingError: naming the column whose value JSON cannot have.
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
    """Encode a column of timestamps in one call of orjson, in a fifth of the time of a call each.

    :returns: False, and does nothing, if there is one that no ``datetime`` can hold.
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


def _is_known(column: Column) -> bool:
    """Say whether a row has the values of a column as an instance has them, at any depth."""
    return type(column).to_python.__module__ in KNOWN_MODULES and all(
        map(_is_known, column.sub_types)
    )


def find_row_encoder(schema: Schema) -> RowEncoder | None:
    """Return what encodes rows as ``schema`` dumps instances; None if only the schema can."""
    if schema._row_encoder is None:
        # A cycle of the two, rather than a table that would keep both.
        schema._row_encoder = _make_row_encoder(schema) or _NO_ENCODER
    return None if schema._row_encoder is _NO_ENCODER else schema._row_encoder


_NO_ENCODER = object()


def _make_row_encoder(schema: Schema) -> RowEncoder | None:
    model = schema.opts.model
    if model is None or not getattr(model, "_is_plain", False):
        return None
    kind = type(schema)
    attributes = [field.attribute or name for name, field in schema.dump_fields.items()]
    is_plain = (
        len(set(attributes)) == len(attributes)
        and not schema._hooks[PRE_DUMP]
        and not schema._hooks[POST_DUMP]
        and kind.get_attribute is Schema.get_attribute
        and kind._serialize is Schema._serialize
        and kind.dump is Schema.dump
        and all(
            isinstance(field, ColumnField)
            and _overrides_nothing(type(field))
            and field.dump_default is missing
            and (field.attribute or name) in model._columns
            and _is_known(model._columns[field.attribute or name])
            for name, field in schema.dump_fields.items()
        )
    )
    return RowEncoder(schema, model._columns) if is_plain else None


def _overrides_nothing(kind: type[ColumnField]) -> bool:
    return (
        kind._serialize is ColumnField._serialize
        and kind.encoded is ColumnField.encoded
        and kind.serialize is ColumnField.serialize
        and kind.get_value is ColumnField.get_value
    )


def _refuse(value: Any) -> Any:
    if isinstance(value, UndecodableValue):
        raise EncodingError(str(value))
    raise TypeError(f"a {type(value).__name__} cannot be written as JSON")


def write(document: Any, items: Iterable[Any] = (), schema: Schema | None = None) -> bytes:
    """Return the JSON of what encoders and schemas give.

    :param items: the objects in it that are of ``schema``, to say whose value is at fault.
    :raises EncodingError: if there is a value in it that JSON cannot have.
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


def _is_writable(value: Any) -> bool:
    try:
        orjson.dumps(value, default=_refuse, option=_NO_DATACLASSES)
    except TypeError:
        return False
    return True


def schema_of(queryset: QuerySet, schema: Schema | None) -> Schema:
    """Return by which schema a query's rows are written.

    :raises TypeError: if the one given cannot be it.
    """
    if schema is None:
        return schema_for(queryset.model)
    if not isinstance(schema, Schema) or schema.opts.model is None:
        raise TypeError(f"{schema!r} is no instance of a db.Schema with a model in class Meta.")
    if queryset._values_list:
        raise TypeError("values_list() says what is written: there is nothing for a schema to say.")
    return schema


def plain_rows(queryset: QuerySet, rows: Sequence[Row], schema: Schema | None = None) -> Any:
    """Return the rows of a query for ``write``: a list of objects, or what ``values_list()`` asks.

    :param rows: by the names of columns in CQL; they are taken over.
    :param schema: what to write of them; all, unless given.
    """
    known = schema_of(queryset, schema)
    is_its_own = definition_of(queryset.model) is definition_of(cast("type[Any]", known.opts.model))
    encoder = find_row_encoder(known) if is_its_own and not queryset._values_list else None
    if encoder is None:
        return dump_items(queryset, queryset._construct_page(list(rows)), known)
    fixed = queryset.known_values()
    return encoder.encode([fixed | row for row in rows] if fixed else rows)


def dump_items(queryset: QuerySet, items: Iterable[Any], schema: Schema | None = None) -> Any:
    """Return what ``plain_rows`` does of what a query has given."""
    if queryset._values_list:
        return _plain_values(queryset, items)
    return schema_of(queryset, schema).dump(items, many=True)


def _plain_values(queryset: QuerySet, items: Iterable[Any]) -> list[Any]:
    """Return what ``values_list()`` gave, encoded."""
    model = queryset.model
    names = [model._db_map.get(field, field) for field in queryset._only_fields]
    encoders = [column_field(model, name).encoded for name in names]
    if queryset._flat_values_list:
        return [encoders[0](item) for item in items]
    return [[encode(value) for encode, value in zip(encoders, item, strict=True)] for item in items]


def to_json(queryset: QuerySet, schema: Schema | None = None) -> bytes:
    """Return the rows of a query as JSON: what ``schema.dumps(queryset, many=True)`` says.

    :param schema: what to write of a row; the model's ``AutoSchema`` unless given.
    :raises EncodingError: naming the column whose value JSON cannot have.
    :raises GuardrailError: as iterating over the query set does.
    """
    known = schema_of(queryset, schema)
    if queryset._result_cache is not None:
        items = dump_items(queryset, queryset, schema)
    else:
        items = plain_rows(queryset, queryset.raw_rows(), schema)
    return write(items, items, known)


# In the application's provider


def _sorted(values: Iterable[Any]) -> list[Any]:
    return sorted(values, key=_order)


def _simple(value: Any) -> Any:
    """Return a value whose parts at most are unknown to a JSON library."""
    return value if isinstance(value, _SIMPLE) else to_plain(value)


_SIMPLE = (str, int, float, list, tuple, dict, type(None))


def _order(value: Any) -> tuple[bool, Any]:
    if isinstance(value, int | float):
        return False, value
    return True, value if isinstance(value, str) else json_order(_simple(value), to_plain)


def _plain_mapping(mapping: Mapping[Any, Any]) -> dict[str, Any]:
    return {as_text(_simple(key), to_plain): value for key, value in mapping.items()}


def _plain_instance(instance: Any) -> Any:
    return schema_for(type(instance)).dump(instance)


def _refuse_undecodable(value: UndecodableValue) -> Any:
    raise EncodingError(str(value))


#: How the kit's own classes and the driver's collections are written. What single values look like,
#: the column table says.
_BY_CLASS: dict[type, Callable[[Any], Any]] = {
    UndecodableValue: _refuse_undecodable,
    OutOfRangeTimestamp: f.encode_timestamp,
    BoundModel: _plain_instance,
    BaseUserType: _plain_instance,
    QuerySet: lambda queryset: dump_items(queryset, queryset),
    util.SortedSet: _sorted,
    util.OrderedMap: _plain_mapping,
    set: _sorted,
    frozenset: _sorted,
    bytearray: f.encode_blob,
}

#: Those that Flask would take for a dataclass of the program's.
_OWN_DATACLASSES: list[type] = [UndecodableValue, OutOfRangeTimestamp]


def add_plain(kind: type, encode: Callable[[Any], Any], *, is_dataclass: bool = False) -> None:
    """Have providers write a class of the kit."""
    _BY_CLASS[kind] = encode
    if is_dataclass:
        _OWN_DATACLASSES.append(kind)


def _find_plain(kind: type) -> Callable[[Any], Any] | None:
    """Return what encodes the values of a class that a JSON library does not know."""
    for base in kind.__mro__:
        encode = _BY_CLASS.get(base) or find_encode(base)
        if encode is not None:
            return encode
    return None


def to_plain(value: Any) -> Any:
    """Return what JSON has for a value that a JSON library does not know.

    :raises TypeError: if the kit does not know it either.
    :raises EncodingError: if its bytes in the table made no value.
    """
    encode = _find_plain(type(value))
    if encode is None:
        raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")
    return encode(value)


def chain(before: Default) -> Default:
    """Return a ``default`` that asks ``before`` first: what it knows, it writes as it did."""

    def default(value: Any) -> Any:
        if isinstance(value, tuple(_OWN_DATACLASSES)):
            return to_plain(value)
        try:
            return before(value)
        except TypeError:
            encode = _find_plain(type(value))
            if encode is None:
                raise
        # Outside the handler, or an error of ours would show the one of the other.
        return encode(value)

    return default


def install(app: Flask) -> None:
    """Have the application's JSON provider write models, pages and Cassandra's types.

    What the provider writes already stays as it is. One without a ``default``, or with one that
    cannot be replaced, is left alone.
    """
    before = getattr(app.json, "default", None)
    if callable(before):
        with suppress(AttributeError):
            app.json.default = chain(before)  # type: ignore[attr-defined]


# A faster provider

#: An integer may be too large for orjson, which would read it as a double.
_MANY_DIGITS = re.compile(rb"[0-9]{19}")


def _write_datetime(moment: datetime) -> str:
    offset = moment.utcoffset()
    if offset is not None and offset % timedelta(minutes=1):
        # Local mean time: RFC 3339 has no seconds in an offset.
        moment, offset = moment.astimezone(timezone.utc), timedelta()
    return moment.isoformat() if offset else f"{moment.replace(tzinfo=None).isoformat()}Z"


def _default(value: Any) -> Any:
    if isinstance(value, datetime):
        return _write_datetime(value)
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, enum.Enum):
        return value.value
    return DefaultJSONProvider.default(value)


#: Classes that ``default`` is asked about: orjson rounds an offset with seconds, and leaves out the
#: fields of a dataclass that begin with an underscore.
_ASK = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS


class CassandraJSONProvider(DefaultJSONProvider):
    """A JSON provider on orjson: ``app.json = CassandraJSONProvider(app)``, before ``init_app``.

    Beside models and Cassandra's types it writes a ``datetime`` as RFC 3339, one without a time
    zone being in UTC, where Flask's writes an HTTP date, and NaN and infinities as null. What
    orjson refuses (integers of more than 64 bits, keys that are no strings, halves of surrogate
    pairs) is written and read by the standard library, as before.
    """

    default = staticmethod(chain(_default))

    def dumps(self, obj: Any, **options: Any) -> str:
        """Write JSON; any option of ``json.dumps`` leads to the standard library."""
        if not options:
            try:
                return self._write(obj).decode()
            except TypeError:
                # orjson says this for all that it refuses; the other says what is wrong, or can.
                pass
        return super().dumps(obj, **options)

    def loads(self, s: str | bytes, **options: Any) -> Any:
        """Read JSON; any option of ``json.loads`` leads to the standard library."""
        data = s.encode("utf-8", "surrogatepass") if isinstance(s, str) else s
        if not (options or _MANY_DIGITS.search(data)):
            try:
                return orjson.loads(data)
            except orjson.JSONDecodeError:
                # The other reads NaN, and other encodings than UTF-8.
                pass
        try:
            return json.loads(s, **options)
        except RecursionError:
            raise ValueError("JSON that is nested too deeply") from None

    def response(self, *args: Any, **kwargs: Any) -> Response:
        """Return a response with the arguments as JSON, indented in debug mode."""
        obj = self._prepare_response_obj(args, kwargs)
        is_indented = self.compact is False or (self.compact is None and self._app.debug)
        try:
            body = self._write(obj, orjson.OPT_INDENT_2 if is_indented else 0)
        except TypeError:
            return super().response(*args, **kwargs)  # type: ignore[return-value]
        make: Any = self._app.response_class
        made: Response = make(body + b"\n", mimetype=self.mimetype)
        return made

    def _write(self, obj: Any, option: int = 0) -> bytes:
        if self.sort_keys:
            option |= orjson.OPT_SORT_KEYS
        return orjson.dumps(obj, default=self.default, option=option | _ASK)
