"""What the tumblelog asks of text: whether it may be stored, and what a slug or a summary of it is.

Pure functions, without Flask and without a database.
"""

from __future__ import annotations

import re
import unicodedata

#: Characters of a slug, as of the column.
SLUG_LENGTH = 255

#: Characters of a summary, which the list of posts shows.
SUMMARY_LENGTH = 280

_SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")

#: Unicode's categories Cc and Cs, without newline and tab.
_CONTROL = re.compile("[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\ud800-\\udfff]")


def is_slug(text: str) -> bool:
    """Return whether ``text`` can be the slug of a post."""
    return len(text) <= SLUG_LENGTH and _SLUG.fullmatch(text) is not None


def make_slug(title: str) -> str:
    """Return a slug made of the Latin letters and digits of ``title``: empty if it has none."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "-", plain.replace("'", ""))
    return words[:SLUG_LENGTH].strip("-")


def with_unix_lines(text: str) -> str:
    """Return ``text`` with ``\\n`` between lines; forms send ``\\r\\n``."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def find_control_character(text: str) -> str | None:
    """Return the first character that has no place in stored text as ``U+0000``, or None.

    Those are the control characters but newline and tab, and lone surrogates, which UTF-8 cannot
    hold.
    """
    found = _CONTROL.search(text)
    return f"U+{ord(found[0]):04X}" if found else None


def is_visible(text: str) -> bool:
    """Return whether a reader would see anything of ``text``."""
    return any(character.isprintable() and character != " " for character in text)


def summarise(body: str) -> str:
    """Return the beginning of ``body`` in one line, cut between words."""
    words = " ".join(body.split())
    if len(words) <= SUMMARY_LENGTH:
        return words
    start = words[: SUMMARY_LENGTH - 1]
    return (start.rpartition(" ")[0] or start) + "…"


def split_paragraphs(body: str) -> list[str]:
    """Return the paragraphs of ``body``: what stands between empty lines."""
    return [part.strip("\n") for part in re.split(r"\n[ \t]*\n", body) if is_visible(part)]
