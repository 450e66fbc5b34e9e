"""A column of every type that Cassandra has, for the models of several modules."""

from __future__ import annotations

from typing import Any

from flask_cqlalchemy import columns as c


def columns_of_every_type(user_type: type[Any]) -> dict[str, c.Column]:
    """Return new columns, each named after its type; ``c_udt`` holds a ``user_type``."""
    return {
        "c_ascii": c.Ascii(),
        "c_bigint": c.BigInt(),
        "c_blob": c.Blob(),
        "c_boolean": c.Boolean(),
        "c_date": c.Date(),
        "c_datetime": c.DateTime(),
        "c_decimal": c.Decimal(),
        "c_double": c.Double(),
        "c_duration": c.Duration(),
        "c_float": c.Float(),
        "c_inet": c.Inet(),
        "c_integer": c.Integer(),
        "c_list": c.List(c.Integer),
        "c_map": c.Map(c.Text, c.Integer),
        "c_set": c.Set(c.Text),
        "c_smallint": c.SmallInt(),
        "c_text": c.Text(),
        "c_time": c.Time(),
        "c_timeuuid": c.TimeUUID(),
        "c_tinyint": c.TinyInt(),
        "c_tuple": c.Tuple(c.Integer, c.Text),
        "c_udt": c.UserDefinedType(user_type),
        "c_uuid": c.UUID(),
        "c_varint": c.VarInt(),
    }
