# fmt: off
# ruff: noqa: I001
# mypy: disable-error-code="name-defined,misc"
"""The example of Flask-CQLAlchemy 1.1's documentation, as it stands but for the extension's import.

That is why no formatter touches it. Start a python shell where the folder ``examples`` is, with a
Cassandra on this machine:

>>> from examples.quickstart import db, User
>>> db.sync_db()
>>> user1 = User.create(username='John Doe')
"""

import uuid
from flask import Flask
from flask_cqlalchemy import CQLAlchemy

app = Flask(__name__)
app.config['CASSANDRA_HOSTS'] = ['127.0.0.1']
app.config['CASSANDRA_KEYSPACE'] = "cqlengine"
db = CQLAlchemy(app)

class User(db.Model):
    uid = db.columns.UUID(primary_key=True, default=uuid.uuid4)
    username = db.columns.Text(required=False)
