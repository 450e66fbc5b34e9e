"""Query sets: their conditions, their rows, and the writes that they and instances do."""
