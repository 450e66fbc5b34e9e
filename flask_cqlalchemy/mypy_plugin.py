"""A mypy plugin, so that ``class Post(db.Model)`` inherits from a class: without it mypy looks no
further than that ``db`` is a variable. Other type checkers need nothing.

.. code-block:: toml

    [tool.mypy]
    plugins = ["flask_cqlalchemy.mypy_plugin"]

mypy asks the plugin about each ``name = function()``. Where the function is ``CQLAlchemy``, or a
class that inherits from it, the name becomes, to mypy, a class whose metaclass is that one: what
``db`` has it has from its metaclass, and ``db.Model`` is a class within a class.
"""

from __future__ import annotations

from collections.abc import Callable

from mypy.nodes import GDEF, MDEF, Block, ClassDef, SymbolTable, SymbolTableNode, TypeInfo
from mypy.plugin import DynamicClassDefContext, Plugin, SemanticAnalyzerPluginInterface
from mypy.types import Instance

EXTENSION = "flask_cqlalchemy.extension.CQLAlchemy"

#: What a class may inherit from: ``db.Model``, or ``db.columns.Text``.
MEMBERS = {
    "Model": "flask_cqlalchemy.models.BoundModel",
    "UserType": "flask_cqlalchemy.models.BoundUserType",
    "Schema": "flask_cqlalchemy.schemas.Schema",
    "AutoSchema": "flask_cqlalchemy.schemas.AutoSchema",
    "columns": "flask_cqlalchemy.columns",
}


class FlaskCQLAlchemyPlugin(Plugin):
    """Has mypy take ``db = CQLAlchemy()`` for the definition of a class."""

    def get_dynamic_class_hook(
        self, fullname: str
    ) -> Callable[[DynamicClassDefContext], None] | None:
        found = self.lookup_fully_qualified(fullname)
        kind = found.node if found else None
        if isinstance(kind, TypeInfo) and kind.has_base(EXTENSION):
            return lambda context: _define(context, kind)
        return None


def _define(context: DynamicClassDefContext, metaclass: TypeInfo) -> None:
    """Put a class in the place of the variable."""
    api = context.api
    definition = ClassDef(context.name, Block([]))
    definition.fullname = api.qualified_name(context.name)
    info = TypeInfo(SymbolTable(), definition, api.cur_mod_id)
    definition.info = info
    base = api.named_type("builtins.object")
    info.bases, info.mro = [base], [info, base.type]
    info.metaclass_type = info.declared_metaclass = Instance(metaclass, [])
    for name, fullname in MEMBERS.items():
        member = api.modules.get(fullname) or _class_named(fullname, api)
        if member is None:
            # Not analysed yet: mypy comes again.
            api.defer()
            return
        info.names[name] = SymbolTableNode(MDEF, member)
    api.add_symbol_table_node(context.name, SymbolTableNode(GDEF, info))


def _class_named(fullname: str, api: SemanticAnalyzerPluginInterface) -> TypeInfo | None:
    found = api.lookup_fully_qualified_or_none(fullname)
    return found.node if found and isinstance(found.node, TypeInfo) else None


def plugin(version: str) -> type[Plugin]:
    """Return the plugin, for mypy."""
    del version
    return FlaskCQLAlchemyPlugin
