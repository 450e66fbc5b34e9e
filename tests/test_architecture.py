"""docs/architecture.md draws the layers of the code, and private names stay with their owners."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "flask_cqlalchemy"

#: Symbolic links to folders that stand above all layers.
ABOVE = ("blueprints", "factory")

#: Private names that a module reads of something that is not its own, and why. Names of this kit
#: are never among them.
REACHES = {
    "columns.values": {
        "_db_map": "the names of a user type's fields in CQL, which cqlengine keeps",
        "_fields": "the fields of a user type, which cqlengine keeps",
        "_items": "the pairs of the driver's map, whose items() serializes each key",
    },
    "guardrails": {"_getframe": "the line of the program that made a query (sys)"},
    "local.supervisor": {"_exit": "leaving a forked process (os)"},
    "mapping.conversions": {
        "_items": "the pairs of the driver's map, whose items() serializes each key"
    },
    "mapping.instances": {
        "_set_persisted": "cqlengine's state of an instance, which this module keeps",
        "_values": "the same",
        "_val_is_null": "what a column takes for null",
    },
    "mapping.kinds": {
        "_discriminator_column": "what cqlengine keeps of a model of a shared table",
        "_discriminator_column_name": "the same",
        "_is_polymorphic": "the same",
        "_is_polymorphic_base": "the same",
        "_polymorphic_base": "the same",
    },
    "mapping.mapper": {
        "_clustering_keys": "what cqlengine keeps of a model; all else asks the mapper",
        "_columns": "the same",
        "_db_map": "the same",
        "_discriminator_column_name": "the same",
        "_fields": "the same of a user type",
        "_is_polymorphic": "the same",
        "_is_polymorphic_base": "the same, which a class made for another keyspace lacks",
        "_partition_keys": "the same",
        "_pk_name": "the same",
        "_primary_keys": "the same",
        "_raw_column_family_name": "the same",
    },
    "mapping.writer": {"_val_is_null": "what a column takes for null"},
    "protocol.decoding": {"_insert_unchecked": "the driver's map, filled as its own decoder does"},
    "protocol.handler": {"_protocol_handler": "the driver reads it of each request"},
    "protocol.types": {
        "_ParameterizedType": "the driver's base of collections",
        "_make_udt_tuple_type": "the driver's class for a user type that has none",
    },
    "query.options": {"_connection": "the bind that a batch of cqlengine's was given"},
    "registry": {"_connections": "cqlengine's registry of connections"},
    "schemas": {"_declared_fields": "what marshmallow keeps of a schema class"},
    "signals": {"_col_names": "whether an answer of the driver has rows"},
    "state": {"_get_current_object": "the application behind Flask's proxy, as Flask documents it"},
    "tables.sync": {"_get_index_name_by_column": "cqlengine's own code for indexes"},
    "testing": {
        "_prepared_statements": "what a batch of the driver's writes to",
        "_statements_and_parameters": "the same",
    },
}


def modules() -> dict[str, Path]:
    """Every module of the kit by its name without the package's."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if parts[0] not in ABOVE and parts != ("__init__",):
            found[".".join(part for part in parts if part != "__init__")] = path
    return found


def layers() -> list[tuple[str, list[str]]]:
    """The layers of the guide, the highest first, with the modules or patterns of each."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    table = text.split("<!-- layers")[1].split("<!-- the end of the layers")[0]
    rows = [line.split("|")[1:-1] for line in table.splitlines() if line.startswith("| ")]
    return [(name.strip(), re.findall(r"`([\w.*]+)`", names)) for name, _, names in rows[1:]]


def layer_of(module: str) -> int:
    """The number of a module's layer, from the top."""
    return next(
        number
        for number, (_, patterns) in enumerate(layers())
        if any(fnmatch(module, pattern) for pattern in patterns)
    )


def imports_of(module: str, path: Path) -> Iterator[str]:
    """The kit's modules that a module imports, wherever in it and for whomever."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    known = modules()
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.ImportFrom):
            continue
        if node.level:
            parts = package.split(".") if package else []
            base = ".".join([*parts[: len(parts) - node.level + 1], *filter(None, [node.module])])
        elif (node.module or "").startswith("flask_cqlalchemy"):
            base = (node.module or "").removeprefix("flask_cqlalchemy").lstrip(".")
        else:
            continue
        for alias in node.names:
            inner = f"{base}.{alias.name}".lstrip(".")
            found = inner if inner in known else base
            if found and found != module:
                yield found


def graph() -> dict[str, set[str]]:
    return {module: set(imports_of(module, path)) for module, path in modules().items()}


def test_the_guide_names_every_module_once() -> None:
    patterns = [pattern for _, names in layers() for pattern in names]
    counts = {module: sum(fnmatch(module, pattern) for pattern in patterns) for module in modules()}
    assert {module: count for module, count in counts.items() if count != 1} == {}
    assert [each for each in patterns if not any(fnmatch(m, each) for m in modules())] == []


def test_no_import_points_up() -> None:
    found = [
        f"{module} -> {other}"
        for module, others in graph().items()
        for other in others
        if layer_of(other) < layer_of(module)
    ]
    assert found == []


def test_imports_make_no_circle() -> None:
    left = graph()
    while left:
        # A module whose imports are all gone can be in no circle.
        free = [module for module, others in left.items() if not others & left.keys()]
        assert free, f"in a circle: {sorted(left)}"
        for module in free:
            del left[module]


def private_names(tree: ast.AST) -> set[str]:
    """The private names that a module defines or sets itself, of which it may read any."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif (
            isinstance(node, ast.Attribute)
            and isinstance(node.ctx, ast.Store)
            and isinstance(node.value, ast.Name)
            and node.value.id in ("self", "cls")
        ):
            names.add(node.attr)
    return names


def inherited_names(module: str, path: Path) -> set[str]:
    """The private names of the kit's modules whose classes those of a module inherit from."""
    tree = ast.parse(path.read_text())
    bases = {
        base.id
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        for base in node.bases
        if isinstance(base, ast.Name)
    }
    names: set[str] = set()
    for other in imports_of(module, path):
        theirs = ast.parse(modules()[other].read_text())
        if any(isinstance(node, ast.ClassDef) and node.name in bases for node in theirs.body):
            names |= private_names(theirs)
    return names


def reaches_of(module: str, path: Path) -> set[str]:
    """The private names that a module reads of what is not its own, nor inherited."""
    tree = ast.parse(path.read_text())
    own = private_names(tree) | inherited_names(module, path)
    found = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute) or not re.match(r"_[^_]", node.attr):
            continue
        owner = node.value
        is_self = isinstance(owner, ast.Name) and owner.id in ("self", "cls")
        is_super = (
            isinstance(owner, ast.Call)
            and isinstance(owner.func, ast.Name)
            and owner.func.id == "super"
        )
        if not (is_self or is_super or node.attr in own):
            found.add(node.attr)
    return found


def test_no_module_reads_a_private_name_of_another() -> None:
    found = {module: reaches_of(module, path) for module, path in modules().items()}
    assert {module: names for module, names in found.items() if names} == {
        module: set(names) for module, names in REACHES.items()
    }
