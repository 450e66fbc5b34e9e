"""Schemas made from models: their rules, their names, what they dump and what they load."""

from __future__ import annotations

import gc
import weakref
from collections import namedtuple
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import marshmallow
import pytest
from cassandra.cqlengine import ValidationError as CQLEngineValidationError
from cassandra.cqlengine.query import ContextQuery
from marshmallow import ValidationError, fields, post_dump, post_load, validate

from flask_cqlalchemy import CQLAlchemy
from flask_cqlalchemy.columns import ColumnField
from flask_cqlalchemy.protocol import UndecodableValue
from flask_cqlalchemy.schemas import field_for, schema_class_for, schema_for

from .cql_helpers import module_fixtures

db = CQLAlchemy()
c = db.columns


class PostalAddress(db.UserType):
    street = c.Text(required=True)
    zip_code = c.Integer(db_field="zip")
    tags = c.Set(c.Text)


class Author(db.Model):
    __table_name__ = "schema_author"
    name = c.Text(primary_key=True)
    joined = c.DateTime(primary_key=True, default=lambda: datetime(2020, 1, 1))
    mail = c.Text(required=True, max_length=20)
    nick = c.Text(default="anonymous")
    age = c.TinyInt()
    keys_ = c.Text(db_field="keys")
    home = c.UserDefinedType(PostalAddress)
    places = c.Map(c.Text, c.List(c.UserDefinedType(PostalAddress)))
    links = c.List(c.Text)


class Visits(db.Model):
    __table_name__ = "schema_visits"
    page = c.Text(primary_key=True)
    number = c.Counter()


class Animal(db.Model):
    __table_name__ = "schema_animal"
    __abstract__ = False
    id = c.Integer(primary_key=True)
    kind = c.Text(discriminator_column=True)
    name = c.Text()


class Dog(Animal):
    __discriminator_value__ = "dog"
    barks = c.Boolean()


class Bird(Animal):
    __discriminator_value__ = "bird"
    wings = c.Integer()


class Account(db.Model):
    __table_name__ = "schema_account"
    __schema_fields__ = {  # noqa: RUF012 - as a user would write it
        "mail": {"validate": validate.Email()},
        "password": {"load_only": True},
        "level": fields.Integer(load_default=1),
    }
    mail = c.Text(primary_key=True, max_length=30)
    password = c.Text()
    level = c.Integer()


cassandra_config, database, app = module_fixtures(db, SECRET_KEY="seals cursors")


def auto(model: type[Any], **meta: Any) -> type[Any]:
    """The class that ``class Meta: model = ...`` makes."""
    return type("AutoMade", (db.AutoSchema,), {"Meta": type("Meta", (), {"model": model, **meta})})


# Which fields there are


def test_an_auto_schema_has_a_field_for_each_column_in_order() -> None:
    assert list(auto(Author)().fields) == [
        "name",
        "joined",
        "mail",
        "nick",
        "age",
        "keys_",
        "home",
        "places",
        "links",
    ]


def test_the_fields_of_meta_are_all_there_is() -> None:
    assert list(auto(Author, fields=("mail", "age"))().fields) == ["mail", "age"]


def test_what_meta_excludes_is_not_there() -> None:
    schema = auto(Author, exclude=("mail", "home", "places"))()

    assert list(schema.fields) == ["name", "joined", "nick", "age", "keys_", "links"]


def test_a_column_without_an_entry_in_the_table_may_be_excluded() -> None:
    class Colour(c.Column):
        db_type = "text"

    body = {"id": c.Integer(primary_key=True), "colour": Colour(), "__table_name__": "painted"}
    painted = type(db.Model)("Painted", (CQLAlchemy().Model,), body)

    assert auto(painted, exclude=("colour",))().dump({"id": 1, "colour": "red"}) == {"id": 1}


def test_a_declared_field_replaces_the_column_s_in_its_place() -> None:
    class AuthorSchema(db.AutoSchema):
        class Meta:
            model = Author

        age = fields.String()
        more = fields.String()

    declared = AuthorSchema().fields
    assert type(declared["age"]) is fields.String
    assert list(declared)[3:6] == ["nick", "age", "keys_"]
    assert list(declared)[-1] == "more"


