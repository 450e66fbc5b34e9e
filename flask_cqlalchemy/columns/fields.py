"""The marshmallow fields that columns become.

Each is a subclass of marshmallow's own field for the same kind of JSON, so a tool that knows
marshmallow's fields, such as apispec, knows these. A field encodes with one function, ``encode``,
which rows on their way to JSON call without the field. A collection's ``encode`` is composed of its
elements'.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from functools import cache
from typing import Any

from cassandra import util
from marshmallow import ValidationError, fields, missing, validate

from ..errors import EncodingError
from ..pointers import find_problems
from ..protocol import UndecodableValue
from .formats import MOST_ELEMENTS

#: From a value that is not None to what JSON has for it.
Encode = Callable[[Any], Any]

#: From what JSON has to a value. Raises ``ValueError`` with a text for whoever sent it.
Decode = Callable[[object], Any]

#: From a text, in a cell or as an object's key, to what JSON has.
Parse = Callable[[str], object]

#: From what JSON has to the key by which it is sorted.
Order = Callable[[Any], Any]

#: What ``json.dumps`` asks about a value that JSON does not have.
Default = Callable[[Any], object]

#: Arguments of a marshmallow field.
Options = dict[str, Any]

#: What ``encode`` raises for a value that is not of its type.
ENCODING_FAILURES = (TypeError, ValueError, AttributeError)


def _undecodable_in(value: Any) -> Iterator[UndecodableValue]:
    if isinstance(value, UndecodableValue):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _undecodable_in(key)
            yield from _undecodable_in(item)
    elif isinstance(value, list | tuple | set | util.SortedSet):
        for item in value:
            yield from _undecodable_in(item)


def as_text(encoded: object, default: Default | None = None) -> str:
    """Return a JSON value as the text of an object's key or of a cell: strings stay bare.

    :param default: as for ``json.dumps``.
    """
    if isinstance(encoded, str):
        return encoded
    return json.dumps(encoded, ensure_ascii=False, separators=(",", ":"), default=default)


def parse_json(text: str) -> object:
    """Return the value of a JSON text, or the text itself if it is not valid JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


class ColumnField(fields.Field[Any]):
    """What all generated fields have in common.

    :ivar label: what an error names: ``Model.column``.
    :ivar encode: the value in JSON; None if JSON has it as it is.
    :ivar null: makes what JSON has for an absent value, such as an empty collection: Cassandra
        stores both alike.
    :ivar order: the key by which the elements of a set are sorted in JSON; None if they compare.
    :ivar parse: from the text of a cell, or of an object's key, to what JSON has.
    """

    #: What ``_deserialize`` raises; ``error_messages={"invalid": ...}`` replaces it.
    default_error_messages = {"invalid": "{problem}"}  # noqa: RUF012 - marshmallow's way

    label: str = "a value"
    encode: Encode | None = None
    null: Callable[[], object] | None = None
    order: Order | None = None
    parse: Parse = staticmethod(parse_json)

    def encoded(self, value: object) -> object:
        """Return what JSON has for ``value``, which may be None.

        :raises EncodingError: naming the column, if the value is not of its type.
        """
        if value is None:
            return None if self.null is None else self.null()
        if value.__class__ is UndecodableValue:
            raise self.error_for(value, None)
        if self.encode is None:
            return value
        try:
            return self.encode(value)
        except ENCODING_FAILURES as problem:
            raise self.error_for(value, problem) from problem

    def error_for(self, value: object, problem: Exception | None) -> EncodingError:
        """Return the error of a value that cannot be encoded."""
        if isinstance(problem, EncodingError):
            return problem
        undecodable = next(_undecodable_in(value), None)
        if undecodable is not None:
            return EncodingError(f"{self.label}: {undecodable}")
        return EncodingError(
            f"{self.label}: a {type(value).__name__} cannot be written as JSON ({problem})"
        )

    def _serialize(self, value: object, *_context: object, **_options: object) -> Any:
        return self.encoded(value)

    @property
    def encodes_alone(self) -> bool:
        """Whether ``encoded`` says all that marshmallow's ``serialize`` does: nothing of it is the
        program's own.
        """
        own = type(self)
        return (
            own._serialize is ColumnField._serialize
            and own.encoded is ColumnField.encoded
            and own.serialize is ColumnField.serialize
            and own.get_value is ColumnField.get_value
            and self.dump_default is missing
        )

    def to_cell(self, value: object) -> str:
        """Return a value as the text of a CSV cell; an empty cell is null.

        A text that is empty or begins with a quotation mark is written as in JSON.
        """
        encoded = self.encoded(value)
        if encoded is None:
            return ""
        text = as_text(encoded)
        if isinstance(encoded, str) and (not text or text.startswith('"')):
            return json.dumps(text, ensure_ascii=False)
        return text

    def from_cell(self, text: str) -> object:
        """Return what JSON has for the text of a CSV cell; ``deserialize`` takes and checks it."""
        if not text:
            return None
        if text.startswith('"'):
            return parse_json(text)
        return self.parse(text)

    def _compose(self) -> None:
        """Make a collection's ``encode`` from those of its elements."""

    def _bind_to_schema(self, field_name: str, parent: Any) -> None:
        super()._bind_to_schema(field_name, parent)
        # Binding copies the fields inside, which may then be told to leave some of theirs out.
        self._compose()

    def whole(self) -> Encode:
        """Return a function that encodes any value, for the encoding of a collection."""
        encode, null = self.encode, self.null
        if null is None and encode is None:
            return lambda value: value
        if null is None:
            return lambda value: None if value is None else encode(value)  # type: ignore[misc]
        return lambda value: null() if value is None else encode(value)  # type: ignore[misc]


