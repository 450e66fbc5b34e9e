"""Flask-CQLAlchemy: Apache Cassandra for Flask applications.

Names are loaded when they are first used (PEP 562), so that the pytest plugin, which every pytest
run imports, does not load the driver.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .batch import Batch
    from .errors import (
        BatchTooLarge,
        BulkError,
        CassandraUnavailable,
        ConfigError,
        CQLAlchemyError,
        EncodingError,
        GuardrailError,
        GuardrailWarning,
        InvalidCursor,
        InvalidJSON,
        LocalClusterError,
        NoAppError,
        NoConfig,
        OutcomeUnknown,
        RequestTimedOut,
        SchemaError,
        UndecodableResponse,
        UnknownColumnType,
    )
    from .extension import CQLAlchemy
    from .json import CassandraJSONProvider
    from .local import LocalCluster
    from .mapping.mapper import Mapper
    from .models import BoundModel as Model
    from .models import BoundUserType as UserType
    from .pagination import Page
    from .queryset import QuerySet
    from .results import BulkFailure, BulkResult
    from .schemas import AutoSchema, Schema
    from .signals import after_statement, before_statement
    from .tables import Change

__all__ = [
    "AutoSchema",
    "Batch",
    "BatchTooLarge",
    "BulkError",
    "BulkFailure",
    "BulkResult",
    "CQLAlchemy",
    "CQLAlchemyError",
    "CassandraJSONProvider",
    "CassandraUnavailable",
    "Change",
    "ConfigError",
    "EncodingError",
    "GuardrailError",
    "GuardrailWarning",
    "InvalidCursor",
    "InvalidJSON",
    "LocalCluster",
    "LocalClusterError",
    "Mapper",
    "Model",
    "NoAppError",
    "NoConfig",
    "OutcomeUnknown",
    "Page",
    "QuerySet",
    "RequestTimedOut",
    "Schema",
    "SchemaError",
    "UndecodableResponse",
    "UnknownColumnType",
    "UserType",
    "after_statement",
    "before_statement",
]

#: Where a name is, unless it is one of the errors.
_MODULES = {
    "AutoSchema": ".schemas",
    "Batch": ".batch",
    "BulkFailure": ".results",
    "BulkResult": ".results",
    "CQLAlchemy": ".extension",
    "CassandraJSONProvider": ".json",
    "Change": ".tables",
    "LocalCluster": ".local",
    "Mapper": ".mapping.mapper",
    "Model": ".models",
    "Page": ".pagination",
    "QuerySet": ".queryset",
    "Schema": ".schemas",
    "UserType": ".models",
    "after_statement": ".signals",
    "before_statement": ".signals",
}

#: What a name is called there, if not the same. A program's own models inherit from ``db.Model``.
_NAMES = {"Model": "BoundModel", "UserType": "BoundUserType"}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(_MODULES.get(name, ".errors"), __name__)
    value = getattr(module, _NAMES.get(name, name))
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
