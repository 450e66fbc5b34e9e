"""Marshmallow schemas made from models and user types.

The names are those of marshmallow-sqlalchemy. A schema's fields come from the column table
(``columns``), its rules from the column: what is required, how long, which default. ``dump`` gives
what ``QuerySet.to_json`` and ``jsonify(instance)`` write; ``load`` checks what came from outside,
and gives a dictionary or, with ``load_instance``, an instance.

Stages: ``field_for`` makes one field, ``fields_for_model`` all of a model; the metaclass puts them
into a schema class; ``schema_for`` keeps one schema of each model.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, cast, overload

import marshmallow
from cassandra.cqlengine.usertype import BaseUserType
from marshmallow import ValidationError, fields, missing, validates_schema
from marshmallow.decorators import POST_DUMP, PRE_DUMP
from marshmallow.schema import SchemaMeta as _MarshmallowMeta
from marshmallow.schema import SchemaOpts as _MarshmallowOpts

from .columns import ColumnField, find
from .columns.rules import as_list, merge
from .columns.table import KNOWN_MODULES, own_rules
from .mapping.instances import is_stored, was_read
from .mapping.mapper import Mapped, columns_of, discriminator_of, keys_of, mapper_of
from .strict_json import read_json
from .words import did_you_mean, unknown_name

if TYPE_CHECKING:
    from cassandra.cqlengine.columns import Column
    from cassandra.cqlengine.usertype import UserType
    from marshmallow.types import StrSequenceOrSet, UnknownOption

    T = TypeVar("T")

AnyField: TypeAlias = "fields.Field[Any]"

#: Bytes of a partition key, and of a clustering column's value (Cassandra, Limits of CQL).
MOST_KEY_BYTES = 65_535

#: Bytes that Cassandra adds to each column of a partition key of several.
_KEY_PART_OVERHEAD = 3

#: The version of the protocol in which the size of a key is measured.
_PROTOCOL = 5

#: What marshmallow says of a field that a schema does not have.
_UNKNOWN = "Unknown field."

#: Unknown fields of one input for which the close ones are looked up: that takes some time.
_MOST_HINTS = 20

#: Defaults that cqlengine sets for an absent collection; a program did not choose them.
_EMPTY_COLLECTIONS = (set, list, dict)


# Fields


class _Maker:
    """Makes the fields of one column: what the column table asks for the types inside."""

    def __init__(self, label: str) -> None:
        self._label = label

    def field_of(self, column: Column, **options: Any) -> ColumnField:
        entry = find(column, self._label)
        rules = own_rules(column, as_list(entry.options(column).get("validate", ())))
        given = merge({"validate": rules}, options) if rules else options
        field = entry.make_field(column, self, given)
        field.label = self._label
        return field

    def schema_of(self, user_type: type[UserType]) -> type[Schema]:
        return schema_class_for(user_type)


def column_field(model: type[object], name: str) -> ColumnField:
    """Return the field of a column as the column table makes it."""
    column = columns_of(model)[name]
    return _Maker(f"{model.__name__}.{name}").field_of(column, **_rules_of(model, name, column))


def _rules_of(model: type[object], name: str, column: Column) -> dict[str, Any]:
    """Return what the column says about its field, whatever its type."""
    rules: dict[str, Any] = {}
    if column.db_field_name != name:
        rules["data_key"] = column.db_field_name
    if discriminator_of(model) == name:
        # The model's class decides its value.
        return {**rules, "dump_only": True, "allow_none": True}
    needed = bool(column.required or column.is_primary_key)
    rules["allow_none"] = not needed
    if column.has_default and not any(column.default is kind for kind in _EMPTY_COLLECTIONS):
        rules["load_default"] = column.get_default
    elif needed:
        rules["required"] = True
    return rules


def field_for(model: type[object], name: str, **options: Any) -> AnyField:
    """Return the marshmallow field of one column.

    :param model: a model or a user type.
    :param name: of the attribute.
    :param options: of the field: ``validate`` comes after the column's own rules, every other
        replaces what is made of the column.
    :raises ValueError: if there is no such column.
    :raises UnknownColumnType: naming the column, if its type is not in the column table.
    """
    column = columns_of(model).get(name)
    if column is None:
        raise ValueError(unknown_name(model.__name__, name, columns_of(model)))
    own = _own_options(model).get(name, {})
    if isinstance(own, fields.Field):
        if options:
            raise ValueError(
                f"{model.__name__}.{name} has a field of its own in __schema_fields__, which takes "
                "no options; declare the field in the schema."
            )
        return own
    rules, given = _rules_of(model, name, column), merge(own, options)
    if given.get("required"):
        rules.pop("load_default", None)
        rules["allow_none"] = False
    elif "load_default" in given:
        rules.pop("required", None)
    return _Maker(f"{model.__name__}.{name}").field_of(column, **merge(rules, given))


def _own_options(model: type[object]) -> Mapping[str, Any]:
    """Return what a model and its bases say of their fields. The nearest class wins.

    :raises ValueError: if one names a column that the model does not have.
    """
    own: dict[str, Any] = {}
    for kind in reversed(model.__mro__):
        own.update(vars(kind).get("__schema_fields__", {}))
    unknown = own.keys() - columns_of(model).keys()
    if unknown:
        raise ValueError(
            f"{model.__name__}.__schema_fields__ names {min(unknown)}, which is not a column; the "
            f"columns are {', '.join(columns_of(model))}."
        )
    return own


def fields_for_model(
    model: type[object], *, fields: Collection[str] | None = None, exclude: Collection[str] = ()
) -> dict[str, AnyField]:
    """Return the marshmallow fields of a model or a user type, in the order of its columns.

    :param fields: the names of columns to include; all if not given.
    :param exclude: the names of columns to leave out.
    :raises ValueError: if there is no such column.
    """
    unknown = {*(fields or ()), *exclude} - columns_of(model).keys()
    if unknown:
        raise ValueError(unknown_name(model.__name__, min(unknown), columns_of(model)))
    return {
        name: field_for(model, name)
        for name in columns_of(model)
        if (fields is None or name in fields) and name not in exclude
    }


class AutoField(fields.Field[Any]):
    """Stands in a schema class for the field of a column, until the class is made."""

    def __init__(self, column_name: str | None, model: type[object] | None, options: Any) -> None:
        super().__init__()
        self.column_name, self.model, self.options = column_name, model, options

    def resolve(self, name: str, model: type[object] | None) -> AnyField:
        known = self.model or model
        if known is None:
            raise ValueError(f"auto_field {name}: the schema's class Meta has no model.")
        column = self.column_name or name
        renamed = {"attribute": column, "data_key": name} if column != name else {}
        return field_for(known, column, **{**renamed, **self.options})


def auto_field(
    column_name: str | None = None, *, model: type[object] | None = None, **options: Any
) -> AutoField:
    """Declare a field that is made of a column.

    .. code-block:: python

        class PostSchema(db.Schema):
            class Meta:
                model = Post

            title = auto_field(validate=Length(min=3))

    :param column_name: the column, unless it has the name of the field.
    :param model: whose column it is; that of ``class Meta`` unless given.
    :param options: as those of ``field_for``.
    """
    return AutoField(column_name, model, options)


# Schemas


class SchemaOpts(_MarshmallowOpts):
    """What ``class Meta`` may say beside marshmallow's own options.

    :ivar model: the model or user type.
    :ivar load_instance: whether ``load`` makes instances; it does of user types unless told not
        to.
    :ivar partial: what ``partial`` is unless the schema or ``load`` is told otherwise.
    """

    def __init__(self, meta: type, **options: Any) -> None:
        super().__init__(meta, **options)
        self.model: type[object] | None = getattr(meta, "model", None)
        self.load_instance: bool | None = getattr(meta, "load_instance", None)
        self.partial: bool | Collection[str] | None = getattr(meta, "partial", None)


class SchemaMeta(_MarshmallowMeta):
    """Puts the fields of ``class Meta: model`` into a schema class."""

    @classmethod
    def get_declared_fields(
        mcs,  # noqa: N804 - marshmallow's name
        klass: Any,
        cls_fields: list[tuple[str, AnyField]],
        inherited_fields: list[tuple[str, AnyField]],
        dict_cls: type[dict[str, Any]] = dict,
    ) -> dict[str, AnyField]:
        opts: SchemaOpts = klass.opts
        bases = [base for base in klass.__mro__[1:] if isinstance(base, SchemaMeta)]
        if opts.model is None:
            # As the fields are inherited, whether class Meta is or not.
            opts.model = next((base.opts.model for base in bases if base.opts.model), None)
        inherited = [
            (name, field) for name, field in inherited_fields if not _is_generated(name, bases)
        ]
        declared = super().get_declared_fields(klass, cls_fields, inherited, dict_cls)
        made: dict[str, AnyField] = {}
        model = opts.model if klass.is_automatic else None
        for name in columns_of(model) if model is not None else ():
            if name in declared:
                # In the place of the column.
                made[name] = declared[name]
            elif name in opts.exclude:
                # Marshmallow asks that what is left out be known; its type need not be.
                made[name] = fields.Raw()
            elif not opts.fields or name in opts.fields:
                made[name] = field_for(cast("type[object]", model), name)
        klass._generated = frozenset(made.keys() - declared.keys())
        made.update({name: field for name, field in declared.items() if name not in made})
        return dict_cls(
            {
                name: field.resolve(name, opts.model) if isinstance(field, AutoField) else field
                for name, field in made.items()
            }
        )


def _is_generated(name: str, bases: list[Any]) -> bool:
    """Return whether the nearest base that has a field generated it, rather than declared it."""
    nearest = next((base for base in bases if name in base._declared_fields), None)
    return nearest is not None and name in nearest._generated


class Schema(marshmallow.Schema, metaclass=SchemaMeta):
    """A schema whose fields are declared, those of columns with ``auto_field()``.

    ``class Meta`` has marshmallow's options, and ``model``, ``load_instance`` and ``partial``.
    """

    OPTIONS_CLASS = SchemaOpts
    opts: SchemaOpts
    is_automatic = False
    _generated: frozenset[str] = frozenset()
    #: The classes made from this one, by the model (one that inherits from this schema's model).
    _derived: dict[type[object], type[Schema]]

    def __init__(
        self,
        *,
        only: Collection[str] | None = None,
        exclude: Collection[str] = (),
        partial: bool | Collection[str] | None = None,
        load_instance: bool | None = None,
        **options: Any,
    ) -> None:
        self.load_instance = next(
            (choice for choice in (load_instance, self.opts.load_instance) if choice is not None),
            # A column takes an instance of its user type, and nothing else.
            self._is_of_user_type,
        )
        partial = self.opts.partial if partial is None else partial
        super().__init__(
            only=cast("Any", only),
            exclude=cast("Any", exclude),
            partial=cast("Any", partial),
            **options,
        )

    def _init_fields(self) -> None:
        super()._init_fields()
        # Also when marshmallow has copied a nested schema, to leave out some of its fields.
        #: What has been worked out from this schema's fields; each module has a key of its own.
        self.kept: dict[object, Any] = {}
        self._by_subclass: dict[type[object], Schema] = {}

    @property
    def _is_of_user_type(self) -> bool:
        return isinstance(self.opts.model, type) and issubclass(self.opts.model, BaseUserType)

    # From instances

    if TYPE_CHECKING:
        # marshmallow does not annotate what it returns, and a type checker would guess.
        def dump(self, obj: Any, *, many: bool | None = None) -> Any: ...

    def get_attribute(self, obj: Any, attr: str, default: Any) -> Any:
        """Return a value; ``missing`` if an instance was read without this column."""
        if isinstance(obj, Mapped) and attr in obj.__mapper__.columns:
            return getattr(obj, attr) if was_read(obj, attr) else missing
        return super().get_attribute(obj, attr, default)

    def _serialize(self, obj: Any, *, many: bool = False) -> Any:
        mapper = mapper_of(self.opts.model)
        if not many and mapper is not None and mapper.is_polymorphic and isinstance(obj, Mapped):
            model = obj.__mapper__.definition
            if model is not mapper.definition and issubclass(model, mapper.definition):
                return self._of_subclass(model)._dump_one(obj)
        return self._dump_one(obj, many=many)

    def _dump_one(self, obj: Any, *, many: bool = False) -> Any:
        return super()._serialize(obj, many=many)

    def _of_subclass(self, model: type[object]) -> Schema:
        """Return this schema for a model that inherits from its own, with the columns it adds."""
        known = self._by_subclass.get(model)
        if known is None:
            known = object.__new__(self._class_of_subclass(model))
            vars(known).update(vars(self))
            # Keep this schema's own fields: some may have been told to leave parts out.
            known.declared_fields = {
                name: copy.copy(self.declared_fields.get(name, field))
                for name, field in known._declared_fields.items()
            }
            known._init_fields()
            self._by_subclass[model] = known
        # A program may have put something on the schema since.
        made = vars(known)
        made.update({name: value for name, value in vars(self).items() if name not in _OF_FIELDS})
        return known

    @classmethod
    def _class_of_subclass(cls, model: type[object]) -> type[Schema]:
        derived = cls.__dict__.get("_derived")
        if derived is None:
            cls._derived = derived = {}
        if model not in derived:
            derived[model] = _derive(cls, model)
        return cast("type[Schema]", derived[model])

    @property
    def encodes_columns(self) -> bool:
        """Whether dumping an instance is no more than encoding its columns, one by one: nothing of
        it is the program's own, so it can be done to rows in its place.
        """
        known = self.kept.get("encodes_columns")
        if known is None:
            known = self.kept["encodes_columns"] = self._find_whether_it_encodes_columns()
        return bool(known)

    def _find_whether_it_encodes_columns(self) -> bool:
        own, mapper = type(self), mapper_of(self.opts.model)
        if mapper is None:
            return False
        attributes = [field.attribute or name for name, field in self.dump_fields.items()]
        return (
            len(set(attributes)) == len(attributes)
            and not self._hooks[PRE_DUMP]
            and not self._hooks[POST_DUMP]
            and own.get_attribute is Schema.get_attribute
            and own._serialize is Schema._serialize
            and own.dump is Schema.dump
            and all(
                isinstance(field, ColumnField)
                and field.encodes_alone
                and (field.attribute or name) in mapper.columns
                and _is_known(mapper.columns[field.attribute or name])
                for name, field in self.dump_fields.items()
            )
        )

    # To instances

    # What is loaded without an instance is not known: ``load_instance`` decides.
    @overload
    def load(
        self,
        data: Any,
        *,
        many: bool | None = None,
        partial: bool | StrSequenceOrSet | None = None,
        unknown: UnknownOption | None = None,
        instance: None = None,
    ) -> Any: ...
    @overload
    def load(
        self,
        data: Any,
        *,
        many: Literal[False] | None = None,
        partial: bool | StrSequenceOrSet | None = None,
        unknown: UnknownOption | None = None,
        instance: T,
    ) -> T: ...
    def load(
        self,
        data: Any,
        *,
        many: bool | None = None,
        partial: bool | StrSequenceOrSet | None = None,
        unknown: UnknownOption | None = None,
        instance: Any = None,
    ) -> Any:
        """Check what came from outside.

        :param partial: whether keys may be missing; True if there is an ``instance``.
        :param instance: whose columns get the values that are there, all others staying as they
            are. It is not saved.
        :returns: a dictionary by the names of attributes; with ``load_instance`` or ``instance`` an
            instance.
        :raises ValidationError: with every problem, by field.
        """
        is_many = self.many if many is None else many
        if instance is not None:
            if is_many:
                raise TypeError("load() takes an instance for one row, not with many=True.")
            partial = True if partial is None else partial
        elif self._is_of_user_type:
            # Written whole, also where the row is only changed.
            partial = False
        try:
            loaded: Any = super().load(data, many=many, partial=partial, unknown=unknown)
        except ValidationError as error:
            self._hint_at_names(error.messages, many=is_many)
            raise
        if instance is not None:
            return self._change(instance, self._without_defaults(loaded, data))
        if self.load_instance:
            return [self._make(each) for each in loaded] if is_many else self._make(loaded)
        return loaded

    @overload
    def loads(
        self, s: str | bytes | bytearray, /, *, instance: None = None, **options: Any
    ) -> Any: ...
    @overload
    def loads(self, s: str | bytes | bytearray, /, *, instance: T, **options: Any) -> T: ...
    def loads(self, s: str | bytes | bytearray, /, **options: Any) -> Any:
        """Do what ``load`` does, with a JSON text.

        :raises InvalidJSON: a 400, if the text is not JSON, has a key twice in the same object, or
            is nested too deeply.
        """
        return self.load(read_json(s), **options)

    def _find_model(self) -> type[object]:
        if self.opts.model is None:
            raise TypeError(f"{type(self).__name__} has load_instance and no model in class Meta.")
        return self.opts.model

    def _make(self, loaded: Mapping[str, Any]) -> Any:
        model = self._find_model()
        mapper = mapper_of(model)
        if mapper is None or "__init__" not in mapper.overridden:
            # A schema may have more fields than its model, and unknown=INCLUDE any name.
            loaded = {name: loaded[name] for name in columns_of(model) if name in loaded}
        return model(**loaded)

    def _hint_at_names(self, messages: Any, *, many: bool) -> None:
        """Add to what marshmallow says of unknown fields which fields are close to them.

        It is shown to whoever sent them: the names given may be anything, and are not repeated.
        """
        if self.error_messages["unknown"] != _UNKNOWN or not isinstance(messages, dict):
            return
        known = [field.data_key or name for name, field in self.load_fields.items()]
        unread = {field.data_key or name for name, field in self.fields.items()}.difference(known)
        owner = f" of {self.opts.model.__name__}" if self.opts.model else ""
        hints = 0
        for errors in messages.values() if many else [messages]:
            for name, problem in errors.items() if isinstance(errors, dict) else ():
                if problem == [_UNKNOWN] and name not in unread and hints < _MOST_HINTS:
                    hints += 1
                    hint = did_you_mean(name, known)
                    errors[name] = [f"Unknown field{owner}{hint}." if hint else _UNKNOWN]

    def _without_defaults(self, loaded: dict[str, Any], data: Any) -> dict[str, Any]:
        """Return what was sent. Other columns stay as they are, even those with a default."""
        filled = {
            field.attribute or name
            for name, field in self.load_fields.items()
            if field.load_default is not missing and (field.data_key or name) not in data
        }
        return {name: value for name, value in loaded.items() if name not in filled}

    def _change(self, instance: Any, loaded: Mapping[str, object]) -> Any:
        if is_stored(instance):
            changed = [
                self._key_of(name)
                for name in keys_of(type(instance))[1]
                if name in loaded and not self._is_stored_alike(instance, name, loaded[name])
            ]
            if changed:
                message = "The primary key of a row cannot be changed."
                raise ValidationError({name: [message] for name in changed})
        known = {field.attribute or name for name, field in self.load_fields.items()}
        for name, value in loaded.items():
            # With unknown=INCLUDE there may be any name, that of an attribute of cqlengine too.
            if name in known:
                setattr(instance, name, value)
        return instance

    def _is_stored_alike(self, instance: Any, name: str, value: Any) -> bool:
        """Return whether an instance's value of a key is, to Cassandra, the one that was loaded."""
        column, kept = columns_of(type(instance))[name], getattr(instance, name)
        stored, given = _bytes_of(column, kept), _bytes_of(column, value)
        return bool(kept == value) or (stored is not None and stored == given)

    def _key_of(self, name: str) -> str:
        """Return the name that an attribute has in the input."""
        for field_name, field in self.fields.items():
            if (field.attribute or field_name) == name:
                return field.data_key or field_name
        return name

    @validates_schema(skip_on_field_errors=True)
    def _check_key(self, data: Mapping[str, object], **context: Any) -> None:
        """Hold the primary key to Cassandra's limits."""
        del context
        partition, key = keys_of(self.opts.model or object)
        serialized = {
            name: _bytes_of(column, data[name])
            for name, column in key.items()
            if data.get(name) is not None
        }
        sizes = {name: len(value) for name, value in serialized.items() if value is not None}
        problems = {
            name: f"Longer than the {MOST_KEY_BYTES} bytes of a key."
            for name, size in sizes.items()
            if size > MOST_KEY_BYTES
        }
        whole = [size + _KEY_PART_OVERHEAD for name, size in sizes.items() if name in partition]
        if len(partition) > 1 and sum(whole) > MOST_KEY_BYTES and not problems:
            problems = dict.fromkeys(
                partition, f"Together longer than the {MOST_KEY_BYTES} bytes of a partition key."
            )
        if len(partition) == 1 and 0 in [sizes.get(name) for name in partition]:
            problems = dict.fromkeys(partition, "A partition key cannot be empty.")
        if problems:
            raise ValidationError(
                {self._key_of(name): [problem] for name, problem in problems.items()}
            )