def test_auto_field_adds_to_the_rules_of_the_column() -> None:
    class AuthorSchema(db.AutoSchema):
        class Meta:
            model = Author

        mail = db.auto_field(validate=validate.Email(), metadata={"description": "where to write"})

    schema = AuthorSchema(only=("mail",))
    assert schema.validate({"mail": "no address, and too long"}) == {
        "mail": ["Length must be between 1 and 20.", "Not a valid email address."]
    }
    assert schema.fields["mail"].metadata == {"description": "where to write"}


def test_a_schema_has_only_what_it_declares() -> None:
    class AuthorSchema(db.Schema):
        class Meta:
            model = Author

        name = db.auto_field()
        address = db.auto_field("mail", required=False)

    assert list(AuthorSchema().fields) == ["name", "address"]
    assert AuthorSchema().dump(Author(name="n", mail="m@example.com")) == {
        "name": "n",
        "address": "m@example.com",
    }
    assert AuthorSchema().load({"name": "n", "address": "m"}) == {"name": "n", "mail": "m"}


def test_auto_field_may_name_its_model() -> None:
    class Both(db.Schema):
        name = db.auto_field(model=Author)
        page = db.auto_field(model=Visits)

    assert Both().load({"name": "n", "page": "p"}) == {"name": "n", "page": "p"}


def test_auto_field_without_a_model_says_what_is_missing() -> None:
    with pytest.raises(
        ValueError, match=r"^auto_field name: the schema's class Meta has no model\.$"
    ):

        class Lost(db.Schema):
            name = db.auto_field()


def test_an_auto_field_of_no_column_names_the_columns() -> None:
    with pytest.raises(
        ValueError, match=r"^Visits has no column title; its columns are page, number\.$"
    ):

        class VisitsSchema(db.Schema):
            class Meta:
                model = Visits

            title = db.auto_field()


def test_meta_with_something_that_is_no_model() -> None:
    with pytest.raises(TypeError, match=r"^<class 'int'> has no columns: it is not a model"):
        auto(int)


def test_a_base_schema_leaves_the_model_to_others() -> None:
    class Base(db.AutoSchema):
        class Meta:
            load_instance = True

        @post_dump
        def wrap(self, data: Any, **_context: Any) -> Any:
            return {"data": data}

    class VisitsSchema(Base):
        class Meta(Base.Meta):
            model = Visits
            fields = ("page",)

    assert VisitsSchema().dump(Visits(page="p")) == {"data": {"page": "p"}}
    assert isinstance(VisitsSchema().load({"page": "p"}), Visits)


def test_a_schema_for_another_model_has_none_of_its_base_s_columns() -> None:
    class AuthorSchema(db.AutoSchema):
        class Meta:
            model = Author

    class VisitsSchema(AuthorSchema):
        class Meta:
            model = Visits

    assert list(VisitsSchema().fields) == ["page", "number"]


def test_fields_for_model_gives_fields_for_a_schema_of_one_s_own() -> None:
    made = db.fields_for_model(Author, fields=("name", "age"))
    schema = marshmallow.Schema.from_dict(made)()

    assert schema.load({"name": "n", "age": 1}) == {"name": "n", "age": 1}
    assert list(db.fields_for_model(Visits, exclude=("page",))) == ["number"]


def test_a_schema_class_is_made_once_for_each_model() -> None:
    assert schema_class_for(Author) is schema_class_for(Author)
    assert schema_for(Author) is schema_for(Author)


def test_the_schema_of_a_model_goes_with_the_model() -> None:
    other = CQLAlchemy()
    gone = type(other.Model)("Gone", (other.Model,), {"id": c.Integer(primary_key=True)})
    schema_for(gone)
    watched = weakref.ref(gone)

    del gone, other
    gc.collect()

    assert watched() is None


def test_a_field_declared_by_a_base_is_not_generated_again() -> None:
    class First(db.AutoSchema):
        class Meta:
            model = Author

    class Second(First):
        mail = db.auto_field(load_only=True)

    class Third(Second):
        class Meta:
            unknown = marshmallow.EXCLUDE

    author = Author(name="n", mail="m", nick="x")
    assert "mail" not in Second().dump(author)
    assert "mail" not in Third().dump(author)
    assert Third().load({"name": "n", "mail": "m", "more": 1})["mail"] == "m"


