"""The application factory, in the making.

Imported as ``flask_cqlalchemy.factory``: under its bare name the folder would be a second copy of
every class.
"""

if __name__ != "flask_cqlalchemy.factory":
    raise ImportError(f"import flask_cqlalchemy.factory, not {__name__}")
