"""Models on a real Cassandra: cqlengine's API, bound to an application."""

from __future__ import annotations

import datetime
import uuid
from typing import Any, get_type_hints

import pytest
from cassandra.cqlengine import CQLEngineException
from cassandra.cqlengine import connection as cqlengine_connection
from cassandra.cqlengine import models as cqlengine_models
from cassandra.cqlengine.management import sync_table
from cassandra.cqlengine.models import ModelDefinitionException
from cassandra.cqlengine.query import BatchQuery, ContextQuery, LWTException
from flask import Flask

from flask_cqlalchemy import CQLAlchemy, Model, NoAppError, Page, QuerySet, UserType, columns

from .cql_helpers import model, user_type


@pytest.fixture
def database() -> CQLAlchemy:
    """Models of every kind that cqlengine documents."""
    db = CQLAlchemy()

    class Street(db.UserType):
        name = db.columns.Text()

    class Address(db.UserType):
        street = db.columns.UserDefinedType(Street)
        zipcode = db.columns.Integer()

    class Person(db.Model):
        id = db.columns.UUID(primary_key=True, default=uuid.uuid4)
        name = db.columns.Text(required=False)
        home = db.columns.UserDefinedType(Address)
        tags = db.columns.Set(db.columns.Text)
        notes = db.columns.List(db.columns.Text)
        scores = db.columns.Map(db.columns.Text, db.columns.Integer)
        homes = db.columns.Set(db.columns.UserDefinedType(Address))
        years = db.columns.Map(db.columns.UserDefinedType(Address), db.columns.Integer)

    class Visits(db.Model):
        page = db.columns.Text(primary_key=True)
        count = db.columns.Counter()

    class Stamped(db.Model):
        __abstract__ = True
        id = db.columns.Integer(primary_key=True)
        created_at = db.columns.DateTime(default=lambda: datetime.datetime(2020, 1, 2, 3, 4, 5))

    class Note(Stamped):
        text = db.columns.Text()

    class Pet(db.Model):
        __table_name__ = "pets"
        owner = db.columns.Text(primary_key=True)
        id = db.columns.Integer(primary_key=True)
        kind = db.columns.Text(discriminator_column=True)

    class Cat(Pet):
        __discriminator_value__ = "cat"
        lives = db.columns.Integer()

    class Dog(Pet):
        __discriminator_value__ = "dog"
        barks = db.columns.Boolean()

    return db


def test_an_instance_is_created_read_changed_and_deleted(cql: CQLAlchemy) -> None:
    person_model = model(cql, "Person")
    person = person_model.create(name="John Doe", tags={"a"}, notes=["x"], scores={"go": 1})
    assert person_model.get(id=person.id) == person
    person.update(name="Jane Doe")
    assert person_model.objects(id=person.id).first().name == "Jane Doe"
    person.delete()
    assert person_model.objects.count() == 0


def test_models_of_one_table_stay_in_their_keyspaces(cql: CQLAlchemy) -> None:
    """A class that cqlengine makes for another keyspace is not taken for the model's own."""
    pet, cat = model(cql, "Pet"), model(cql, "Cat")
    other = f"{cql.place('default').keyspace}_pets"
    cql.create_keyspace_simple(other, 1)
    try:
        with cql.use_keyspace(other):
            cql.sync_table(cat)
        cat.create(owner="Ada", id=1)
        with ContextQuery(cat, keyspace=other) as elsewhere:
            elsewhere.create(owner="Ada", id=1)
            assert elsewhere.objects(owner="Ada").first().__keyspace__ == other
        found = cat.objects(owner="Ada").first()
        assert type(found) is cat
        moved = pet.objects.using(keyspace=other).filter(owner="Ada").first()
        assert isinstance(moved, cat)
        moved.delete()
        assert cat.objects.using(keyspace=other).filter(owner="Ada").first() is None
        assert cat.objects(owner="Ada").first() is not None
    finally:
        cql.session.execute(f"DROP KEYSPACE {other}", timeout=60)