def test_a_field_may_be_declared_under_two_names() -> None:
    class Twice(db.Schema):
        class Meta:
            model = Author

        one = two = db.auto_field("nick", dump_only=True)

    assert Twice().dump(Author(nick="x")) == {"one": "x", "two": "x"}


def test_fields_for_model_knows_its_columns() -> None:
    with pytest.raises(ValueError, match=r"^Visits has no column typo; its columns are page"):
        db.fields_for_model(Visits, exclude=("typo",))


# The rules


def test_a_key_without_a_default_is_required() -> None:
    found = auto(Author)().fields

    assert {name for name, field in found.items() if field.required} == {"name", "mail"}


def test_null_is_for_columns_that_may_be_empty() -> None:
    found = auto(Author)().fields

    assert {name for name, field in found.items() if not field.allow_none} == {
        "name",
        "joined",
        "mail",
    }


def test_a_default_is_applied_on_load() -> None:
    assert auto(Author)().load({"name": "n", "mail": "m"}) == {
        "name": "n",
        "joined": datetime(2020, 1, 1),
        "mail": "m",
        "nick": "anonymous",
    }


def test_a_column_is_called_outside_as_in_cql() -> None:
    schema = auto(Author, fields=("keys_",))()

    assert schema.dump(Author(keys_="k")) == {"keys": "k"}
    assert schema.load({"keys": "k"}) == {"keys_": "k"}


def test_a_counter_is_only_dumped() -> None:
    schema = auto(Visits)()

    assert schema.dump({"page": "p", "number": 3}) == {"page": "p", "number": 3}
    assert schema.validate({"page": "p", "number": 3}) == {"number": ["Unknown field."]}


def test_the_rules_of_a_user_type_s_fields() -> None:
    assert auto(Author)(only=("home",)).validate({"home": {"zip": 2**31, "street": None}}) == {
        "home": {
            "street": ["Field may not be null."],
            "zip": [
                "Must be greater than or equal to -2147483648 and less than or equal to 2147483647."
            ],
        }
    }


def test_an_integer_may_be_written_as_a_string() -> None:
    class VisitsSchema(db.AutoSchema):
        class Meta:
            model = Visits

        number = db.auto_field(as_string=True)

    assert VisitsSchema().dump({"page": "p", "number": 2**53 + 1}) == {
        "page": "p",
        "number": "9007199254740993",
    }


def test_a_user_s_own_words_for_a_bad_value() -> None:
    field = field_for(Author, "age", error_messages={"invalid": "How old?"})

    with pytest.raises(ValidationError, match=r"^How old\?$"):
        field.deserialize("x")


# What a model says of its fields


def test_a_model_adds_to_the_rules_of_its_fields() -> None:
    assert schema_for(Account).validate({"mail": "nobody"}) == {
        "mail": ["Not a valid email address."]
    }
    assert schema_for(Account).validate({"mail": "x" * 40 + "@example.com"}) == {
        "mail": ["Longer than maximum length 30."]
    }


def test_what_a_model_hides_is_not_dumped() -> None:
    account = Account(mail="a@example.com", password="secret", level=3)

    assert schema_for(Account).dump(account) == {"mail": "a@example.com", "level": 3}


def test_a_model_may_give_a_field_of_its_own() -> None:
    assert schema_for(Account).load({"mail": "a@example.com"}) == {
        "mail": "a@example.com",
        "level": 1,
    }
    with pytest.raises(ValueError, match=r"^Account\.level has a field of its own"):
        field_for(Account, "level", required=True)


def test_auto_field_comes_after_what_the_model_says() -> None:
    class AccountSchema(db.AutoSchema):
        class Meta:
            model = Account

        mail = db.auto_field(validate=validate.NoneOf(["root@example.com"]))

    assert AccountSchema().validate({"mail": "root@example.com"}) == {"mail": ["Invalid input."]}
    assert AccountSchema().validate({"mail": "x"}) == {"mail": ["Not a valid email address."]}