class Leaf(ColumnField):
    """The field of a single value.

    :ivar decode: from what JSON has to the value.
    """

    decode: Decode

    def __init__(
        self,
        *,
        encode: Encode | None,
        decode: Decode,
        parse: Parse,
        order: Order | None,
        **options: Any,
    ) -> None:
        self.encode, self.decode, self.parse, self.order = encode, decode, parse, order
        super().__init__(**options)
        if getattr(self, "as_string", False):
            number = encode or (lambda value: value)
            self.encode = lambda value: str(number(value))
            self.decode = lambda value: decode(parse(value) if isinstance(value, str) else value)

    def _deserialize(self, value: object, *_context: object, **_options: object) -> object:
        try:
            return self.decode(value)
        except ValueError as problem:
            raise self.make_error("invalid", problem=problem) from None


@cache
def leaf_class(base: Any) -> type[Leaf]:
    """Return the class of leaves that marshmallow's field class ``base`` describes."""
    return type(base.__name__, (Leaf, base), {"__module__": __name__})


def json_order(encoded: object, default: Default | None = None) -> str:
    """Return the key by which composed values are sorted; ``default`` as for ``json.dumps``."""
    return json.dumps(encoded, sort_keys=True, default=default)


class ListField(ColumnField, fields.List[Any]):
    """A JSON array of any number of elements of one kind."""

    default_error_messages = {"invalid": "Not a valid list."}  # noqa: RUF012 - marshmallow's way
    null: Callable[[], object] | None = list

    def __init__(self, element: ColumnField, **options: Any) -> None:
        super().__init__(element, **options)
        self.order = json_order
        self._compose()

    def _compose(self) -> None:
        assert isinstance(self.inner, ColumnField)  # noqa: S101 - __init__ takes no other
        self.encode = self._make_encode(self.inner)

    def _deserialize(self, value: object, *context: Any, **options: Any) -> Any:
        if isinstance(value, list):
            _check_length(self, value)
        return super()._deserialize(value, *context, **options)

    def _make_encode(self, element: ColumnField) -> Encode:
        if element.encode is None and element.null is None:
            return list
        encode = element.whole()
        return lambda values: [encode(value) for value in values]


def _check_length(field: ColumnField, value: Sized) -> None:
    """Refuse a collection that is too long before looking at its elements."""
    for validator in field.validators:
        if isinstance(validator, MostProperties | validate.Length):
            validator(value)


#: How many different values may share a hash. Among the doubles that are powers of two, 34 do.
_MAY_COLLIDE = 200


def _check_hashes(elements: Iterable[object]) -> None:
    """Refuse values crafted to collide: building a set of n of them takes n² steps.

    Anybody can foresee the hash of an integer or a UUID (Python, Hashing of numeric types).
    """
    known = list(elements)
    if len(known) > _MAY_COLLIDE:
        different = {str(element): element for element in known}.values()
        if max(Counter(map(hash, different)).values()) > _MAY_COLLIDE:
            raise ValidationError("Too many of its values have the same hash.")


class MostProperties:
    """Limits the entries of a map. apispec would take marshmallow's Length for a maxLength."""

    def __call__(self, value: Sized) -> None:
        """Raise a ``ValidationError`` if there are more than a collection may have."""
        validate.Length(max=MOST_ELEMENTS)(value)


class SetField(ListField):
    """A JSON array in any order. It is written sorted, so that equal sets look alike."""

    default_error_messages = {"invalid": "Not a valid list."}  # noqa: RUF012 - marshmallow's way

    def __init__(self, element: ColumnField, **options: Any) -> None:
        metadata = {"uniqueItems": True, **options.pop("metadata", {})}
        super().__init__(element, metadata=metadata, **options)

    def _make_encode(self, element: ColumnField) -> Encode:
        order = element.order
        if element.encode is None and element.null is None and order is None:
            return sorted
        encode = element.whole()
        if isinstance(element, fields.Float):
            # Cassandra tells the two zeros apart, Python does not.
            return lambda values: sorted(map(encode, set(values)), key=order)
        return lambda values: sorted([encode(value) for value in values], key=order)

    def _deserialize(self, value: object, *context: Any, **options: Any) -> Any:
        elements = super()._deserialize(value, *context, **options)
        try:
            _check_hashes(elements)
            return set(elements)
        except TypeError:
            raise ValidationError("Elements of this kind cannot be put in a set.") from None