def test_user_types_are_elements_of_sets_and_keys_of_maps(cql: CQLAlchemy) -> None:
    address, street = user_type(cql, "Address"), user_type(cql, "Street")
    first = address(street=street(name="Main Street"), zipcode=1)
    second = address(street=None, zipcode=2)
    person = model(cql, "Person").create(homes={first, second}, years={first: 1999})
    found = model(cql, "Person").get(id=person.id)

    assert found.homes == {first, second}
    assert found.years == {first: 1999}
    assert hash(first) == hash(address(street=street(name="Main Street"), zipcode=1))
    found.homes.remove(first)
    found.save()
    assert model(cql, "Person").get(id=person.id).homes == {second}


def test_a_nested_user_type_comes_back_as_its_class(cql: CQLAlchemy) -> None:
    street, address = user_type(cql, "Street"), user_type(cql, "Address")
    person_model = model(cql, "Person")
    person = person_model.create(home=address(street=street(name="High Street"), zipcode=1234))
    home = person_model.get(id=person.id).home
    assert (type(home), type(home.street)) == (address, street)
    assert (home.street.name, home.zipcode) == ("High Street", 1234)


def test_a_counter_counts(cql: CQLAlchemy) -> None:
    visits = model(cql, "Visits")
    visits(page="index").update(count=2)
    visits(page="index").update(count=3)
    assert visits.get(page="index").count == 5


def test_an_abstract_model_lends_its_columns(cql: CQLAlchemy) -> None:
    note = model(cql, "Note").create(id=1, text="hello")
    assert note.created_at == datetime.datetime(2020, 1, 2, 3, 4, 5)
    assert "Stamped" not in {known.__name__ for known in cql.models}


def test_polymorphic_models_share_a_table(cql: CQLAlchemy) -> None:
    model(cql, "Cat").create(owner="ann", id=1, lives=9)
    model(cql, "Dog").create(owner="ann", id=2, barks=True)
    pets = list(model(cql, "Pet").objects(owner="ann"))
    assert [type(pet).__name__ for pet in pets] == ["Cat", "Dog"]
    assert (pets[0].lives, pets[1].barks) == (9, True)


def test_a_conditional_write_that_fails_says_so(cql: CQLAlchemy) -> None:
    note = model(cql, "Note")
    note.if_not_exists().create(id=1, text="first")
    with pytest.raises(LWTException):
        note.if_not_exists().create(id=1, text="second")
    assert note.get(id=1).text == "first"


def test_a_batch_of_cqlengine_goes_to_the_application(cql: CQLAlchemy) -> None:
    note = model(cql, "Note")
    with BatchQuery() as batch:
        note.batch(batch).create(id=1, text="one")
        note.batch(batch).create(id=2, text="two")
    with BatchQuery() as batch:
        note.objects(id=1).batch(batch).update(text="changed")
    assert {row.id: row.text for row in note.all()} == {1: "changed", 2: "two"}


def test_a_batch_is_for_one_cluster(database: CQLAlchemy, cassandra_config: dict[str, Any]) -> None:
    class Archived(database.Model):
        __bind_key__ = "archive"
        id = database.columns.Integer(primary_key=True)

    app = Flask(__name__)
    app.config.from_mapping(cassandra_config, CASSANDRA_BINDS={"archive": {"REQUEST_TIMEOUT": 9}})
    database.init_app(app)
    batch = BatchQuery()
    with app.app_context():
        database.sync_db()
        model(database, "Note").batch(batch).create(id=1)
        with pytest.raises(CQLEngineException) as caught:
            Archived.batch(batch).create(id=1)
        database.close()
    assert str(caught.value) == (
        f"{app.config['CASSANDRA_KEYSPACE']}.archived is reached by the bind 'archive'; the batch "
        "holds statements of another cluster. Use one batch for each."
    )


def test_functions_of_cqlengine_that_manage_tables_work(
    cql: CQLAlchemy, monkeypatch: pytest.MonkeyPatch
) -> None:
    # cqlengine's own functions warn without it; the kit's do not need it.
    monkeypatch.setenv("CQLENG_ALLOW_SCHEMA_MANAGEMENT", "1")

    class Late(cql.Model):
        id = cql.columns.Integer(primary_key=True)

    sync_table(Late)
    Late.create(id=7)
    assert Late.get(id=7).id == 7


def test_using_and_context_query_take_a_keyspace(cql: CQLAlchemy) -> None:
    note = model(cql, "Note")
    keyspace = cql.place().keyspace
    note.create(id=1, text="here")
    assert note.objects.using(keyspace=keyspace).count() == 1
    with ContextQuery(note, keyspace=keyspace) as bound:
        assert bound.objects.count() == 1
    assert len(cql.models) == len({known.__name__ for known in cql.models})


