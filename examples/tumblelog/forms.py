"""The two forms. Their fields say what is wrong with a text; the view sees if a slug is taken."""

from __future__ import annotations

import re

from flask_wtf import FlaskForm
from wtforms import Field, StringField, TextAreaField, ValidationError

from .models import NAME_LENGTH
from .text import (
    SLUG_LENGTH,
    find_control_character,
    is_slug,
    is_visible,
    make_slug,
    with_unix_lines,
)

#: Characters of a post and of a comment. 100,000 are a short book's chapter; Cassandra would take
#: more, but the page shows all of it.
POST_LENGTH = 100_000
COMMENT_LENGTH = 10_000


class Text:
    """A validator: something to read, at most ``at_most`` characters, no control characters.

    It sets no ``maxlength`` in the page: with one, a browser cuts a pasted text silently.
    """

    def __init__(self, at_most: int, *, missing: str) -> None:
        self.at_most = at_most
        self.missing = missing
        self.field_flags = {"required": True}

    def __call__(self, _form: FlaskForm, field: Field) -> None:
        text = field.data or ""
        check_length(text, self.at_most)
        if control := find_control_character(text):
            raise ValidationError(
                f"This contains the control character {control}, which cannot be shown. "
                "Please remove it."
            )
        if not is_visible(text):
            raise ValidationError(self.missing)


def check_length(text: str, at_most: int) -> None:
    """Raise ValidationError if ``text`` has more than ``at_most`` characters."""
    if len(text) > at_most:
        raise ValidationError(f"At most {at_most:,} characters, please; this has {len(text):,}.")


def one_line(text: str | None) -> str:
    """A field's filter: no newlines, single spaces, none at the ends."""
    return re.sub(r"[ \t\r\n]+", " ", text or "").strip(" ")


def many_lines(text: str | None) -> str:
    """A field's filter: ``\\n`` between lines, no empty ones at the ends."""
    return with_unix_lines(text or "").strip(" \t\n")


class PostForm(FlaskForm):  # type: ignore[misc]  # flask_wtf has no types
    """A new post."""

    title = StringField(
        "Title",
        [Text(NAME_LENGTH, missing="A post needs a title.")],
        filters=[one_line],
        render_kw={"autocomplete": "off"},
    )
    slug = StringField(
        "Slug",
        filters=[one_line],
        description="The post's address: lower-case letters, digits and hyphens. "
        "Left empty, it is made from the title.",
        render_kw={"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"},
    )
    body = TextAreaField(
        "Text",
        [Text(POST_LENGTH, missing="A post needs some text.")],
        filters=[many_lines],
        description="An empty line begins a new paragraph.",
        render_kw={"rows": 14},
    )

    def validate_slug(self, field: Field) -> None:
        """Check the slug, or make one from a title that is fine."""
        if not field.data:
            if self.title.errors:
                return
            field.data = make_slug(self.title.data or "")
            if not field.data:
                raise ValidationError(
                    "This title has no Latin letters or digits to make a slug of. "
                    "Please write one here."
                )
        check_length(field.data, SLUG_LENGTH)
        if not is_slug(field.data):
            raise ValidationError(
                "Use lower-case letters (a to z), digits, and single hyphens between them, "
                "such as my-first-post."
            )


class CommentForm(FlaskForm):  # type: ignore[misc]  # flask_wtf has no types
    """A comment on a post."""

    author = StringField(
        "Your name",
        [Text(NAME_LENGTH, missing="Please give a name.")],
        filters=[one_line],
        render_kw={"autocomplete": "name"},
    )
    body = TextAreaField(
        "Comment",
        [Text(COMMENT_LENGTH, missing="Please write a comment.")],
        filters=[many_lines],
        render_kw={"rows": 5},
    )
