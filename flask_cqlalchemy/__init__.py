"""Flask-CQLAlchemy: Apache Cassandra for Flask applications.

Names are loaded when they are first used (PEP 562), so that the pytest plugin, which every pytest
run imports, does not load the driver.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .errors import (
        CassandraUnavailable,
        ConfigError,
        CQLAlchemyError,
        InvalidCursor,
        LocalClusterError,
        NoAppError,
        NoConfig,
        OutcomeUnknown,
        RequestTimedOut,
        SchemaError,
    )
    from .extension import CQLAlchemy
    from .local import LocalCluster

__all__ = [
    "CQLAlchemy",
    "CQLAlchemyError",
    "CassandraUnavailable",
    "ConfigError",
    "InvalidCursor",
    "LocalCluster",
    "LocalClusterError",
    "NoAppError",
    "NoConfig",
    "OutcomeUnknown",
    "RequestTimedOut",
    "SchemaError",
]

_MODULES = {"CQLAlchemy": ".extension", "LocalCluster": ".local"}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_MODULES.get(name, ".errors"), __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
