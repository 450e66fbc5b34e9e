"""The tables that models need, and what it takes to have them.

``sync`` compares the models with the live schema and makes what is missing; ``apply`` executes one
change at a time. What was done is a list of ``Change``.
"""

from .apply import Change as Change
