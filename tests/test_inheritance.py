"""Models that inherit from models: whose table a row is in, and tables with kinds of rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cassandra.cqlengine import CQLEngineException
from cassandra.cqlengine.models import PolymorphicModelException
from cassandra.cqlengine.query import BatchQuery, ContextQuery, QueryException
from flask import Flask, jsonify

from flask_cqlalchemy import BulkError, CQLAlchemy

from .cql_helpers import model, module_fixtures, sent, text_of

#: Where the discriminator of the models of a shared table is.
PLACES: dict[str, dict[str, Any]] = {
    "unindexed": {},
    "indexed": {"index": True},
    "clustering": {"primary_key": True},
    "partition": {"partition_key": True},
}


def define(db: CQLAlchemy) -> CQLAlchemy:
    for place in PLACES:
        _define_kinds(db, place)

    class Person(db.Model):
        __table_name__ = "people"
        id = db.columns.Integer(primary_key=True)
        name = db.columns.Text(index=True)

    class Employee(Person):
        salary = db.columns.Integer()

    class Vehicle(db.Model):
        """As in the tests of Flask-CQLAlchemy 2.0: it lends a discriminator that nobody uses."""

        __abstract__ = True
        owner = db.columns.Text(primary_key=True)
        id = db.columns.Integer(primary_key=True)
        kind = db.columns.Text(discriminator_column=True)

    class Car(Vehicle):
        doors = db.columns.Integer()

    class Bike(Vehicle):
        gears = db.columns.Integer()

    class Event(db.Model):
        """Abstract, so that nothing reads the rows of all kinds."""

        __abstract__ = True
        __table_name__ = "events"
        day = db.columns.Text(primary_key=True)
        id = db.columns.Integer(primary_key=True)
        kind = db.columns.Integer(discriminator_column=True)

    class Click(Event):
        __discriminator_value__ = 1
        where = db.columns.Text()

    class View(Event):
        __discriminator_value__ = 2
        seconds = db.columns.Integer()

    return db


def _define_kinds(db: CQLAlchemy, place: str) -> None:
    """Animals of ``place``: dogs, among them puppies, and cats."""
    columns, options = db.columns, PLACES[place]

    class Animal(db.Model):
        __qualname__ = f"{place} Animal"
        __table_name__ = f"animals_{place}"
        owner = columns.Text(partition_key=True)
        kind = columns.Text(discriminator_column=True, **options)
        id = columns.Integer(primary_key=True)
        name = columns.Text()
        tags = columns.Set(columns.Text)

    class Dog(Animal):
        __qualname__ = f"{place} Dog"
        __discriminator_value__ = "dog"
        breed = columns.Text(db_field="race")
        size = columns.Integer(default=7)

    class Puppy(Dog):
        __qualname__ = f"{place} Puppy"
        __discriminator_value__ = "puppy"
        weeks = columns.Integer()

    class Cat(Animal):
        __qualname__ = f"{place} Cat"
        __discriminator_value__ = "cat"
        lives = columns.Integer()

    KINDS[place] = (Animal, Dog, Puppy, Cat)


#: The models of ``_define_kinds``.
KINDS: dict[str, tuple[Any, Any, Any, Any]] = {}

cassandra_config, database, app = module_fixtures(
    define,
    CASSANDRA_GUARDRAILS="off",
    CASSANDRA_BINDS={"archive": {"REQUEST_TIMEOUT": 9}},
    SECRET_KEY="seals cursors",
)


@pytest.fixture(autouse=True)
def _context(app: Flask) -> Iterator[None]:
    with app.app_context():
        yield


# Whose table


@pytest.fixture
def unused() -> CQLAlchemy:
    """An object for models that are not synced."""
    return CQLAlchemy()


def table(model: Any) -> str:
    name: str = model.column_family_name(include_keyspace=False)
    return name


@pytest.mark.parametrize("asked_first", ["parent", "child"])
@pytest.mark.parametrize("name", [None, "people"], ids=["derived", "named"])
def test_a_child_of_a_concrete_model_has_its_own_table(
    unused: CQLAlchemy, name: str | None, asked_first: str
) -> None:
    class Person(unused.Model):
        __table_name__ = name
        id = unused.columns.Integer(primary_key=True)

    if asked_first == "parent":
        table(Person)

    class Employee(Person):
        pass

    class HTTPManager(Employee):
        pass

    assert [table(HTTPManager), table(Employee), table(Person)] == [
        "httpmanager",
        "employee",
        name or "person",
    ]
    assert (Person.__table_name__, Employee.__table_name__) == (name, None)


def test_a_child_may_name_its_table(unused: CQLAlchemy) -> None:
    class Person(unused.Model):
        __table_name__ = "people"
        id = unused.columns.Integer(primary_key=True)

    class Employee(Person):
        __table_name__ = "staff"

    class SameTable(Person):
        __table_name__ = "people"

    class Manager(Employee):
        pass

    assert [table(each) for each in (Employee, SameTable, Manager)] == [
        "staff",
        "people",
        "manager",
    ]


def test_a_name_may_be_given_after_the_definition(unused: CQLAlchemy) -> None:
    class Person(unused.Model):
        id = unused.columns.Integer(primary_key=True)

    class Employee(Person):
        pass

    Person.__table_name__ = "people"
    assert [table(Person), table(Employee)] == ["people", "employee"]


def test_an_abstract_model_or_a_mixin_lends_its_name(unused: CQLAlchemy) -> None:
    """As it does in cqlengine: it has no table itself."""

    class Stored(unused.Model):
        __abstract__ = True
        __table_name__ = "stored"
        id = unused.columns.Integer(primary_key=True)

    class Named:
        __table_name__ = "named"

    class One(Stored):
        pass

    class Other(Named, unused.Model):
        id = unused.columns.Integer(primary_key=True)

    class Third(Named, One):
        pass

    class OfOne(One):
        pass

    class OfOther(Other):
        pass

    class Unnamed(Stored):
        __table_name__ = None  # type: ignore[assignment]

    assert [table(each) for each in (One, Other, Third, OfOne, OfOther, Unnamed)] == [
        "stored",
        "named",
        "named",
        "of_one",
        "of_other",
        "unnamed",
    ]


def test_an_abstract_model_between_two_concrete_ones_lends_no_table(unused: CQLAlchemy) -> None:
    class Person(unused.Model):
        __table_name__ = "people"
        id = unused.columns.Integer(primary_key=True)

    class Member(Person):
        __abstract__ = True

    class Guest(Person):
        __abstract__ = True
        __table_name__ = "guests"

    class Player(Member):
        pass

    class Visitor(Guest):
        pass

    assert [table(Player), table(Visitor)] == ["player", "guests"]


def test_keyspace_bind_and_options_are_inherited(unused: CQLAlchemy) -> None:
    class Person(unused.Model):
        __keyspace__ = "elsewhere"
        __bind_key__ = "archive"
        __options__ = {"comment": "people"}  # noqa: RUF012 - as a user would
        id = unused.columns.Integer(primary_key=True)

    class Employee(Person):
        pass

    mapper = Employee.__mapper__
    assert (mapper.own_keyspace, mapper.bind, mapper.table) == ("elsewhere", "archive", "employee")
    assert Employee.__options__ == {"comment": "people"}
    assert Employee.column_family_name() == "elsewhere.employee"


@pytest.mark.parametrize("name", [None, "animals"], ids=["derived", "named"])
def test_models_with_a_discriminator_share_a_table(unused: CQLAlchemy, name: str | None) -> None:
    class Animal(unused.Model):
        __table_name__ = name
        id = unused.columns.Integer(primary_key=True)
        kind = unused.columns.Text(discriminator_column=True)

    class Mammal(Animal):
        __abstract__ = True

    class Dog(Mammal):
        __discriminator_value__ = "dog"

    class Puppy(Dog):
        __discriminator_value__ = "puppy"

    class Group(Animal):
        """Has no kind of its own."""

    class Cat(Group):
        __discriminator_value__ = "cat"

    shared = [Animal, Mammal, Dog, Puppy, Group, Cat]
    assert {table(each) for each in shared} == {name or "animal"}
    assert [each.__mapper__.is_kind for each in (Animal, Dog, Puppy, Group, Cat)] == [
        False,
        True,
        True,
        True,
        True,
    ]


def test_a_discriminator_begins_a_table_of_its_own(unused: CQLAlchemy) -> None:
    class Thing(unused.Model):
        __table_name__ = "things"
        id = unused.columns.Integer(primary_key=True)

    class Animal(Thing):
        kind = unused.columns.Text(discriminator_column=True)

    class Dog(Animal):
        __discriminator_value__ = "dog"

    assert [table(Thing), table(Animal), table(Dog)] == ["things", "animal", "animal"]


def test_a_kind_that_names_its_table_has_it_for_itself_and_for_those_below(
    unused: CQLAlchemy,
) -> None:
    class Animal(unused.Model):
        id = unused.columns.Integer(primary_key=True)
        kind = unused.columns.Text(discriminator_column=True)

    table(Animal)

    class Fish(Animal):
        __table_name__ = "fish_of_the_sea"
        __discriminator_value__ = "fish"

    class Shark(Fish):
        __discriminator_value__ = "shark"

    assert [table(Animal), table(Fish), table(Shark)] == ["animal", *["fish_of_the_sea"] * 2]
    assert not Fish.__mapper__.is_kind
    assert Animal.__mapper__.fields_of_kinds() == ["id", "kind"]


def test_an_abstract_model_with_a_discriminator_names_the_table_of_its_kinds(
    unused: CQLAlchemy,
) -> None:
    class OldPet(unused.Model):
        __abstract__ = True
        id = unused.columns.Integer(primary_key=True)
        kind = unused.columns.Text(discriminator_column=True)

    class Cat(OldPet):
        __discriminator_value__ = "cat"

    class Dog(OldPet):
        __discriminator_value__ = "dog"

    class Bird(OldPet):
        """Without a value it is not of one kind, so no other model has rows in its table."""

    class Parrot(Bird):
        __discriminator_value__ = "parrot"

    assert [table(each) for each in (Cat, Dog, Bird, Parrot)] == [
        "old_pet",
        "old_pet",
        "bird",
        "bird",
    ]


def test_rows_of_a_child_are_none_of_its_parent_s(cql: CQLAlchemy) -> None:
    person, employee = model(cql, "Person"), model(cql, "Employee")
    person.create(id=1)
    employee.create(id=1)
    employee.create(id=2)
    assert [row.id for row in person.objects] == [1]
    assert sorted(row.id for row in employee.objects) == [1, 2]
    assert {type(row) for row in employee.objects} == {employee}
    employee.objects(id=1).delete()
    assert person.objects(id=1).exists()


def test_a_child_has_the_columns_and_indexes_of_its_parent(cql: CQLAlchemy) -> None:
    employee = model(cql, "Employee")
    ada = employee.create(id=1, name="Ada", salary=10)
    assert list(employee.objects(name="Ada")) == [ada]
    assert json.loads(employee.objects.to_json()) == [{"id": 1, "name": "Ada", "salary": 10}]


def test_each_table_is_made_and_dropped(cql: CQLAlchemy) -> None:
    tables = set(cql.session.cluster.metadata.keyspaces[cql.place().keyspace].tables)
    assert {"people", "employee", "car", "bike"} < tables
    assert {"events", *(f"animals_{place}" for place in PLACES)} < tables
    assert not {"animal", "dog", "cat", "vehicle", "click", "view"} & tables
    assert cql.sync_db() == []


def test_models_that_inherit_a_discriminator_without_using_it_have_tables(cql: CQLAlchemy) -> None:
    car, bike = model(cql, "Car"), model(cql, "Bike")
    made = car.create(owner="Ada", id=1, doors=3)
    bike.create(owner="Ada", id=1, gears=5)
    assert [(type(row), row.doors, row.kind) for row in car.objects(owner="Ada")] == [
        (car, 3, None)
    ]
    made.update(doors=5)
    assert car.get(owner="Ada", id=1).doors == 5
    car.objects(owner="Ada").delete()
    assert bike.objects(owner="Ada").count() == 1


def test_kinds_of_an_abstract_model_share_its_table(cql: CQLAlchemy) -> None:
    click, view = model(cql, "Click"), model(cql, "View")
    click.create(day="today", id=1, where="menu")
    view.create(day="today", id=2, seconds=3)
    assert [(type(row), row.id) for row in click.objects(day="today")] == [(click, 1)]
    assert [(type(row), row.id) for row in view.objects(day="today")] == [(view, 2)]
    assert view.objects(day="today").count() == 1


# Rows of kinds


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def _tables(app: Flask, database: CQLAlchemy) -> None:
    with app.app_context():
        database.sync_db()


@pytest.fixture
def settled(_tables: None, place: str) -> tuple[Any, Any, Any, Any]:
    """The models, with Ada's dog and cat in the table, for tests that write no more: nothing is
    emptied after them, which would take longer than they do.
    """
    animal, dog, puppy, cat = KINDS[place]
    dog.create(owner="Ada", id=1, name="Rex", breed="mixed", tags={"big"})
    cat.create(owner="Ada", id=2, name="Tom", lives=9)
    return animal, dog, puppy, cat


@pytest.fixture
def kinds(cql: CQLAlchemy, settled: Any) -> tuple[Any, Any, Any, Any]:
    """The same, for tests that write."""
    del cql
    models: tuple[Any, Any, Any, Any] = settled
    return models


def of_ada(asked: Any) -> Any:
    """The query of Ada's animals; of all, where they are in partitions by kind."""
    mapper = asked.__mapper__
    if mapper.discriminator in mapper.partition_key and not mapper.is_kind:
        return asked.objects
    return asked.objects(owner="Ada")


