"""Names that a model, a user type or a schema does not have."""

from __future__ import annotations

import pytest

from flask_cqlalchemy.mapping.naming import unknown_name

COLUMNS = ["id", "title", "zip_code"]


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ("titel", " (did you mean title?)"),
        ("TITLE", " (did you mean title?)"),
        ("zipCode", " (did you mean zip_code?)"),
        ("zip__code", " (did you mean zip_code?)"),
        ("nothing", ""),
        ("", ""),
        (7, ""),
        ("ttl", " (ttl is an option of a write: Post.ttl(...))"),
        ("if_not_exists", " (if_not_exists is an option of a write: Post.if_not_exists())"),
    ],
)
def test_an_unknown_name_is_answered_with_the_close_ones(given: object, hint: str) -> None:
    assert unknown_name("Post", given, COLUMNS) == (
        f"Post has no column {given}{hint}; its columns are id, title, zip_code."
    )


def test_an_unknown_name_says_what_the_names_are() -> None:
    assert unknown_name("Address", "streat", ["street"], "field") == (
        "Address has no field streat (did you mean street?); its fields are street."
    )


def test_an_unknown_name_of_any_length_makes_a_short_error() -> None:
    assert len(unknown_name("Post", "x" * 1_000_000, COLUMNS)) < 200