def test_a_model_that_names_no_column_of_its_own() -> None:
    body = {"id": c.Integer(primary_key=True), "__schema_fields__": {"titel": {}}}
    wrong = type(db.Model)("Wrong", (CQLAlchemy().Model,), body)

    with pytest.raises(ValueError, match=r"__schema_fields__ names titel, which is not a column"):
        auto(wrong)


def test_what_a_base_hides_stays_hidden_beside_what_a_model_adds() -> None:
    base = CQLAlchemy()
    hidden = {
        "__abstract__": True,
        "__schema_fields__": {"password": {"load_only": True}},
        "id": c.Integer(primary_key=True),
        "password": c.Text(),
    }
    abstract = type(base.Model)("Hidden", (base.Model,), hidden)
    added = {"mail": c.Text(), "__schema_fields__": {"mail": {"validate": validate.Email()}}}
    kind = type(base.Model)("Member", (abstract,), added)

    assert schema_for(kind).dump(kind(id=1, password="secret")) == {"id": 1, "mail": None}
    assert schema_for(kind).validate({"id": 1, "mail": "x"}) == {
        "mail": ["Not a valid email address."]
    }


def test_what_a_column_class_refuses_is_refused_on_load() -> None:
    class Even(c.Integer):
        def validate(self, value: Any) -> Any:
            checked = super().validate(value)
            if checked is not None and checked % 2:
                raise CQLEngineValidationError(f"{checked} is odd")
            return checked

    kind = placed(c.List(Even()))

    assert schema_for(kind).load({"place": [2]})["place"] == [2]
    problems: Any = schema_for(kind).validate({"place": [2, 3]})
    assert problems == {"place": {1: ["Not a valid value."]}}


def test_a_key_may_have_a_field_of_another_kind() -> None:
    class VisitsSchema(db.AutoSchema):
        class Meta:
            model = Visits

        page = fields.Integer()

    assert VisitsSchema().load({"page": 2**40}) == {"page": 2**40}


def test_a_number_may_be_a_string_both_ways() -> None:
    body = {"id": c.Integer(primary_key=True), "ratio": c.Double()}
    kind = type(db.Model)("Ratio", (CQLAlchemy().Model,), body)
    field = field_for(kind, "ratio", as_string=True)

    assert field.deserialize("1.5") == 1.5
    assert [field._serialize(value, "ratio", None) for value in (1.5, float("nan"))] == [
        "1.5",
        "NaN",
    ]


# From instances


def test_a_query_set_a_page_and_a_list_are_many(cql: CQLAlchemy) -> None:
    for page in ("a", "b"):
        Visits.objects(page=page).update(number=2)
    schema = auto(Visits)(many=True)
    expected = schema.dump(list(Visits.objects))

    assert {row["page"] for row in expected} == {"a", "b"}
    assert schema.dump(Visits.objects.all()) == expected
    assert schema.dump(Visits.objects.paginate(per_page=5, cursor=None)) == expected


def test_a_column_that_was_not_read_is_not_dumped(cql: CQLAlchemy) -> None:
    Author.create(name="n", mail="m", age=3, links=["x"])
    (some,) = Author.objects.only(["name", "age"])
    (other,) = Author.objects.defer(["links", "places", "home", "joined"])

    assert auto(Author)().dump(some) == {"name": "n", "age": 3}
    assert "links" not in auto(Author)().dump(other)


def test_an_absent_collection_is_an_empty_one(cql: CQLAlchemy) -> None:
    Author.create(name="n", mail="m")
    dumped = auto(Author, fields=("links", "places", "home"))().dump(Author.objects.first())

    assert dumped == {"links": [], "places": {}, "home": None}


def test_a_collection_changed_in_place_is_dumped_as_it_is(cql: CQLAlchemy) -> None:
    Author.create(name="n", mail="m", links=["a"])
    author = Author.objects.first()
    author.links.append("b")
    author.age = 4

    assert auto(Author, fields=("links", "age"))().dump(author) == {"links": ["a", "b"], "age": 4}


