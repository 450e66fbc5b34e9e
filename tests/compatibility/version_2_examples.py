"""The examples of Flask-CQLAlchemy 2.0 and of its README, for the suite of that version."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any
from unittest import TestCase

from cassandra.cqlengine.management import create_keyspace_simple, drop_keyspace

EXAMPLES = str(Path(__file__).parents[1] / "examples")


class ExamplesTest(TestCase):
    def setUp(self) -> None:
        sys.path.insert(0, EXAMPLES)

    def tearDown(self) -> None:
        sys.path.remove(EXAMPLES)
        drop_keyspace("cqlengine")

    def test_a_user_is_created(self) -> None:
        import example_app  # type: ignore[import-not-found]

        create_keyspace_simple("cqlengine", 1)
        example_app.db.sync_db()
        user = example_app.User.create(username="John Doe")
        assert user.username == "John Doe"
        found = example_app.User.objects(example_id=user.example_id).get()
        assert found.username == "John Doe"
        assert example_app.User.objects(username="John Doe").count() == 1

    def test_a_user_type_is_stored(self) -> None:
        import example_app_udt  # type: ignore[import-not-found]

        create_keyspace_simple("cqlengine", 1)
        example_app_udt.db.sync_db()
        address: Any = example_app_udt.Address(street="Easy Street, 12", zipcode=12345)
        user = example_app_udt.Users(name="John Appleseed", addr=address)
        assert user.addr.street == "Easy Street, 12"
        assert user.addr.zipcode == 12345
        user.save()
        found = example_app_udt.Users.objects(name="John Appleseed").get()
        assert found.addr.street == "Easy Street, 12"
        assert found.addr.zipcode == 12345
        example_app_udt.Users.create(name="Nobody")
        assert example_app_udt.Users.objects(name="Nobody").get().addr is None