def key_of(mapper: Any, **values: Any) -> dict[str, Any]:
    """The key of a row of which ``kind`` may be a part."""
    return {name: value for name, value in values.items() if name in mapper.primary_key}


def pages_of(query: Any, **options: Any) -> list[Any]:
    page = query.paginate(per_page=1, **options)
    found = [*page]
    while page.has_next:
        page = query.paginate(per_page=1, cursor=page.next)
        found += page
    return found


def names(items: Any) -> list[str]:
    return [item.name for item in items]


#: What reads the names of the animals of a query.
READS: dict[str, Callable[[Any], list[str]]] = {
    "iterating": names,
    "all": lambda query: names(query.all()),
    "an index": lambda query: [query[number].name for number in range(len(query))],
    "a slice": lambda query: names(query[0:5]),
    "only": lambda query: names(query.only(["name"])),
    "only with the discriminator": lambda query: names(query.only(["name", "kind"])),
    "defer": lambda query: names(query.defer(["tags"])),
    "defer of the discriminator": lambda query: names(query.defer(["kind"])),
    "limit": lambda query: names(query.limit(9)),
    "fetch_size": lambda query: names(query.fetch_size(1)),
    "values_list": lambda query: [name for name, _ in query.values_list("name", "id")],
    "a flat values_list": lambda query: list(query.values_list("name", flat=True)),
    "rows": lambda query: [row["name"] for row in query.rows()],
    "rows of only": lambda query: [row["name"] for row in query.only(["name"]).rows()],
    "raw_rows": lambda query: [row["name"] for row in query.raw_rows()],
    "iter": lambda query: names(query.iter()),
    "iter by pages": lambda query: names(query.iter(fetch_size=1)),
    "to_json": lambda query: [row["name"] for row in json.loads(query.to_json())],
    "to_json of only": lambda query: [
        row["name"] for row in json.loads(query.only(["name"]).to_json())
    ],
    "to_json of values_list": lambda query: json.loads(
        query.values_list("name", flat=True).to_json()
    ),
    "jsonify": lambda query: [row["name"] for row in json.loads(jsonify(query).data)],
    "pages": lambda query: names(pages_of(query)),
    "pages of only": lambda query: names(pages_of(query.only(["name"]))),
    "pages as JSON": lambda query: [
        row["name"] for row in json.loads(query.paginate().to_json())["items"]
    ],
}