def test_models_of_one_table_dump_their_own_columns(cql: CQLAlchemy) -> None:
    Dog.create(id=1, name="Rex", barks=True)
    Bird.create(id=2, name="Kiwi", wings=0)
    dumped = auto(Animal)(many=True).dump(sorted(Animal.objects, key=lambda each: each.id))

    assert dumped == [
        {"id": 1, "kind": "dog", "name": "Rex", "barks": True},
        {"id": 2, "kind": "bird", "name": "Kiwi", "wings": 0},
    ]
    assert auto(Animal)(many=True, exclude=("kind", "name")).dump([Dog(id=3, barks=False)]) == [
        {"id": 3, "barks": False}
    ]


def test_what_a_schema_leaves_out_is_left_out_of_all_models_of_a_table() -> None:
    class AnimalSchema(db.AutoSchema):
        class Meta:
            model = Animal

        user = "nobody"
        name = db.auto_field(load_only=True)
        owner = fields.Method("find_owner")

        def find_owner(self, animal: Any) -> str:
            return f"{self.user}'s {animal.kind}"

    class Zoo(marshmallow.Schema):
        best = fields.Nested(AnimalSchema(), only=("id",))

    dog = Dog(id=1, name="Rex", barks=True)
    schema: Any = AnimalSchema()
    schema.user = "Ada"
    assert schema.dump(dog) == {"id": 1, "kind": None, "barks": True, "owner": "Ada's None"}
    schema.user = "Bob"
    assert schema.dump(dog)["owner"] == "Bob's None"
    assert Zoo().dump({"best": dog}) == {"best": {"id": 1}}


def test_a_class_for_another_keyspace_has_no_schema_of_its_own() -> None:
    schema = schema_for(Animal)
    for _ in range(3):
        with ContextQuery(Dog, keyspace="elsewhere") as clone:
            assert schema.dump(clone(id=1, barks=True))["barks"] is True
    assert len(schema._by_subclass) <= 2


def test_an_attribute_may_be_a_path() -> None:
    class AuthorSchema(db.Schema):
        class Meta:
            model = Author

        street = fields.String(attribute="home.street")

    author: Any = Author(name="n", home=PostalAddress(street="s"))
    assert AuthorSchema().dump(author) == {"street": "s"}
    assert AuthorSchema().dump(namedtuple("Row", "home")(author.home)) == {"street": "s"}  # noqa: PYI024


def test_a_column_left_out_is_not_dumped_after_a_change(cql: CQLAlchemy) -> None:
    Author.create(name="n", mail="m", nick="own", age=1)
    author = Author.objects.only(["age"]).first()
    author.links = ["x"]

    dumped = schema_for(Author).dump(author)
    assert (dumped["age"], dumped["links"]) == (1, ["x"])
    assert dumped.keys().isdisjoint({"nick", "mail", "home"})


def test_a_column_left_out_of_one_of_several_models_is_not_dumped(cql: CQLAlchemy) -> None:
    Dog.create(id=1, name="Rex", barks=True)

    assert Dog.objects.only(["id", "kind"]).to_json() == b'[{"id":1,"kind":"dog"}]'


def test_the_discriminator_is_the_class_s_own() -> None:
    dog = auto(Dog, load_instance=True)().load({"id": 1, "name": "Rex", "barks": True})

    assert type(dog) is Dog
    assert auto(Dog)().validate({"id": 1, "kind": "bird"}) == {"kind": ["Unknown field."]}


def test_a_mapping_is_dumped_like_an_instance() -> None:
    assert schema_for(Visits).dump({"page": "p"}) == {"page": "p"}


def test_a_property_of_the_model_may_be_a_field() -> None:
    class VisitsSchema(db.AutoSchema):
        class Meta:
            model = Visits

        key = fields.String(attribute="pk")

    assert VisitsSchema().dump(Visits(page="p"))["key"] == "p"


def test_a_value_of_a_wrong_type_names_the_column() -> None:
    author: Any = Author(name="n", mail="m")
    author.joined = "yesterday"

    with pytest.raises(
        ValueError, match=r"^Author\.joined: a str cannot be written as JSON \('str' object has no"
    ):
        schema_for(Author).dump(author)


