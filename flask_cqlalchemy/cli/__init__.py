"""The commands that need no application."""
