"""The classes of cqlengine that ours are made of.

cqlengine says nothing of types. ``_cqlengine.pyi``, beside this module, tells a type checker what
it may know of these classes, ours and those that a program makes; at run time they are untouched.
"""

from cassandra.cqlengine.models import Model, ModelMetaClass
from cassandra.cqlengine.query import AbstractQueryableColumn as ColumnExpression
from cassandra.cqlengine.query import (
    BatchQuery,
    DMLQuery,
    DoesNotExist,
    ModelQuerySet,
    MultipleObjectsReturned,
)
from cassandra.cqlengine.statements import WhereClause
from cassandra.cqlengine.usertype import UserType

__all__ = [
    "BatchQuery",
    "ColumnExpression",
    "DMLQuery",
    "DoesNotExist",
    "Model",
    "ModelMetaClass",
    "ModelQuerySet",
    "MultipleObjectsReturned",
    "UserType",
    "WhereClause",
]