def test_bytes_that_make_no_value_name_the_column() -> None:
    author: Any = Author(name="n", mail="m")
    author.nick = UndecodableValue("text", 3, "not valid UTF-8")

    with pytest.raises(
        ValueError, match=r"^Author\.nick: undecodable text of 3 bytes: not valid UTF-8$"
    ):
        schema_for(Author).dump(author)


# To instances


def test_load_gives_a_dictionary_by_the_names_of_attributes(cql: CQLAlchemy) -> None:
    loaded = schema_for(Author).load(
        {"name": "n", "mail": "m", "keys": "k", "home": {"street": "s", "zip": 1, "tags": ["t"]}}
    )

    assert loaded["keys_"] == "k"
    assert loaded["home"] == PostalAddress(street="s", zip_code=1, tags={"t"})
    assert Author.create(**loaded).home.street == "s"


def test_load_instance_gives_an_instance_that_is_not_saved(cql: CQLAlchemy) -> None:
    author = auto(Author, load_instance=True)().load({"name": "n", "mail": "m", "age": 3})

    assert isinstance(author, Author)
    assert (author.age, author.nick) == (3, "anonymous")
    assert Author.objects.first() is None
    author.save()
    assert Author.objects.first().age == 3


def test_many_instances() -> None:
    authors = auto(Author, load_instance=True)(many=True).load(
        [{"name": "a", "mail": "m"}, {"name": "b", "mail": "m"}]
    )

    assert [author.name for author in authors] == ["a", "b"]


def test_load_changes_the_given_instance_where_there_are_values(cql: CQLAlchemy) -> None:
    Author.create(name="n", mail="m", age=3, links=["a"], nick="x")
    author = Author.objects.first()

    assert auto(Author, load_instance=True)().load({"age": 4}, instance=author) is author
    assert (author.age, author.nick, author.links) == (4, "x", ["a"])
    author.save()
    assert Author.objects.first().age == 4


def test_a_column_that_is_not_sent_keeps_its_value_though_it_has_a_default(
    cql: CQLAlchemy,
) -> None:
    Author.create(name="n", mail="m", nick="own")
    author = Author.objects.first()

    schema_for(Author).load({"age": 1}, instance=author, partial=("name", "mail"))
    assert (author.nick, author.age) == ("own", 1)


def test_a_nested_schema_of_one_s_own_takes_a_user_type_whole(cql: CQLAlchemy) -> None:
    class AddressSchema(db.AutoSchema):
        class Meta:
            model = PostalAddress

    class AuthorSchema(db.AutoSchema):
        class Meta:
            model = Author

        home = fields.Nested(AddressSchema)

    problems: Any = AuthorSchema().validate({"home": {"zip": 1}}, partial=True)
    assert problems == {"home": {"street": ["Missing data for required field."]}}


def test_a_user_type_is_loaded_whole_also_into_an_instance(cql: CQLAlchemy) -> None:
    Author.create(name="n", mail="m", home=PostalAddress(street="s", zip_code=1))
    author = Author.objects.first()

    with pytest.raises(ValidationError) as caught:
        schema_for(Author).load({"home": {"zip": 2}}, instance=author)

    assert caught.value.messages == {"home": {"street": ["Missing data for required field."]}}
    assert author.home.zip_code == 1


def test_the_key_of_a_row_cannot_be_changed(cql: CQLAlchemy) -> None:
    Author.create(name="n", mail="m")
    author = Author.objects.first()
    schema = schema_for(Author)

    with pytest.raises(ValidationError) as caught:
        schema.load({"name": "other", "age": 1}, instance=author)

    assert caught.value.messages == {"name": ["The primary key of a row cannot be changed."]}
    assert author.age is None
    assert schema.load({"name": "n", "age": 1}, instance=author).age == 1


def test_an_instance_is_not_for_many() -> None:
    with pytest.raises(TypeError, match=r"^load\(\) takes an instance for one row"):
        schema_for(Author).load([], many=True, instance=Author())  # type: ignore[call-overload]  # pyright: ignore