@pytest.mark.parametrize("read", READS.values(), ids=list(READS))
def test_the_base_reads_the_rows_of_every_kind(settled: Any, read: Callable[[Any], Any]) -> None:
    assert sorted(read(of_ada(settled[0]))) == ["Rex", "Tom"]


@pytest.mark.parametrize("read", READS.values(), ids=list(READS))
def test_a_model_of_one_kind_reads_its_rows(settled: Any, read: Callable[[Any], Any]) -> None:
    assert read(of_ada(settled[1])) == ["Rex"]
    assert read(of_ada(settled[3])) == ["Tom"]


@pytest.mark.parametrize("read", READS.values(), ids=list(READS))
def test_a_model_of_one_kind_reads_no_rows_where_there_are_none(
    settled: Any, read: Callable[[Any], Any]
) -> None:
    assert read(of_ada(settled[2])) == []


@pytest.mark.parametrize(
    "ask",
    [
        lambda query: query,
        lambda query: query.only(["name"]),
        lambda query: query.defer(["tags", "kind"]),
        lambda query: query.using(keyspace=query.place().keyspace),
    ],
    ids=["all columns", "only", "defer", "using"],
)
def test_rows_become_instances_of_their_kinds(settled: Any, ask: Callable[[Any], Any]) -> None:
    animal, dog, _, cat = settled
    found = sorted(ask(of_ada(animal)), key=lambda each: each.name)
    assert [isinstance(each, kind) for each, kind in zip(found, (dog, cat), strict=True)] == [
        True,
        True,
    ]
    assert isinstance(ask(of_ada(dog)).first(), dog)


