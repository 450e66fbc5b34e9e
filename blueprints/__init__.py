"""Blueprints that share ``current_app.extensions["cqlalchemy"]``, in the making.

Imported as ``flask_cqlalchemy.blueprints``: under its bare name the folder would be a second copy
of every class.
"""

if __name__ != "flask_cqlalchemy.blueprints":
    raise ImportError(f"import flask_cqlalchemy.blueprints, not {__name__}")