def test_nothing_of_cqlengines_default_connection_is_touched(cql: CQLAlchemy) -> None:
    model(cql, "Note").create(id=1, text="x")
    assert cqlengine_connection.DEFAULT_CONNECTION not in cqlengine_connection._connections
    assert cqlengine_connection.session is None
    assert cqlengine_connection.cluster is None
    assert cqlengine_models.DEFAULT_KEYSPACE is None
    assert not any(
        kept.__module__ == __name__
        for types in cqlengine_connection.udt_by_keyspace.values()
        for kept in types.values()
    )


def test_a_query_without_an_application_names_the_remedy(database: CQLAlchemy) -> None:
    with pytest.raises(NoAppError) as caught:
        model(database, "Note").objects.first()
    assert str(caught.value) == (
        "There is no current application. Work inside `with app.app_context():` or in "
        "`flask shell`, on an application that db.init_app(app) has set up."
    )


def test_a_query_in_an_application_that_was_not_set_up_names_the_remedy(
    database: CQLAlchemy,
) -> None:
    with Flask("stranger", root_path=".").app_context(), pytest.raises(NoAppError) as caught:
        model(database, "Note").objects.first()
    assert str(caught.value) == (
        "The application 'stranger' has not been set up with this CQLAlchemy object: was "
        "db.init_app(app) forgotten?"
    )


def test_a_model_that_is_defined_again_replaces_the_first() -> None:
    db = CQLAlchemy()
    definition = "class Again(db.Model):\n    id = db.columns.Integer(primary_key=True)\n"
    namespace = {"db": db, "__name__": "notebook"}
    exec(definition, namespace)
    exec(definition, namespace)
    assert db.models == (namespace["Again"],)


def test_two_user_types_of_one_name_serve_their_keyspaces(
    database: CQLAlchemy, cassandra_config: dict[str, Any]
) -> None:
    class Here(database.UserType):
        __type_name__ = "one_of_two"
        name = database.columns.Text()

    class There(database.UserType):
        __type_name__ = "one_of_two"
        number = database.columns.Integer()

    other = f"{cassandra_config['CASSANDRA_KEYSPACE']}_there"

    class AtHere(database.Model):
        id = database.columns.Integer(primary_key=True)
        place = database.columns.UserDefinedType(Here)

    class AtThere(database.Model):
        __keyspace__ = other
        id = database.columns.Integer(primary_key=True)
        place = database.columns.UserDefinedType(There)

    app = Flask(__name__)
    app.config.from_mapping(cassandra_config)
    database.init_app(app)
    with app.app_context():
        for keyspace in (app.config["CASSANDRA_KEYSPACE"], other):
            database.create_keyspace_simple(keyspace, 1)
        for model_of in (AtHere, AtThere):
            database.sync_table(model_of)
        AtHere.create(id=1, place=Here(name="x"))
        AtThere.create(id=1, place=There(number=7))
        assert AtHere.get(id=1).place == Here(name="x")
        assert AtThere.get(id=1).place == There(number=7)
        database.execute(f"DROP KEYSPACE {other}")
        database.close()


def test_a_model_without_a_database_names_the_remedy() -> None:
    with pytest.raises(ModelDefinitionException) as caught:

        class Lost(Model):
            id = columns.Integer(primary_key=True)

    assert str(caught.value) == (
        "Lost has no database: let it inherit from db.Model, where db is your CQLAlchemy object."
    )


def test_a_user_type_without_a_database_names_the_remedy() -> None:
    with pytest.raises(ModelDefinitionException) as caught:

        class Lost(UserType):
            name = columns.Text()

    assert str(caught.value) == (
        "Lost has no database: let it inherit from db.UserType, where db is your CQLAlchemy object."
    )


def test_the_names_for_annotations_are_those_of_the_base_classes(database: CQLAlchemy) -> None:
    assert issubclass(database.Model, Model)
    assert issubclass(database.UserType, UserType)
    hints = get_type_hints(_annotated)
    assert hints == {"posts": QuerySet[Model], "return": Page[Model]}


def _annotated(posts: QuerySet[Model]) -> Page[Model]:
    return posts.paginate()