def test_each_kind_has_its_own_columns(settled: Any) -> None:
    animal, dog, _, cat = settled
    found = {type(each): dict(each) for each in of_ada(animal)}
    common = {"owner": "Ada", "tags": set()}
    assert found == {
        dog: {
            **common,
            "kind": "dog",
            "id": 1,
            "name": "Rex",
            "tags": {"big"},
            "breed": "mixed",
            "size": 7,
        },
        cat: {**common, "kind": "cat", "id": 2, "name": "Tom", "lives": 9},
    }
    assert dict(of_ada(dog).first()) == found[dog]
    assert of_ada(dog).defer(["name"]).first().breed == "mixed"


def test_one_row_is_read_by_the_models_that_have_it(settled: Any) -> None:
    animal, dog, puppy, cat = settled
    mapper = animal.__mapper__
    rex = key_of(mapper, owner="Ada", id=1, kind="dog")
    for asked in (animal, dog):
        assert type(asked.get(**rex)) is dog
        assert type(asked.objects(**rex).one()) is dog
        assert type(asked.objects(**rex).first()) is dog
        assert asked.objects(**rex).exists()
        assert (asked.objects(**rex).count(), len(asked.objects(**rex))) == (1, 1)
    other = key_of(mapper, owner="Ada", id=1)
    for asked in (puppy, cat):
        with pytest.raises(asked.DoesNotExist):
            asked.get(**other)
        assert asked.objects(**other).first() is None
        assert not asked.objects(**other).exists()
        assert asked.objects(**other).count() == 0


def test_rows_are_counted_by_kind(kinds: Any) -> None:
    animal, dog, puppy, cat = kinds
    dog.create(owner="Ada", id=3, name="Ace")
    assert [of_ada(asked).count() for asked in (animal, dog, puppy, cat)] == [3, 2, 0, 1]
    assert [asked.objects.count() for asked in (animal, dog, puppy, cat)] == [3, 2, 0, 1]
    assert [of_ada(asked).exists() for asked in (animal, dog, puppy, cat)] == [
        True,
        True,
        False,
        True,
    ]
    with pytest.raises(dog.MultipleObjectsReturned):
        of_ada(dog).get()
    assert of_ada(cat).get().name == "Tom"


def test_many_rows_are_read_by_kind(cql: CQLAlchemy, kinds: Any) -> None:
    animal, dog, _, cat = kinds
    mapper = animal.__mapper__
    if mapper.discriminator in mapper.primary_key:
        keys = [
            {"owner": "Ada", "kind": kind, "id": number}
            for kind, number in [("cat", 2), ("dog", 1)]
        ]
    else:
        keys = [{"owner": "Ada", "id": number} for number in (2, 1)]
    missing = {**keys[0], "id": 9}
    assert [type(each) for each in cql.get_many(animal, [*keys, missing])] == [
        cat,
        dog,
        type(None),
    ]
    assert [each and each.name for each in cql.get_many(dog, [*keys, missing])] == [
        None,
        "Rex",
        None,
    ]


def test_the_whole_table_is_read_by_kind(kinds: Any) -> None:
    animal, dog, _, cat = kinds
    cat.create(owner="Bob", id=1, name="Kit")
    assert sorted(names(animal.objects)) == ["Kit", "Rex", "Tom"]
    assert names(dog.objects) == ["Rex"]
    assert sorted(names(cat.objects.all())) == ["Kit", "Tom"]


def test_the_partitions_of_an_in_are_read_by_kind(kinds: Any) -> None:
    _, dog, _, cat = kinds
    cat.create(owner="Bob", id=1, name="Kit")
    dog.create(owner="Bob", id=2, name="Ace")
    owners = ["Ada", "Bob"]
    assert sorted(names(dog.objects(owner__in=owners))) == ["Ace", "Rex"]
    assert sorted(names(cat.objects(owner__in=owners).only(["name"]))) == ["Kit", "Tom"]
    assert dog.objects(owner__in=owners).count() == 2


def test_a_kind_is_read_in_an_order(kinds: Any) -> None:
    _, dog, _, _ = kinds
    dog.create(owner="Ada", id=3, name="Ace")
    assert names(of_ada(dog).order_by("-id")) == ["Ace", "Rex"]
    assert names(of_ada(dog).order_by("id").limit(1)) == ["Rex"]
    assert names(pages_of(of_ada(dog).order_by("-id"))) == ["Ace", "Rex"]


