"""What programs for cqlengine and for Flask-CQLAlchemy 2.0 find changed: docs/compatibility.md."""
