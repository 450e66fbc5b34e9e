"""Reads JSON from outside, strictly, and with errors that quote nothing of the text."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from .errors import InvalidJSON


def _without_twins(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            # RFC 8259, 4: what a reader makes of it is unpredictable.
            raise InvalidJSON("A key appears twice in the same object.")
        found[key] = value
    return found


def _refuse_constant(name: str) -> Callable[[], None]:
    raise InvalidJSON(f"{name} is not a JSON number.")


def read_json(text: str | bytes | bytearray) -> Any:
    """Return the value of a JSON text (RFC 8259).

    :raises InvalidJSON: if the text is not JSON, has a key twice in the same object, is nested more
        deeply than Python's recursion limit allows, or has an integer of more than 4,300 digits.
    """
    try:
        return json.loads(text, object_pairs_hook=_without_twins, parse_constant=_refuse_constant)
    except RecursionError:
        raise InvalidJSON("Nested too deeply.") from None
    except InvalidJSON:
        raise
    except UnicodeDecodeError:
        raise InvalidJSON("Not valid JSON: not in UTF-8.") from None
    except json.JSONDecodeError as error:
        raise InvalidJSON(
            f"Not valid JSON: {error.msg} (line {error.lineno}, column {error.colno})."
        ) from None
    except ValueError:
        # Python's limit for turning text into an integer (sys.get_int_max_str_digits).
        raise InvalidJSON("Not valid JSON: a number has too many digits.") from None