def test_a_range_of_a_kind_is_read(kinds: Any) -> None:
    _, dog, _, cat = kinds
    dog.create(owner="Ada", id=3, name="Ace")
    assert names(of_ada(dog).filter(id__gt=1)) == ["Ace"]
    assert names(of_ada(cat).filter(id__lt=3)) == ["Tom"]
    assert names(of_ada(dog).filter(id__in=[1, 2])) == ["Rex"]


def test_a_kind_may_be_named_in_a_filter_too(settled: Any) -> None:
    _, dog, _, _ = settled
    assert names(of_ada(dog).filter(kind="dog")) == ["Rex"]


def test_distinct_gives_one_instance_a_partition(kinds: Any, place: str) -> None:
    animal, dog, puppy, cat = kinds
    dog.create(owner="Ada", id=3, name="Ace")
    cat.create(owner="Bob", id=1, name="Kit")
    everybody = [each.owner for each in animal.objects.distinct()]
    if place == "partition":
        assert sorted(everybody) == ["Ada", "Ada", "Bob"]
        fields = ["owner", "kind"]
    else:
        assert sorted(everybody) == ["Ada", "Bob"]
        fields = ["owner"]
    assert len(list(animal.objects.distinct(fields))) == len(everybody)
    assert [each.owner for each in dog.objects.distinct(fields)] == ["Ada"]
    assert sorted(each.owner for each in cat.objects.distinct()) == ["Ada", "Bob"]
    assert [each.owner for each in dog.objects.fetch_size(1).distinct().limit(1)] == ["Ada"]
    assert list(puppy.objects.distinct()) == []
    assert all(isinstance(each, dog) for each in dog.objects.distinct())
    assert [len(each) for each in cat.objects.distinct(fields).rows()] == [len(fields)] * 2


def test_distinct_of_the_base_is_written_as_json(settled: Any, place: str) -> None:
    animal, _, _, _ = settled
    expected = [{"owner": "Ada"}] * (2 if place == "partition" else 1)
    fields = ["owner", "kind"] if place == "partition" else ["owner"]
    rows = json.loads(animal.objects.distinct(fields).to_json())
    assert [{"owner": row["owner"]} for row in rows] == expected
    assert {len(row) for row in rows} == {len(fields)}


def test_a_column_that_only_leaves_out_is_not_written_as_json(settled: Any, place: str) -> None:
    """The discriminator is read all the same: it says of which model the row is."""
    animal, dog, _, _ = settled
    fixed = {} if place == "partition" else {"owner": "Ada"}
    found = json.loads(of_ada(animal).only(["name"]).to_json())
    assert sorted(found, key=lambda row: row["name"]) == [
        {**fixed, "name": "Rex"},
        {**fixed, "name": "Tom"},
    ]
    assert json.loads(of_ada(dog).only(["name"]).to_json()) == [{"owner": "Ada", "name": "Rex"}]
    assert [sorted(row) for row in of_ada(dog).only(["name"]).rows()] == [["name"]]
    assert "kind" not in json.loads(of_ada(dog).defer(["kind"]).to_json())[0]


def test_rows_have_the_columns_of_the_kind(settled: Any) -> None:
    _, dog, puppy, _ = settled
    (row,) = of_ada(dog).rows()
    assert set(row) == {
        *(column.db_field_name for column in puppy.__mapper__.columns.values()),
    }


def test_a_kind_is_read_on_until_there_are_rows_of_it(cql: CQLAlchemy, kinds: Any) -> None:
    """Those before it are of others, page after page."""
    _, dog, _, cat = kinds
    cql.bulk_create(
        cat, [{"owner": "Ada", "id": -number, "name": "Kit"} for number in range(1, 30)]
    )
    dog.create(owner="Ada", id=3, name="Ace")
    few = of_ada(dog).fetch_size(4)
    assert few.first().name == "Rex"
    assert few.exists()
    assert names(few.limit(1)) == ["Rex"]
    assert names(few) == ["Rex", "Ace"]
    assert names(few.iter(fetch_size=4)) == ["Rex", "Ace"]
    assert few.count() == 2
    assert names(pages_of(few)) == ["Rex", "Ace"]
    assert names(pages_of(dog.objects)) == ["Rex", "Ace"]


def test_a_limit_is_of_rows_of_the_kind(cql: CQLAlchemy, kinds: Any) -> None:
    _, dog, _, _ = kinds
    cql.bulk_create(
        dog, [{"owner": "Ada", "id": number, "name": f"{number}"} for number in range(3, 9)]
    )
    assert names(of_ada(dog).limit(3)) == ["Rex", "3", "4"]
    assert names(of_ada(dog).limit(3).iter(fetch_size=2)) == ["Rex", "3", "4"]
    assert len(of_ada(dog).limit(3).rows()) == 3
    assert names(pages_of(of_ada(dog).limit(3))) == ["Rex", "3", "4"]


def test_pages_of_a_kind_lead_back(cql: CQLAlchemy, kinds: Any) -> None:
    _, dog, _, cat = kinds
    cql.bulk_create(
        dog, [{"owner": "Ada", "id": number, "name": f"{number}"} for number in (3, 5, 7)]
    )
    cql.bulk_create(cat, [{"owner": "Ada", "id": number, "name": f"{number}"} for number in (4, 6)])
    first = of_ada(dog).paginate(per_page=2)
    second = of_ada(dog).paginate(per_page=2, cursor=first.next)
    assert (names(first), names(second), second.has_next) == (["Rex", "3"], ["5", "7"], False)
    assert names(of_ada(dog).paginate(per_page=2, cursor=second.previous)) == ["Rex", "3"]