class VectorField(ListField):
    """A JSON array of as many numbers as the column has dimensions."""

    null = None


class MapField(ColumnField, fields.Dict):
    """A JSON object, whose keys are the map's keys as text."""

    default_error_messages = {  # noqa: RUF012 - marshmallow's way
        "invalid": "Not a valid object.",
        "key": "The key: {problem}",
        "duplicate": "Another key has the same value.",
    }
    null = dict

    def __init__(self, key: ColumnField, value: ColumnField, **options: Any) -> None:
        super().__init__(keys=key, values=value, **options)
        self.order = json_order
        self._compose()

    def _compose(self) -> None:
        key, value = self.key_field, self.value_field
        assert isinstance(key, ColumnField)  # noqa: S101 - __init__ takes no other
        assert isinstance(value, ColumnField)  # noqa: S101
        self.encode = self._make_encode(key, value)

    def _make_encode(self, key: ColumnField, value: ColumnField) -> Encode:
        encode_key, encode_value = key.encode, value.whole()
        plain = value.encode is None and value.null is None
        if isinstance(key, fields.String) and encode_key is None:
            if plain:
                return to_dict
            return lambda mapping: {name: encode_value(item) for name, item in _items(mapping)}
        text = key.whole()
        return lambda mapping: {
            as_text(text(name)): encode_value(item) for name, item in _items(mapping)
        }

    def _deserialize(self, value: object, *_context: object, **_options: object) -> dict[Any, Any]:
        if not isinstance(value, Mapping):
            raise self.make_error("invalid")
        keys, values = self.key_field, self.value_field
        assert isinstance(keys, ColumnField)  # noqa: S101 - __init__ has set both
        assert values is not None  # noqa: S101
        made: list[tuple[Any, Any, str]] = []
        errors: dict[str, Any] = {}
        _check_length(self, value)
        for text, item in value.items():
            try:
                key = keys.deserialize(keys.parse(text) if isinstance(text, str) else text)
            except ValidationError as error:
                errors[str(text)] = [
                    self.error_messages["key"].format(problem=problem)  # type: ignore[union-attr]
                    for _, problem in find_problems(error.messages)
                ]
                continue
            try:
                made.append((key, values.deserialize(item), str(text)))
            except ValidationError as error:
                errors[str(text)] = error.messages
        _check_hashes(key for key, _, _ in made)
        result: dict[Any, Any] = {}
        for key, item, text in made:
            if key in result:
                errors[text] = [self.error_messages["duplicate"]]
            result[key] = item
        if errors:
            raise ValidationError(errors, valid_data=result)
        return result


def to_dict(mapping: Any) -> dict[Any, Any]:
    """Return any of the driver's maps as a dictionary."""
    return dict(_items(mapping))


def _items(mapping: Any) -> Iterable[tuple[object, object]]:
    if mapping.__class__ is util.OrderedMapSerializedKey:
        # Its own items() would serialize each key to find its value.
        return mapping._items  # type: ignore[no-any-return]
    return mapping.items()  # type: ignore[no-any-return]


class TupleField(ColumnField, fields.Tuple):
    """A JSON array of as many values as the tuple has, each of its own kind or null."""

    default_error_messages = {"invalid": "Not a valid list."}  # noqa: RUF012 - marshmallow's way

    def __init__(self, elements: list[ColumnField], **options: Any) -> None:
        metadata = {
            "type": "array",
            "items": {},
            "minItems": len(elements),
            "maxItems": len(elements),
            **options.pop("metadata", {}),
        }
        super().__init__(elements, metadata=metadata, **options)
        self.validate_length = validate.Length(equal=len(elements))
        self.order = json_order
        self._compose()

    def _compose(self) -> None:
        encoders = [each.whole() for each in self.tuple_fields if isinstance(each, ColumnField)]

        def encode(values: tuple[object, ...]) -> list[object] | None:
            # cqlengine gives an absent tuple as an empty one.
            if not values:
                return None
            short = len(encoders) - len(values)
            padded = (*values, *[None] * short) if short > 0 else values
            return [each(value) for each, value in zip(encoders, padded, strict=True)]

        self.encode = encode


class NestedField(ColumnField, fields.Nested):  # type: ignore[misc]
    """A JSON object with the schema of a user type."""

    default_error_messages = {"type": "Not a valid object."}  # noqa: RUF012 - marshmallow's way

    def __init__(self, schema: Any, **options: Any) -> None:
        super().__init__(schema, **options)
        self.order = json_order
        self._compose()

    def _compose(self) -> None:
        self.encode = self._dump

    def _dump(self, value: object) -> object:
        return self.schema.dump(value)

    def _load(self, value: object, partial: Any = None) -> Any:
        if not isinstance(value, Mapping):
            raise self.make_error("type")
        return super()._load(value, partial=partial)
