"""The options of a table: what a model asks for against what Cassandra has.

Values are compared by what Cassandra means by them: ``3600`` is ``"3600"``, ``"95percentile"`` is
``"95p"``, and a compaction strategy is the same with and without its package. An option that the
model does not name stays as it is, and so does a part of one. Pure functions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

#: What an option is where ``system_schema.tables`` has null: Cassandra leaves these columns empty
#: unless they are set, for the sake of older nodes in the same cluster.
_UNSET: Mapping[str, object] = {
    "allow_auto_snapshot": True,
    "cdc": False,
    "incremental_backups": True,
    "memtable": "default",
}

#: Parts of options that were renamed (Cassandra 3.0); the old names still work.
_RENAMED = {
    ("compression", "sstable_compression"): "class",
    ("compression", "chunk_length_kb"): "chunk_length_in_kb",
}

#: What a part is that Cassandra does not write out.
_UNWRITTEN = {
    ("compaction", "enabled"): "true",
    ("compression", "enabled"): "true",
    ("compression", "min_compress_ratio"): "0",
}

_CLASS = "class"
_OFF = {"enabled": "false"}
_TRUE, _FALSE = ("true", "yes", "1"), ("false", "no", "0")
_NAME = re.compile(r"[a-z]\w*", re.ASCII)

# Names of speculative retry policies, as Cassandra reads them (its own documentation, "Speculative
# retry options").
_PERCENTILE = re.compile(r"([\d.]+)p(?:ercentile)?")
_MILLISECONDS = re.compile(r"([\d.]+)ms")
_EITHER = re.compile(r"(min|max)\(\s*([^,]+?)\s*,\s*([^,]+?)\s*\)")


def changed_options(wanted: Mapping[str, object], live: Mapping[str, Any]) -> dict[str, object]:
    """Return the options to set so that a table has all those ``wanted``; {} if it has them.

    :param wanted: a model's ``__options__``. An option that is None counts as not named.
    :param live: the table's row in ``system_schema.tables``.
    """
    changes: dict[str, object] = {}
    for name, value in _given(wanted).items():
        has = live.get(name)
        if has is None:
            has = _UNSET.get(name)
        if not isinstance(value, Mapping) or not isinstance(has, Mapping):
            if not _is_same(name, value, has):
                changes[name] = value
            continue
        asked, now = _parts(name, value), _parts(name, has)
        if any(
            not _is_same_part(name, part, text, now.get(part, _UNWRITTEN.get((name, part))))
            for part, text in asked.items()
        ):
            # Cassandra replaces the whole map; what belongs to another class goes with it.
            keeps = asked != _OFF and _class_of(asked) == _class_of(now)
            is_part = keeps or (name == "caching")
            changes[name] = {**now, **asked} if is_part else asked
    return changes


def write_options(options: Mapping[str, object]) -> list[str]:
    """Return each option as CQL writes it behind WITH.

    :raises ValueError: naming an option that no table can have.
    """
    written = []
    for name, value in _given(options).items():
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} cannot be the name of an option")
        written.append(f"{name} = {_literal(name, value)}")
    return written


def _given(options: Mapping[str, object]) -> dict[str, object]:
    # Cassandra takes names that are not quoted in either case.
    return {str(name).lower(): value for name, value in options.items() if value is not None}


def _literal(name: str, value: object) -> str:
    if isinstance(value, Mapping):
        parts = _parts(name, value)
        pairs = ", ".join(f"{_quote(part)}: {_quote(text)}" for part, text in parts.items())
        return f"{{{pairs}}}"
    if isinstance(value, bool | int | float | Decimal | UUID):
        return _text(value)
    return _quote(_text(value))


def _quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _number(text: object) -> Decimal | None:
    try:
        return Decimal(str(text))
    except InvalidOperation:
        return None


# Whole options


def _is_same(name: str, wanted: object, has: object) -> bool:
    """Return whether an option that is not a map has the value wanted; its type is the table's."""
    if has is None or isinstance(wanted, Mapping) or isinstance(has, Mapping):
        return False
    if isinstance(has, bool):
        word = _text(wanted).lower()
        return word in (_TRUE if has else _FALSE)
    if isinstance(has, int | float):
        # Cassandra takes no boolean for a number.
        return not isinstance(wanted, bool) and _number(wanted) == _number(has)
    given, live = _text(wanted), _text(has)
    if name in ("speculative_retry", "additional_write_policy"):
        return _policy(given) == _policy(live)
    if name in ("read_repair", "id"):
        return given.lower() == live.lower()
    return given == live


def _policy(text: str) -> object:
    """Return a form of a speculative retry policy that is equal for all its spellings."""
    word = text.strip().lower()
    if found := _EITHER.fullmatch(word):
        return found[1], frozenset((_policy(found[2]), _policy(found[3])))
    if found := _PERCENTILE.fullmatch(word):
        return "percentile", _number(found[1])
    if found := _MILLISECONDS.fullmatch(word):
        whole = _number(found[1])
        return "milliseconds", None if whole is None else int(whole)
    return "never" if word == "none" else word


# Parts of options


def _parts(name: str, given: Mapping[str, Any]) -> dict[str, str]:
    """Return the parts of an option as text, under the names that Cassandra gives them now."""
    parts = {
        _RENAMED.get((name, str(part)), str(part)): _text(value)
        for part, value in given.items()
        if value is not None
    }
    if name == "compression":
        is_off = parts.get("enabled", "true").lower() == "false" or parts.get(_CLASS) == ""
        return _OFF if is_off else parts
    return parts


def _class_of(parts: Mapping[str, str]) -> str | None:
    named = parts.get(_CLASS)
    return named and named.rpartition(".")[2]


def _is_same_part(name: str, part: str, wanted: str, has: str | None) -> bool:
    if has is None:
        return False
    if part == _CLASS:
        return wanted.rpartition(".")[2] == has.rpartition(".")[2]
    if wanted == has:
        return True
    if name == "caching" or wanted.lower() in ("true", "false"):
        return wanted.lower() == has.lower()
    number = _number(wanted)
    return number is not None and number == _number(has)
