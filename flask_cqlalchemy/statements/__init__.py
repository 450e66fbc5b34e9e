"""From statements to bound values: what a statement is, its CQL with markers, binding, sending.

Stages: ``compiling`` turns cqlengine's statements into CQL with markers; ``binding`` turns values
into bytes; ``sending`` executes a bound statement, or adds it to a batch. ``info`` says what a
statement is, for errors and signals.
"""