def test_options_of_the_class_lead_to_rows_of_the_kind(settled: Any) -> None:
    """``consistency()`` and others make a query set without going through ``objects``."""
    _, dog, _, _ = settled
    assert names(dog.consistency(1).filter(owner="Ada", id__gt=0, **_kind_if_partition(dog))) == [
        "Rex"
    ]
    assert names(dog.using(keyspace=dog.objects.place().keyspace).filter(owner="Ada")) == ["Rex"]


def _kind_if_partition(asked: Any) -> dict[str, str]:
    mapper = asked.__mapper__
    return {} if mapper.discriminator not in mapper.primary_key else {"kind": "dog"}


# Several levels


@pytest.fixture
def family(kinds: Any) -> Any:
    kinds[2].create(owner="Ada", id=3, name="Bit", breed="pug", weeks=5)
    return kinds


def test_a_kind_below_another_has_the_columns_of_both(family: Any) -> None:
    animal, _, puppy, _ = family
    found = next(each for each in of_ada(animal) if each.name == "Bit")
    assert (type(found), found.breed, found.weeks) == (puppy, "pug", 5)
    assert names(of_ada(puppy)) == ["Bit"]


def test_a_kind_gives_those_below_it_where_nothing_finds_one_kind_alone(
    family: Any, place: str
) -> None:
    """As cqlengine does: with an index, or in the key, the rows are of the kind itself."""
    _, dog, puppy, _ = family
    found = list(of_ada(dog))
    if place == "unindexed":
        assert [(type(each), each.name) for each in found] == [(dog, "Rex"), (puppy, "Bit")]
        assert of_ada(dog).count() == 2
    else:
        assert [(type(each), each.name) for each in found] == [(dog, "Rex")]
        assert of_ada(dog).count() == 1


def test_a_model_between_kinds_gives_those_below_it(cql: CQLAlchemy, kinds: Any) -> None:
    animal, _, _, cat = kinds

    class Feline(animal):  # type: ignore[valid-type]
        """Has rows of its kinds, and none itself."""

    class Lion(Feline):
        __discriminator_value__ = "lion"

    Lion.create(owner="Ada", id=5, name="Leo")
    assert [(type(each), each.name) for each in Feline.objects] == [(Lion, "Leo")]
    assert Feline.objects.count() == 1
    assert isinstance(
        animal.objects(**key_of(animal.__mapper__, owner="Ada", id=5, kind="lion")).first(), Lion
    )
    assert names(of_ada(cat)) == ["Tom"]
    with pytest.raises(QueryException):
        Feline.objects(owner="Ada").delete()
    Lion.get(owner="Ada", id=5).delete()
    _forget(cql, animal, Feline, Lion)


def _forget(cql: CQLAlchemy, animal: Any, *models: Any) -> None:
    """Take models of one test out of those of the module."""
    for each in models:
        cql.registry.models.remove(each)
        animal.__mapper__.kind.models.pop(each.__mapper__.kind.value, None)


def test_a_kind_that_is_defined_again_replaces_the_first(cql: CQLAlchemy, kinds: Any) -> None:
    animal, first, _, _ = kinds
    namespace = {"Animal": animal, "columns": cql.columns, "__name__": __name__}
    definition = (
        "class Dog(Animal):\n"
        "    __qualname__ = 'again Dog'\n"
        "    __discriminator_value__ = 'dog'\n"
        "    breed = columns.Text(db_field='race')\n"
    )
    try:
        exec(definition, namespace)
        second: Any = namespace["Dog"]
        assert {type(each) for each in of_ada(animal) if each.name == "Rex"} == {second}
        assert type(of_ada(first).first()) is first
    finally:
        _forget(cql, animal, namespace["Dog"])
        animal.__mapper__.kind.models["dog"] = first


# Writes through a model of one kind


def test_update_by_the_whole_key(kinds: Any) -> None:
    _, dog, _, _ = kinds
    rex = dog.objects(owner="Ada", id=1)
    rex.update(breed="collie", name=None, tags__add={"old"})
    found = dog.get(owner="Ada", id=1)
    assert (found.breed, found.name, found.tags, found.kind) == (
        "collie",
        None,
        {"big", "old"},
        "dog",
    )


def test_update_with_options(kinds: Any) -> None:
    _, dog, _, _ = kinds
    rex = dog.objects(owner="Ada", id=1)
    rex.ttl(1000).update(breed="collie")
    rex.if_exists().update(name="Max")
    rex.iff(name="Max").update(name="Moe")
    dog.ttl(1000).filter(owner="Ada", id=1, **_kind_if_partition(dog)).update(size=8)
    found = dog.get(owner="Ada", id=1)
    assert (found.breed, found.name, found.size) == ("collie", "Moe", 8)


@pytest.mark.parametrize("place", ["unindexed", "indexed"], indirect=True)
def test_an_update_may_ask_for_the_kind(kinds: Any) -> None:
    """A write by key does not look which kind of row it is, unless it is told to."""
    _, dog, _, cat = kinds
    with pytest.raises(CQLEngineException):
        dog.objects(owner="Ada", id=2).iff(kind="dog").update(breed="x")
    dog.objects(owner="Ada", id=1).iff(kind="dog").update(breed="x")
    assert dog.get(owner="Ada", id=1).breed == "x"
    assert cat.get(owner="Ada", id=2).name == "Tom"