def _is_known(column: Column) -> bool:
    """Return whether a row has a column's values as an instance has them, at any depth."""
    return type(column).to_python.__module__ in KNOWN_MODULES and all(
        map(_is_known, column.sub_types)
    )


def _bytes_of(column: Column, value: Any) -> bytes | None:
    """Return a value as it is stored; None if the column cannot store it."""
    try:
        stored = column.to_database(column.validate(value))
        serialized: bytes = column.cql_type.serialize(stored, _PROTOCOL)
    except Exception:
        # A field of the program's own, in the place of the column's, may give whatever it likes.
        return None
    return serialized


#: What a schema keeps of its fields.
_OF_FIELDS = frozenset(
    {"declared_fields", "fields", "load_fields", "dump_fields", "kept", "_by_subclass"}
)


class AutoSchema(Schema):
    """A schema with a field for each column of ``class Meta: model``; see ``Schema``."""

    is_automatic = True


def _derive(base: type[Schema], model: type[object]) -> type[Schema]:
    options = {"model": model, "register": False}
    meta = type("Meta", (base.Meta,), options)
    make: Any = SchemaMeta
    return cast("type[Schema]", make(f"{model.__name__}Schema", (base,), {"Meta": meta}))


#: Where a model keeps the schema class and the schema that have been made of it. No column has a
#: blank in its name.
_CLASS, _SCHEMA = "schema class", "its schema"


def schema_class_for(model: type[object]) -> type[Schema]:
    """Return the ``AutoSchema`` of a model or user type, which is made once."""
    mapper = mapper_of(model)
    model = mapper.definition if mapper is not None else model
    known: type[Schema] | None = vars(model).get(_CLASS)
    if known is None:
        known = _derive(AutoSchema, model)
        setattr(model, _CLASS, known)
    return known


def schema_for(model: type[object]) -> Schema:
    """Return a schema of ``schema_class_for(model)``: the one by which instances become JSON."""
    mapper = mapper_of(model)
    model = mapper.definition if mapper is not None else model
    known: Schema | None = vars(model).get(_SCHEMA)
    if known is None:
        known = schema_class_for(model)()
        setattr(model, _SCHEMA, known)
    return known


__all__ = [
    "MOST_KEY_BYTES",
    "AutoSchema",
    "Schema",
    "SchemaOpts",
    "auto_field",
    "field_for",
    "fields_for_model",
    "schema_class_for",
    "schema_for",
]
