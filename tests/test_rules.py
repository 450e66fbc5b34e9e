"""What is wrong with a value is told once, by the stricter of two rules about the same thing."""

from __future__ import annotations

from typing import Any

import pytest
from marshmallow import ValidationError, validate

from flask_cqlalchemy import CQLAlchemy, columns

LONG = "x" * 90


def errors(column: Any, value: object, *rules: Any, own: Any = None) -> list[str]:
    """What a schema says of a value of a column, which has further rules of the program."""
    db = CQLAlchemy()

    class Thing(db.Model):
        __schema_fields__ = {"value": {"validate": own}} if own else {}
        id = db.columns.Integer(primary_key=True)
        value = column

    class ThingSchema(db.AutoSchema):
        class Meta:
            model = Thing

        if rules:
            value = db.auto_field(validate=list(rules))

    found = ThingSchema().validate({"id": 1, "value": value})
    assert found.keys() <= {"value"}
    return found.get("value", [])


@pytest.mark.parametrize(
    ("column", "value", "rules", "told"),
    [
        (
            lambda: columns.Text(required=True),
            "",
            [validate.Length(min=1)],
            ["Shorter than minimum length 1."],
        ),
        (
            lambda: columns.Text(required=True),
            "",
            [validate.Length(min=1, error="Say something.")],
            ["Say something."],
        ),
        (
            lambda: columns.Text(required=True),
            "",
            [validate.Length(min=3, max=80)],
            ["Length must be between 3 and 80."],
        ),
        (
            lambda: columns.Text(required=True, max_length=80),
            LONG,
            [validate.Length(max=100)],
            ["Length must be between 1 and 80."],
        ),
        (
            lambda: columns.Text(required=True, max_length=80),
            "",
            [validate.Length(min=2), validate.Length(max=50)],
            ["Shorter than minimum length 2."],
        ),
        (
            lambda: columns.Text(required=True, max_length=80),
            LONG,
            [validate.Length(min=2), validate.Length(max=50)],
            ["Longer than maximum length 50."],
        ),
        (
            lambda: columns.Text(min_length=3),
            "",
            [validate.Length(min=1, max=5)],
            ["Shorter than minimum length 3."],
        ),
        (
            lambda: columns.Text(max_length=5),
            LONG,
            [validate.Length(equal=3)],
            ["Length must be 3."],
        ),
        (
            lambda: columns.Ascii(required=True),
            "",
            [validate.Length(min=1)],
            ["Shorter than minimum length 1."],
        ),
        (
            lambda: columns.Integer(),
            2**40,
            [validate.Range(min=1, max=5)],
            ["Must be greater than or equal to 1 and less than or equal to 5."],
        ),
        (
            lambda: columns.TinyInt(),
            1000,
            [validate.Range(max=10_000)],
            ["Must be greater than or equal to -128 and less than or equal to 127."],
        ),
        (
            lambda: columns.TinyInt(),
            127,
            [validate.Range(max=127, max_inclusive=False)],
            ["Must be less than 127."],
        ),
        (
            lambda: columns.Integer(),
            0,
            [validate.Range(min=1)],
            ["Must be greater than or equal to 1."],
        ),
        (
            lambda: columns.List(columns.Integer),
            [0] * 70_000,
            [validate.Length(max=10)],
            ["Longer than maximum length 10."],
        ),
        (
            lambda: columns.Vector(3),
            [1.0],
            [validate.Length(min=2)],
            ["Length must be 3."],
        ),
    ],
)
def test_a_limit_is_told_once(
    column: Any, value: object, rules: list[Any], told: list[str]
) -> None:
    assert errors(column(), value, *rules) == told
    assert errors(column(), value, own=rules) == told


def test_a_rule_of_the_model_and_one_of_the_schema_are_told_once() -> None:
    told = errors(
        columns.Text(required=True), LONG, validate.Length(max=50), own=validate.Length(max=60)
    )
    assert told == ["Longer than maximum length 50."]


def test_rules_about_different_things_are_all_told() -> None:
    told = errors(columns.Text(max_length=5), LONG, validate.Regexp("[0-9]"), validate.Email())
    assert len(told) == 3


class Never(validate.Length):
    """A rule of the program's about a length."""

    def __call__(self, value: Any) -> Any:
        raise ValidationError("Never." if value else "")


def test_a_program_s_own_rule_about_a_length_is_always_asked() -> None:
    assert errors(columns.Text(required=True), "ok", Never(min=1)) == ["Never."]


class Slug(columns.Text):
    """A text that is validated by its column too."""

    def validate(self, value: Any) -> Any:
        value = super().validate(value)
        if value and not value.islower():
            raise ValueError(f"{value} is not in lower case")
        return value


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("", ["Shorter than minimum length 1."]),
        ("A", ["Not a valid value."]),
        ("a", []),
    ],
)
def test_a_column_of_the_program_s_tells_the_length_once(value: str, told: list[str]) -> None:
    assert errors(Slug(required=True), value) == told
    assert errors(Slug(required=True), value, validate.Length(min=1)) == told


@pytest.mark.parametrize("value", ["x", "x" * 80])
def test_what_keeps_every_rule_is_taken(value: str) -> None:
    rules = [validate.Length(min=1), validate.Length(max=100)]
    assert errors(columns.Text(required=True, max_length=80), value, *rules) == []