def test_delete_by_the_whole_key(kinds: Any) -> None:
    animal, dog, _, cat = kinds
    dog.objects(owner="Ada", id=1).delete()
    assert [type(each) for each in of_ada(animal)] == [cat]
    cat.objects(owner="Ada", id__in=[2, 3]).delete()
    assert list(of_ada(animal)) == []


def test_instances_of_kinds_are_changed_and_deleted(kinds: Any) -> None:
    animal, dog, _, cat = kinds
    rex = of_ada(dog).first()
    rex.name = "Max"
    rex.save()
    rex.update(breed="collie", tags=None)
    tom = next(each for each in of_ada(animal) if type(each) is cat)
    tom.update(lives=8)
    found = dog.get(owner="Ada", id=1)
    assert (found.name, found.breed, found.tags) == ("Max", "collie", set())
    assert of_ada(cat).first().lives == 8
    rex.delete()
    assert [type(each) for each in of_ada(animal)] == [cat]


def test_what_only_left_out_stays_as_it_is(kinds: Any) -> None:
    animal, dog, _, _ = kinds
    rex = next(each for each in of_ada(animal).only(["owner", "id", "name"]) if each.name == "Rex")
    rex.name = "Max"
    rex.save()
    found = dog.get(owner="Ada", id=1)
    assert (found.name, found.breed, found.tags, found.size) == ("Max", "mixed", {"big"}, 7)


@pytest.mark.parametrize(
    "make", [lambda cql: cql.batch(), lambda _: BatchQuery()], ids=["db", "cqlengine"]
)
def test_batches_take_writes_of_kinds(cql: CQLAlchemy, kinds: Any, make: Any) -> None:
    animal, dog, _, cat = kinds
    with make(cql) as batch:
        dog.batch(batch).create(owner="Ada", id=3, name="Ace")
        dog.objects(owner="Ada", id=1).batch(batch).update(breed="collie")
        cat.objects(owner="Ada", id=2).batch(batch).delete()
    found = {each.name: each for each in of_ada(animal)}
    assert set(found) == {"Rex", "Ace"}
    assert found["Rex"].breed == "collie"


def test_bulk_writes_of_kinds(cql: CQLAlchemy, kinds: Any, place: str) -> None:
    animal, dog, _, cat = kinds
    kind = {} if place in ("unindexed", "indexed") else {"kind": "dog"}
    cql.bulk_create(dog, [{"owner": "Ada", "id": number, "name": f"{number}"} for number in (3, 4)])
    cql.bulk_create(animal, [cat(owner="Ada", id=5, name="Kit")])
    cql.bulk_update(dog, [{"owner": "Ada", **kind, "id": 3, "breed": "pug"}])
    assert dog.get(owner="Ada", id=3).breed == "pug"
    cql.bulk_delete(dog, [{"owner": "Ada", **kind, "id": 3}])
    assert sorted(names(of_ada(animal))) == ["4", "Kit", "Rex", "Tom"]
    cql.bulk_delete(dog, of_ada(dog))
    assert sorted(names(of_ada(animal))) == ["Kit", "Tom"]
    with pytest.raises(BulkError):
        cql.bulk_create(animal, [{"owner": "Ada", "id": 9}])


def test_a_partition_is_deleted_through_the_base(kinds: Any, place: str) -> None:
    animal, dog, _, _ = kinds
    if place == "partition":
        animal.objects(owner="Ada", kind="cat").delete()
        assert [type(each) for each in of_ada(animal)] == [dog]
    else:
        of_ada(animal).delete()
        assert list(animal.objects) == []


@pytest.mark.parametrize(
    ("conditions", "missing"),
    [({"owner": "Ada"}, "id"), ({"owner": "Ada", "id__gt": 0}, "id"), ({}, "owner, id")],
    ids=["partition", "range", "table"],
)
@pytest.mark.parametrize("place", ["unindexed", "indexed"], indirect=True)
def test_a_delete_that_might_concern_other_kinds_is_refused(
    kinds: Any, place: str, conditions: dict[str, Any], missing: str
) -> None:
    animal, dog, _, _ = kinds
    with pytest.raises(QueryException) as caught:
        dog.objects(**conditions).delete()
    assert str(caught.value) == (
        f"Dog: the table animals_{place} has rows of other models too, and Cassandra deletes by "
        f"the primary key alone: name whole rows, by owner, id (missing: {missing}). "
        "db.bulk_delete(Dog, Dog.objects(...)) reads the rows of Dog and deletes each; "
        "Animal.objects(...).delete() deletes those of every model."
    )
    assert sorted(names(of_ada(animal))) == ["Rex", "Tom"]


@pytest.mark.parametrize("place", ["clustering", "partition"], indirect=True)
def test_a_kind_of_the_key_deletes_its_own_rows(kinds: Any) -> None:
    animal, dog, _, cat = kinds
    dog.objects(owner="Ada").delete()
    assert [type(each) for each in of_ada(animal)] == [cat]
    with pytest.raises(QueryException):
        cat.objects(owner="Ada", kind="dog").delete()
    dog.create(owner="Ada", id=1, name="Rex")
    dog.consistency(1).filter(owner="Ada").delete()
    assert [type(each) for each in of_ada(animal)] == [cat]
    with pytest.raises(QueryException):
        dog.objects(owner="Ada", kind="cat", id=2).update(name="Max")
    with pytest.raises(QueryException):
        dog.objects(owner="Ada", kind__in=["cat", "dog"]).delete()
    assert names(of_ada(cat)) == ["Tom"]