def test_load_instance_without_a_model_says_so() -> None:
    class Lost(db.Schema):
        class Meta:
            load_instance = True

        name = fields.String()

    with pytest.raises(TypeError, match=r"^Lost has load_instance and no model in class Meta\.$"):
        Lost().load({"name": "n"})


def test_a_program_s_post_load_comes_before_the_instance() -> None:
    class VisitsSchema(db.AutoSchema):
        class Meta:
            model = Visits
            load_instance = True

        @post_load
        def shout(self, data: dict[str, Any], **_context: Any) -> dict[str, Any]:
            return {"page": data["page"].upper()}

    assert VisitsSchema().load({"page": "p"}).page == "P"


def test_meta_says_what_is_partial_and_what_is_unknown() -> None:
    schema = auto(Author, partial=True, unknown=marshmallow.EXCLUDE)()

    assert schema.load({"age": 1, "nothing": 2}) == {"age": 1}
    assert auto(Author, partial=("mail",))().load({"name": "n"})["name"] == "n"
    assert auto(Author, partial=True)(partial=False).validate({"age": 1}) == {
        "name": ["Missing data for required field."],
        "mail": ["Missing data for required field."],
    }


# A program's own types of columns


class Point(c.Text):
    """Two numbers in a text."""

    def to_python(self, value: Any) -> Any:
        return value if isinstance(value, complex) else complex(value)

    def to_database(self, value: Any) -> Any:
        return str(value)

    def validate(self, value: Any) -> Any:
        return value


def placed(kind: Any) -> Any:
    body = {"id": c.UUID(primary_key=True, default=uuid4), "place": kind}
    return type(db.Model)("Placed", (CQLAlchemy().Model,), body)


def test_a_type_that_the_table_lacks_names_model_column_and_the_remedy() -> None:
    with pytest.raises(TypeError) as caught:
        schema_for(placed(c.List(Point())))

    assert str(caught.value) == (
        "Placed.place: the column table has no entry for Point. Add one with "
        "flask_cqlalchemy.columns.register(Point, ColumnType(...))."
    )


def test_a_program_adds_a_type_with_one_call() -> None:
    class Spot(Point):
        pass

    def decode(value: Any) -> complex:
        try:
            return complex(*value)
        except TypeError:
            raise ValueError("Not a valid place: two numbers.") from None

    c.register(
        Spot,
        c.ColumnType(
            cql="text",
            python=complex,
            widget="text",
            field=fields.Raw,
            encode=lambda value: [value.real, value.imag],
            decode=decode,
        ),
    )
    schema = schema_for(placed(c.List(Spot())))

    assert schema.dump({"place": [1 + 2j]}) == {"place": [[1.0, 2.0]]}
    assert schema.load({"place": [[1, 2]]})["place"] == [1 + 2j]
    problems: Any = schema.validate({"place": [3]})
    assert problems == {"place": {0: ["Not a valid place: two numbers."]}}


def test_a_subclass_that_only_validates_shares_its_base_s_entry() -> None:
    class Slug(c.Text):
        def validate(self, value: Any) -> Any:
            return super().validate(value)

    field = schema_for(placed(Slug(max_length=3))).fields["place"]

    assert isinstance(field, ColumnField)
    with pytest.raises(ValidationError, match="Longer than maximum length 3"):
        field.deserialize("abcd")


def test_only_a_column_class_has_an_entry() -> None:
    with pytest.raises(
        TypeError, match=r"^register\(\) takes a column class, not <class 'int'>\.$"
    ):
        c.register(int, c.ColumnType(cql="int", python=int, widget="integer"))


def test_a_uuid_given_as_text_is_dumped_as_a_uuid() -> None:
    kind = placed(c.UUID())
    row = kind(place="6F9619FF-8B86-D011-B42D-00C04FC964FF")

    assert schema_for(kind).dump(row)["place"] == "6f9619ff-8b86-d011-b42d-00c04fc964ff"
    row.place = "6F9619FF-8B86-D011-B42D-00C04FC964FF"
    assert schema_for(kind).dump(row)["place"] == "6f9619ff-8b86-d011-b42d-00c04fc964ff"
    assert isinstance(schema_for(kind).load({"place": str(row.place)})["place"], UUID)
