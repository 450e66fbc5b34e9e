"""Where each problem is that marshmallow found, as JSON pointers (RFC 6901).

This module walks the messages of a ``ValidationError``. ``problems`` makes a document of what it
yields, ``columns`` an error about the keys of a map.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

#: Characters of a name in a pointer. A problem under a longer name is given the pointer of the
#: object around it: many problems below that name would each repeat it.
MOST_NAME = 200

#: Where marshmallow keeps what is wrong with an object as a whole.
_WHOLE = "_schema"


def find_problems(messages: Any, pointer: str = "#") -> Iterator[tuple[str, str]]:
    """Yield where each problem is, and what it is.

    :param messages: what marshmallow's ``ValidationError.messages`` has.
    :returns: JSON pointers as fragments of a URI (RFC 6901, 6), such as ``#/address/zip``, with a
        sentence each.
    """
    if isinstance(messages, Mapping):
        for key, inner in messages.items():
            if key == _WHOLE or len(str(key)) > MOST_NAME:
                yield from find_problems(inner, pointer)
            else:
                token = str(key).replace("~", "~0").replace("/", "~1")
                part = quote(token, safe="~", errors="replace")
                yield from find_problems(inner, f"{pointer}/{part}")
    elif isinstance(messages, list | tuple):
        for inner in messages:
            yield from find_problems(inner, pointer)
    else:
        yield pointer, str(messages)