def test_no_statement_filters(cql: CQLAlchemy, kinds: Any) -> None:
    _, dog, _, _ = kinds
    with sent(cql) as statements:
        list(of_ada(dog))
        dog.objects(owner="Ada", id=1).update(name="Max")
        dog.objects(owner="Ada", id=1).delete()
    assert len(statements) == 3
    assert not [each for each in statements if "FILTERING" in text_of(each)]


# Rows that are of no kind


@pytest.mark.parametrize("place", ["unindexed", "indexed"], indirect=True)
def test_a_row_without_a_kind_says_what_to_do(kinds: Any) -> None:
    animal, dog, _, _ = kinds
    dog.objects(owner="Ada", id=9).update(breed="x")
    with pytest.raises(PolymorphicModelException) as caught:
        list(of_ada(animal))
    assert str(caught.value) == (
        "Animal.kind is null in a row, so no model can be told for it: owner='Ada', id=9. An "
        "update() of a row that is not there makes such rows; if_exists() prevents it. Delete the "
        "row, or give it a kind."
    )
    assert names(of_ada(dog)) == ["Rex"]


@pytest.mark.parametrize("place", ["unindexed", "indexed"], indirect=True)
def test_a_row_of_an_unknown_kind_says_what_to_do(cql: CQLAlchemy, kinds: Any) -> None:
    animal, dog, _, _ = kinds
    cql.execute(
        f"INSERT INTO {animal.column_family_name()} (owner, id, kind) VALUES ('Ada', 9, 'cow')"
    )
    with pytest.raises(PolymorphicModelException) as caught:
        list(of_ada(animal))
    assert str(caught.value) == (
        "Animal.kind is 'cow' in a row, which is the __discriminator_value__ of no model that "
        "inherits from Animal: owner='Ada', id=9. Was the module of one not imported?"
    )
    assert names(of_ada(dog)) == ["Rex"]


def test_a_base_has_no_rows_itself(kinds: Any) -> None:
    animal, _, _, _ = kinds
    with pytest.raises(PolymorphicModelException):
        animal.create(owner="Ada", id=9)
    with ContextQuery(animal, keyspace=animal.objects.place().keyspace) as bound:
        with pytest.raises(PolymorphicModelException):
            bound.create(owner="Ada", id=9)
        assert len(list(bound.objects)) == 2
    with pytest.raises(PolymorphicModelException):
        animal.objects.using(keyspace=animal.objects.place().keyspace).create(owner="Ada", id=9)


def test_an_abstract_model_has_no_rows(database: CQLAlchemy) -> None:
    with pytest.raises(CQLEngineException) as caught:
        model(database, "Click").__mro__[1].objects  # noqa: B018 - it raises
    assert str(caught.value) == (
        "Event is abstract, so it has no table and no rows: ask a model that inherits from it."
    )


# Schemas


def test_schemas_of_base_and_kinds(cql: CQLAlchemy, kinds: Any) -> None:
    animal, dog, _, cat = kinds
    schemas = {
        each: type(f"{each.__name__}Schema", (cql.AutoSchema,), {"Meta": _meta(each)})()
        for each in (animal, dog, cat)
    }
    rex, tom = sorted(of_ada(animal), key=lambda each: each.name)
    common = {"owner", "kind", "id", "name", "tags"}
    assert set(schemas[animal].dump(rex)) == {*common, "race", "size"}
    assert set(schemas[animal].dump(tom)) == {*common, "lives"}
    assert schemas[animal].dump([rex, tom], many=True) == [
        schemas[dog].dump(rex),
        schemas[cat].dump(tom),
    ]
    loaded = schemas[dog].load({"owner": "Bob", "id": 1, "race": "pug"})
    made = dog.create(**loaded)
    assert json.loads(dog.objects(owner="Bob").to_json(schemas[dog])) == [schemas[dog].dump(made)]


def _meta(of: Any) -> type:
    return type("Meta", (), {"model": of})


# Other keyspaces


@pytest.mark.parametrize("place", ["indexed"], indirect=True)
def test_kinds_are_told_apart_in_every_keyspace(cql: CQLAlchemy, kinds: Any) -> None:
    animal, dog, _, cat = kinds
    other = f"{cql.place().keyspace}_kinds"
    cql.create_keyspace_simple(other, 1)
    try:
        with cql.use_keyspace(other):
            for each in (animal, dog, cat):
                cql.sync_table(each)
            cat.create(owner="Ada", id=1, name="Kit")
            assert [type(each) for each in of_ada(animal)] == [cat]
            assert list(of_ada(dog)) == []
        elsewhere = animal.objects.using(keyspace=other)
        (kit,) = elsewhere
        assert isinstance(kit, cat)
        assert names(cat.objects.using(keyspace=other).filter(owner="Ada")) == ["Kit"]
        assert list(dog.objects.using(keyspace=other)) == []
        kit.update(lives=3)
        assert elsewhere.first().lives == 3
        kit.delete()
        assert list(elsewhere.all()) == []
        assert sorted(names(of_ada(animal))) == ["Rex", "Tom"]
    finally:
        cql.session.execute(f"DROP KEYSPACE {other}", timeout=60)


def test_a_model_without_a_value_of_its_own_saves_no_row(unused: CQLAlchemy) -> None:
    class Animal(unused.Model):
        id = unused.columns.Integer(primary_key=True)
        kind = unused.columns.Text(discriminator_column=True)

    class Mammal(Animal):
        milk = unused.columns.Boolean()

    with pytest.raises(PolymorphicModelException, match="Mammal has no __discriminator_value__"):
        Mammal(id=1).save()
    with pytest.raises(PolymorphicModelException, match="Mammal has no __discriminator_value__"):
        Mammal.create(id=1)
