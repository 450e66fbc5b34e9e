"""What the kit knows of one model, and how its instances keep their columns.

``mapper`` is what all else asks. ``conversions`` recognises values that need no work, ``filters``
and ``writer`` are what queries and writes need of single columns, ``instances`` keeps the state of
an instance, ``naming`` names the column in errors.
"""
