"""The commands: ``flask cql`` of an application, ``flask cassandra`` of this machine."""
