"""Schemas in an OpenAPI document, by apispec's marshmallow plugin, without adapters."""

from __future__ import annotations

from typing import Any

import pytest
from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from openapi_spec_validator import OpenAPIV30SpecValidator, OpenAPIV31SpecValidator

from flask_cqlalchemy import CQLAlchemy
from flask_cqlalchemy.schemas import schema_class_for

db = CQLAlchemy()
c = db.columns


class Venue(db.UserType):
    street = c.Text(required=True)
    rooms = c.List(c.Integer)


class Event(db.Model):
    id = c.TimeUUID(primary_key=True)
    slot = c.SmallInt(primary_key=True, default=1)
    title = c.Text(required=True, max_length=80)
    code = c.Ascii()
    price = c.Decimal()
    seats = c.VarInt()
    tiny = c.TinyInt()
    big = c.BigInt()
    ratio = c.Float()
    score = c.Double()
    is_open = c.Boolean()
    at = c.DateTime()
    day = c.Date()
    hour = c.Time()
    length = c.Duration()
    host = c.Inet()
    picture = c.Blob()
    number = c.UUID(default=None)
    embedding = c.Vector(3)
    tags = c.Set(c.Text)
    notes = c.List(c.Text)
    prices = c.Map(c.UUID, c.Decimal)
    venue = c.UserDefinedType(Venue)
    venues = c.Map(c.Text, c.List(c.UserDefinedType(Venue)))
    pair = c.Tuple(c.Integer, c.Text)
    keys_ = c.Text(db_field="keys")


class Clicks(db.Model):
    page = c.Text(primary_key=True)
    number = c.Counter()


def document(version: str) -> dict[str, Any]:
    """A document with a path that takes and gives events."""
    spec = APISpec(
        title="Events", version="1", openapi_version=version, plugins=[MarshmallowPlugin()]
    )
    spec.components.schema("Clicks", schema=schema_class_for(Clicks))
    event = schema_class_for(Event)
    content = {"application/json": {"schema": event}}
    spec.path(
        "/events",
        operations={
            "post": {
                "requestBody": {"content": content},
                "responses": {"200": {"description": "The event.", "content": content}},
            }
        },
    )
    return spec.to_dict()


@pytest.mark.parametrize(
    ("version", "validator"),
    [("3.0.3", OpenAPIV30SpecValidator), ("3.1.0", OpenAPIV31SpecValidator)],
)
def test_the_document_is_valid(version: str, validator: Any) -> None:
    validator(document(version)).validate()


def test_the_document_says_what_the_columns_do() -> None:
    found = document("3.1.0")["components"]["schemas"]
    event = found["Event"]["properties"]

    assert sorted(found["Event"]["required"]) == ["id", "title"]
    assert event["id"] == {"type": "string", "format": "uuid"}
    assert event["slot"] == {"type": "integer", "minimum": -32768, "maximum": 32767}
    assert event["title"] == {"type": "string", "minLength": 1, "maxLength": 80}
    assert event["price"] == {"type": ["string", "null"], "format": "decimal"}
    assert event["seats"] == {"type": ["string", "null"], "pattern": "^-?[0-9]+$"}
    assert event["at"] == {"type": ["string", "null"], "format": "date-time"}
    assert event["picture"] == {"type": ["string", "null"], "format": "byte"}
    assert event["length"] == {"type": ["string", "null"], "format": "duration"}
    assert event["embedding"] == {
        "type": ["array", "null"],
        "items": {"type": "number", "format": "float"},
        "minItems": 3,
        "maxItems": 3,
    }
    assert event["tags"]["uniqueItems"] is True
    assert event["prices"]["additionalProperties"] == {"type": "string", "format": "decimal"}
    assert event["venue"]["anyOf"][0] == {"$ref": "#/components/schemas/Venue"}
    assert event["pair"]["type"] == ["array", "null"]
    assert event["keys"] == {"type": ["string", "null"]}
    assert found["Clicks"]["properties"]["number"]["readOnly"] is True
    assert found["Venue"]["required"] == ["street"]
